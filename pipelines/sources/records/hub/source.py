"""`hf:DIR`: a data set of the Hugging Face hub on disk, its Parquet shards or `save_to_disk`.

Read by pyarrow alone. Arrow is read in place; Parquet is written out once as Arrow, no image is
decoded. `hf:NAME`, with no folder of that name, is fetched by the package `datasets`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pipelines.errors import SourceError, printable
from pipelines.files.verify import Files, stamps_of
from pipelines.sources.base import Opening, Source, Unused
from pipelines.sources.records.hub import arrow
from pipelines.sources.records.hub.columns import Columns, columns_of
from pipelines.sources.records.hub.download import downloaded
from pipelines.sources.records.hub.layout import shards_of, snapshot
from pipelines.sources.records.shards import check_complete, parts_of
from pipelines.sources.records.source import (
    classified,
    ranges,
    record_source,
    splits_of,
)
from pipelines.sources.records.spec import classes_setting
from pipelines.sources.records.unpacked import unpacked
from pipelines.sources.spec import place_and_settings, spelled

SETTINGS = ("config", "image", "label", "classes", "partial")
WHOLE_FILE = -1  # offset of an image that is a file of its own


def open_hub(rest: str, opening: Opening) -> Source:
    """The labelled images of a set; photographs upright, as `datasets` gives them.

    Splits are train, validation and test by their names; others are left out, and said. Class names
    are those of the features, else the labels in their order; `classes=numbers` leaves the labels
    numbers, for networks whose classes have other names. Raises SourceError.
    """
    place, settings = place_and_settings("hf", rest, dict.fromkeys(SETTINGS, ()), "hf:DIR")
    root = Path(place).expanduser()
    if not root.is_dir():
        root = downloaded(place, settings.get("config"))
    root = snapshot(root)
    parts, left = parts_of(shards_of(root, settings.get("config")))
    paths = [path for part in parts for path in part.paths]
    if "partial" not in settings:
        check_complete("hf", paths)
    spec = f"hf:{spelled(os.path.normpath(place), settings)}"
    columns = _columns(root, paths, settings)
    held = _in_place(spec, root, paths, columns)
    files: dict[Path, Files] = {}
    texts: list[str | None] = []
    for part in parts:
        first = len(texts)
        for path in part.paths:
            rows = arrow.read_columns("hf", held[path], columns.image, columns.label)
            name = f"{part.split or 'image'}[{{}}]"
            files[path] = _files(root, path, held[path], rows, name, len(texts) - first)
            texts += [None if label is None else str(label) for label in rows.labels]
    names = columns.class_names
    if "classes" in settings:
        names = classes_setting("hf", settings["classes"])
    labels, class_names = classified(spec, texts, names)
    return record_source(
        spec,
        spelled(os.path.realpath(root), settings),
        splits_of(parts, files, labels),
        class_names,
        upright=True,
        opening=opening,
        unused=[
            Unused(part.name, sum(arrow.row_count("hf", path) for path in part.paths), part.why)
            for part in left
        ],
    )


def _columns(root: Path, paths: Sequence[Path], settings: dict[str, str]) -> Columns:
    """Those of all files. Raises SourceError for one that numbers its classes otherwise."""
    first: Columns | None = None
    for path in paths:
        schema = arrow.schema_of("hf", path)
        folder = path.parent if (path.parent / "dataset_info.json").is_file() else root
        columns = columns_of(f"hf: {path}", schema, settings, folder)
        first = first or columns
        if columns != first:
            raise SourceError(
                f"hf: {path} has other columns or classes than {paths[0]}: they are not of one set"
            )
    assert first is not None
    return first


def _in_place(spec: str, root: Path, paths: Sequence[Path], columns: Columns) -> dict[Path, Path]:
    """Of each file the one whose byte ranges are its images: itself, or its copy."""
    packed = [path for path in paths if not arrow.is_plain("hf", path, columns.image)]
    if not packed:
        return {path: path for path in paths}
    chosen = [columns.image, columns.label]
    kind = "Parquet" if packed[0].suffix == ".parquet" else "compressed Arrow"
    why = f"{kind} has no random access"
    copies = unpacked(spec, why, root, packed, ".arrow", arrow.plain(chosen), *chosen)
    return {path: path for path in paths} | dict(zip(packed, copies, strict=True))


def _files(root: Path, shard: Path, held: Path, rows: arrow.Rows, name: str, first: int) -> Files:
    """The images of a file, called by their split and number in it, as in train[17]."""
    names = [name.format(first + i) for i in range(len(rows.labels))]
    files = ranges(held, names, rows.offsets, rows.sizes)
    for row, stored in rows.paths.items():
        path = next(filter(None, (_below(folder, stored) for folder in (root, shard.parent))), None)
        if path is not None:
            status = path.stat()
            files.paths[row], files.offsets[row] = str(path), WHOLE_FILE
            files.sizes[row], files.stamps[row] = status.st_size, stamps_of(status)
        elif stored is None:
            files.problems[row] = "has neither bytes nor a path"
        else:
            files.problems[row] = f"has no bytes, only a path, {printable(stored)!r}, not there"
    return files


def _below(folder: Path, stored: str | None) -> Path | None:
    """The file of a path inside of a folder; None where there is none."""
    if not stored or os.path.isabs(stored) or ".." in Path(stored).parts:
        return None
    path = folder / stored
    return path if path.is_file() else None
