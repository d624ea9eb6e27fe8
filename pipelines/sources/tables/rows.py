"""The rows of the tables that a spec names: each image's path, label and part."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pipelines.errors import SourceError
from pipelines.files.naming import split_of
from pipelines.sources.tables.classes import whole_numbers
from pipelines.sources.tables.columns import (
    ONE_HOT,
    TRUE,
    Columns,
    choose_columns,
    parts_of,
)
from pipelines.sources.tables.images import path_of, where_they_are
from pipelines.sources.tables.kits import KITS, Kit, kit_at
from pipelines.sources.tables.reading import Table, read_table
from pipelines.sources.tables.spec import TableSpec

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
TABLES = (".csv", ".tsv", ".txt", ".parquet", ".jsonl", ".ndjson")


def _below(text: str) -> str:
    return text.lstrip("/")


def _slashes(text: str) -> str:
    return text.replace("\\", "/")


# Names as they are, or from the root of the images (Places365), or written on Windows.
CLEANINGS: tuple[Callable[[str], str], ...] = (str, _below, _slashes)


@dataclass
class Listed:
    """What tables say, a row an image.

    source   the first table, for messages
    root     the folder that names are relative to
    paths, labels, parts   of each row; a part is "" where the table has none
    order    class names in their order, where the set has one of its own
    notes    as in Source
    starts, tables, words   of each table: its first row, itself with line numbers, its split word
    """

    source: Path
    root: str
    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    order: list[str] | None = None
    notes: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    tables: list[tuple[Table, Sequence[int], Columns]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def at(self, i: int) -> str:
        """Where a row stands, for messages."""
        if not self.tables:
            return self.source.name
        k = bisect_right(self.starts, i) - 1
        table, numbers, _ = self.tables[k]
        return table.at(numbers[i - self.starts[k]])

    def fix(self, i: int, spec: TableSpec) -> str:
        """Settings by which the image of a row would be there, "" where none are known."""
        if not self.tables:
            return ""
        k = bisect_right(self.starts, i) - 1
        table, _, columns = self.tables[k]
        word = self.words[k]
        rows = table.first[columns.skip :]
        rows = [rows[0], rows[len(rows) // 2], rows[-1]]
        order = sorted(range(len(columns.header)), key=lambda column: column != columns.image)
        fields = [(columns.header[j], [row[j] for row in rows]) for j in order]
        folder = spec.folder.replace("{split}", word)
        settings = where_they_are(table.path, fields, folder, spec.suffix)
        if "folder" in settings and word and os.path.basename(settings["folder"]) == word:
            settings["folder"] = settings["folder"].removesuffix(word) + "{split}"
        return ",".join(f"{key}={value}" for key, value in settings.items())


def list_rows(spec: TableSpec) -> Listed:
    """Raises SourceError for tables that cannot be read or understood."""
    word, written = spec.tables[0]
    path = Path(os.path.expanduser(written))
    if not word and (os.path.isdir(path) or not spec.settings) and (kit := kit_at(path)):
        return _kit_rows(*kit, spec)
    tables = [(word, Path(os.path.expanduser(file))) for word, file in spec.tables]
    if not word and os.path.isdir(path):
        tables = _metadata(path)
    folder = os.path.abspath(tables[0][1].parent)
    listed = Listed(tables[0][1], folder)
    for word, table in tables:
        _add(listed, table, word, spec)
    bare = [table.path.name for table, _, columns in listed.tables if not columns.labels]
    if bare:
        if len(bare) < len(tables):
            raise SourceError(f"csv: {bare[0]} has no labels and another table has: add them")
        listed.labels = _parting(listed.labels)
    return listed


def _kit_rows(kit: Kit, root: Path, spec: TableSpec) -> Listed:
    if spec.settings:
        raise SourceError(
            f"csv: {root} is {kit.title}, known by {kit.files[0]}: its lists tell all; remove "
            f"{', '.join(f'{key}=' for key in spec.settings)}"
        )
    rows, order = kit.rows(root)
    folder = os.path.abspath(root)
    return Listed(
        root / kit.files[0],
        folder,
        [os.path.normpath(os.path.join(folder, row.path)) for row in rows],
        [row.name for row in rows],
        [row.part for row in rows],
        order,
        [f"{kit.title}: images, labels and parts from {', '.join(kit.files)}"],
    )


def _metadata(folder: Path) -> list[tuple[str, Path]]:
    """The tables of a folder without a name: metadata.csv in it, or in each of its parts."""
    try:
        inside = sorted(os.listdir(folder))
    except OSError as error:
        raise SourceError(f"csv: {folder} cannot be read ({error.strerror})") from None
    tables = [
        (part, folder / part / name)
        for part in ("", *filter(split_of, inside))
        for name in METADATA
        if os.path.isfile(folder / part / name)
    ]
    if tables:
        return tables if tables[0][0] else tables[:1]
    names = [name for name in inside if name.lower().endswith(TABLES)]
    sets = ", ".join(dict.fromkeys(kit.title for kit in KITS))
    advice = f"for images in class folders write 'folder:{folder}'"
    if names:
        advice = f"name a table in it, such as 'csv:{folder / names[0]}' of {', '.join(names[:10])}"
    raise SourceError(f"csv: {folder} is a folder and not one of {sets}: {advice}")


def _add(listed: Listed, path: Path, word: str, spec: TableSpec) -> None:
    """The rows of one table; `word` is its part, "" where a column may have it."""
    parent = os.path.abspath(path.parent)

    @cache
    def reader(part: str, clean: Callable[[str], str]) -> Callable[[str], str]:
        return path_of(
            _folder_names(parent, spec.folder.replace("{split}", part)), spec.suffix, clean
        )

    def is_image(text: str) -> bool:
        return any(_is_file(reader(word, clean)(text)) for clean in CLEANINGS)

    table = read_table(path, is_image)
    columns = choose_columns(table, spec, is_image)
    wanted = [columns.image, *columns.labels, *([] if columns.part is None else [columns.part])]
    numbers, kept = table.columns(wanted, columns.skip)
    fields = kept[0]
    for number, text in zip(numbers, fields, strict=True):
        if not text or "\0" in text:
            raise SourceError(f"csv: {table.at(number)}: {text!r} names no image")
    words = [word] * len(fields)
    parts: list[str] = [split_of(word) or ""] * len(fields)
    notes = [columns.said(table)]
    if columns.part is not None and not word:
        meaning, note = _meaning(table, columns, kept[-1], bool(spec.split))
        if meaning:
            words, parts = kept[-1], [meaning[text] for text in kept[-1]]
        notes += [note] if note else []
    few = list(zip(words[:10], fields[:10], strict=True))
    clean = next((c for c in CLEANINGS if any(_is_file(reader(w, c)(t)) for w, t in few)), str)
    listed.starts.append(len(listed.paths))
    listed.words.append(word)
    listed.tables.append((table, numbers, columns))
    listed.paths += [reader(w, clean)(text) for w, text in zip(words, fields, strict=True)]
    listed.labels += _labels(table, numbers, columns, fields, kept[1 : 1 + len(columns.labels)])
    listed.parts += parts
    listed.notes += notes


def _folder_names(parent: str, setting: str) -> list[str]:
    """folder=A+B names two, unless one is called so."""
    whole = os.path.join(parent, setting)
    names = [setting] if os.path.isdir(whole) else setting.split("+")
    return [os.path.join(parent, name) for name in names]


def _is_file(path: str) -> bool:
    try:
        return os.path.isfile(path)
    except ValueError:  # a name with a NUL
        return False


def _meaning(
    table: Table, columns: Columns, fields: list[str], asked: bool
) -> tuple[Mapping[str, str], str]:
    """What the fields of the column of parts mean, and a note; nothing where it is not used."""
    assert columns.part is not None
    name = columns.header[columns.part]
    unique = set(fields)
    parts = parts_of(name, unique) or {}
    if parts and ("train" in parts.values() or asked):
        return parts, f"{table.path.name}: official parts from column {name}"
    shown = ", ".join(repr(text) for text in sorted(unique)[:5])
    if asked:
        raise SourceError(
            f"csv: split={name}: {table.path.name} has {shown}{', ...' if len(unique) > 5 else ''} "
            "there: expected train, val and test, or a column such as is_valid with yes and no"
        )
    return {}, f"{table.path.name}: column {name} ({shown}) is not used: no parts are told by it"


def _labels(
    table: Table,
    numbers: Sequence[int],
    columns: Columns,
    images: list[str],
    fields: list[list[str]],
) -> list[str]:
    if not columns.labels:
        return _folders(table, numbers, images)
    if len(columns.labels) > 1:
        return _one_hot(table, numbers, [columns.header[i] for i in columns.labels], fields)
    name = columns.header[columns.labels[0]]
    labels = whole_numbers(fields[0], f"{table.path.name}, column {name}")
    distinct = len(set(labels)) == len(labels) > 10
    if columns.guessed and len(columns.header) > 2 and distinct:
        raise SourceError(
            f"csv: {table.path.name}, column {name}: each image has a label of its own: name the "
            f"column of labels, label=COLUMN, one of {', '.join(columns.header[:40])}"
        )
    return labels


def _folders(table: Table, numbers: Sequence[int], images: list[str]) -> list[str]:
    """The folder of each image, without one for the part that all of the table are in."""
    folders = [os.path.dirname(os.path.normpath(_slashes(image).lstrip("/"))) for image in images]
    if "" in folders:
        raise SourceError(
            f"csv: {table.at(numbers[folders.index('')])}: has no label, and its image no folder "
            "that could be one: write IMAGE and LABEL"
        )
    top = folders[0].partition("/")[0] + "/"
    if split_of(top[:-1]) and all(folder.startswith(top) for folder in folders):
        return [folder[len(top) :] for folder in folders]
    return folders


def _parting(folders: list[str]) -> list[str]:
    """Folders from where they part: of SUN397 a/abbey and a/arch/outdoor."""
    common = os.path.commonpath(set(folders))
    if set(folders) == {common}:
        common = os.path.dirname(common)
    return [folder[len(common) :].lstrip("/") or os.path.basename(folder) for folder in folders]


def _one_hot(
    table: Table, numbers: Sequence[int], names: list[str], fields: list[list[str]]
) -> list[str]:
    """The name of the column that is 1 in each row; "" where none is."""
    for name, column in zip(names, fields, strict=True):
        if other := set(column) - ONE_HOT - {""}:
            raise SourceError(
                f"csv: {table.path.name}, column {name}: expected 0 and 1, received {min(other)!r}"
            )
    labels = []
    for number, row in zip(numbers, zip(*fields, strict=True), strict=True):
        ones = [name for name, text in zip(names, row, strict=True) if text in TRUE]
        if len(ones) > 1:
            raise SourceError(
                f"csv: {table.at(number)}: is {' and '.join(ones)}: one class for each image is "
                "expected"
            )
        labels.append(ones[0] if ones else "")
    return labels
