"""`wds:GLOB`: WebDataset, tar shards of samples KEY.jpg and KEY.cls, read in place.

A sample is the files of one key: the path up to the first dot of the base name. Its label is what
KEY.cls says, or a value of KEY.json. A compressed shard is written out once as a plain tar.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from pipelines.errors import SourceError, printable
from pipelines.files.index_cache import cache_file, load_columns, save_columns
from pipelines.files.naming import split_of
from pipelines.files.tars import Members, list_tar
from pipelines.files.text import read_text
from pipelines.files.verify import Files, stamps_of
from pipelines.progress import Progress
from pipelines.sources.base import Opening, Source, Unused
from pipelines.sources.records.shards import check_complete, parts_of, shard_of
from pipelines.sources.records.source import classified, ranges, record_source, splits_of
from pipelines.sources.records.spec import (
    class_list,
    classes_setting,
    expanded,
    holdings,
)
from pipelines.sources.records.unpacked import plain_or_gunzipped
from pipelines.sources.spec import place_and_settings, spelled

SEPARATOR = re.compile(r":{2}")
SETTINGS = ("image", "label", "classes", "partial")
ENDINGS = (".tar", ".tar.gz", ".tgz")
CLASS_FILES = ("classnames.txt", "classes.txt")
IMAGES = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "jpe", "jfif", "ppm", "img")
WHY = ("are samples without an image", "are images beside the first of their sample")
LABEL, TABLE = "cls", "json"
LARGEST_BYTES = 1024**2  # of a KEY.cls or KEY.json
TABLE_KEYS = (
    "label",
    "cls",
    "class",
    "class_id",
    "label_id",
)  # of a KEY.json, the first that is there


class Samples(NamedTuple):
    """Of a shard, in order: image members, their bytes, and texts of labels ("" = none).

    counts   [samples without an image, images beside the first of their sample]
    kinds    the endings that occur
    """

    names: list[str]
    offsets: np.ndarray
    sizes: np.ndarray
    labels: list[str]
    counts: np.ndarray
    kinds: list[str]


def open_webdataset(rest: str, opening: Opening) -> Source:
    """Shards in the order of their names, samples in that of the shards; pixels as stored.

    Splits by the words in the names of shards and folders. Classes are whole numbers in their
    order, or names; a list of names, one a line, may lie beside as classnames.txt or be given as
    `classes=FILE`. Raises SourceError.
    """
    place, settings = place_and_settings("wds", rest, dict.fromkeys(SETTINGS, ()), "wds:GLOB")
    paths = _shard_paths(place, "partial" in settings)
    root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    paths = [path.absolute() for path in paths]
    spec = f"wds:{rest}"
    parts, left = parts_of(shard_of(path, root) for path in paths)
    used = [path for part in parts for path in part.paths]
    if "partial" not in settings:
        check_complete("wds", used)
    samples = _listed(spec, root, used, settings)
    if not any(filter(None, (text for shard in samples.values() for text in shard[1].labels))):
        kinds = sorted({kind for _, shard in samples.values() for kind in shard.kinds})
        raise SourceError(
            f"{spec}: expected KEY.{LABEL}, or KEY.{TABLE} with a label, beside KEY.jpg; its "
            f"samples have {', '.join(f'.{kind}' for kind in kinds[:12]) or 'nothing'}: name the "
            "ending or the key that is the label, as in ',label=txt'"
        )
    names, notes = _class_names(root, settings)
    texts = [text or None for path in used for text in samples[path][1].labels]
    labels, class_names = classified(spec, texts, names)
    files = {path: _files(root, path, *samples[path]) for path in used}
    unused = [Unused(part.name, len(part.paths), f"shards {part.why}") for part in left]
    for part in parts:
        counts = np.sum([samples[path][1].counts for path in part.paths], axis=0)
        unused += [
            Unused(part.name, count, why)
            for count, why in zip(counts.tolist(), WHY, strict=True)
            if count
        ]
    return record_source(
        spec,
        spelled(os.path.abspath(place), settings),
        splits_of(parts, files, labels),
        class_names,
        upright=False,
        opening=opening,
        unused=unused,
        notes=notes,
    )


def _shard_paths(place: str, partial: bool) -> list[Path]:
    """The tars of a folder and those below it, of a pattern, or of a shell's {000..146}."""
    paths: list[Path] = []
    for pattern in dict.fromkeys(name for one in SEPARATOR.split(place) for name in expanded(one)):
        path = Path(pattern).expanduser()
        if path.is_dir():
            matched = sorted(_below(path))
            if not matched:
                raise SourceError(
                    f"wds: {path} has no tar shards, but {holdings(path)}: name the folder that "
                    "holds them, or another source"
                )
            if not partial:
                _check_listed(path, matched)
        else:
            matched = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
            if not matched:
                raise SourceError(f"wds: {path} is missing: expected a tar; download it")
        paths += matched
    return list(dict.fromkeys(paths))


def _below(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.endswith(ENDINGS) and not name.startswith("."):
                yield Path(where, name)


def _check_listed(root: Path, paths: Sequence[Path]) -> None:
    """Are the shards there that `_info.json` (timm) names, as many as an nshards.txt counts?"""
    fix = "download it, or add ',partial=yes' to use those that are there"
    there, names, wanted = {path.name for path in paths}, [], {}
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        splits = json.loads(read_text(root / "_info.json"))["splits"].values()
        names = [os.path.basename(name) for split in splits for name in split["filenames"]]
    for name in names:
        if name not in there:
            raise SourceError(f"wds: {root / name} is missing, of {len(names)} shards: {fix}")
    for folder in {path.parent for path in paths}:
        with contextlib.suppress(OSError, ValueError):
            wanted[folder] = int(read_text(folder / "nshards.txt"))
    for folder, count in sorted(wanted.items()):
        held = sum(path.parent == folder for path in paths)
        if held < count:
            raise SourceError(f"wds: {folder} has {held} of {count} shards: {fix}")


def _listed(
    spec: str, root: Path, paths: Sequence[Path], settings: Mapping[str, str]
) -> dict[Path, tuple[Path, Samples]]:
    """Of each shard the tar that is read, itself or its copy, and what it holds."""
    why = "a compressed tar has no random access"
    plain = plain_or_gunzipped(spec, why, root, paths, ".tar")
    advance = Progress(f"{spec}: listed {{}} shards", len(paths))
    listed = {}
    for done, path in enumerate(paths):
        advance(done)
        listed[path] = plain[path], _samples(plain[path], settings)
    return listed


def _samples(path: Path, settings: Mapping[str, str]) -> Samples:
    """Read once; kept by the shard's place, size and times of change."""
    members = list_tar(path, scheme="wds")
    status = path.stat()
    key = (os.path.realpath(path), str(status.st_size), *map(str, stamps_of(status)))
    chosen = settings.get("image", ""), settings.get("label", "")
    cached = cache_file("wds", *chosen, *key)
    columns = load_columns(cached, list(Samples._fields))
    if columns is not None:
        return Samples(**columns)
    with path.open("rb") as file:
        samples = _grouped(file, path, members, *chosen)
    save_columns(cached, samples._asdict())
    return samples


def _grouped(file: BinaryIO, path: Path, members: Members, image: str, label: str) -> Samples:
    groups: dict[str, dict[str, int]] = {}
    for i, name in enumerate(members.names):
        folder, base = os.path.split(name)
        stem, _, ending = base.partition(".")
        groups.setdefault(os.path.join(folder, stem), {}).setdefault(ending.lower(), i)
    wanted = (image,) if image else IMAGES
    chosen: list[int] = []
    labels: list[str] = []
    counts = np.zeros(2, np.int64)

    def contents(i: int) -> str:
        if members.sizes[i] > LARGEST_BYTES:
            raise _damaged(path, members.names[i], f"has {members.sizes[i]} bytes")
        file.seek(int(members.offsets[i]))
        try:
            return file.read(int(members.sizes[i])).decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise _damaged(path, members.names[i], "is no text in UTF-8") from None

    for group in groups.values():
        images = [group[ending] for ending in wanted if ending in group]
        if not images:
            counts[0] += 1
            continue
        counts[1] += len(images) - 1
        chosen.append(images[0])
        labels.append(_label(path, members.names, group, label, contents))
    kinds = sorted({ending for group in groups.values() for ending in group})
    names = [members.names[i] for i in chosen]
    return Samples(names, members.offsets[chosen], members.sizes[chosen], labels, counts, kinds)


def _label(path: Path, names: list[str], group: dict[str, int], label: str, contents: Any) -> str:
    """The text of a sample's label; "" where it has none."""
    if label in group or (not label and LABEL in group):
        return str(contents(group[label or LABEL]))
    if TABLE not in group:
        return ""
    try:
        table = json.loads(contents(group[TABLE]))
    except (ValueError, RecursionError):
        raise _damaged(path, names[group[TABLE]], "is no JSON") from None
    keys = (label,) if label else TABLE_KEYS
    value = next((table[key] for key in keys if isinstance(table, dict) and key in table), None)
    if value is None:
        return ""
    if not isinstance(value, int | str):
        raise _damaged(path, names[group[TABLE]], f"has the label {str(value)[:60]}")
    return str(value).strip()


def _damaged(path: Path, name: str, why: str) -> SourceError:
    return SourceError(
        f"wds: {path.name}: {printable(name)} {why}: expected a whole number or the name of a class"
    )


def _files(root: Path, shard: Path, plain: Path, samples: Samples) -> Files:
    where = shard.relative_to(root).as_posix()
    names = [f"{where}/{name}" for name in samples.names]
    return ranges(plain, names, samples.offsets, samples.sizes)


def _class_names(root: Path, settings: Mapping[str, str]) -> tuple[list[str] | None, list[str]]:
    """The names of classes that are written down somewhere, and a note of where."""
    if "classes" in settings:
        names = classes_setting("wds", settings["classes"])
        return names, [f"classes are named by {settings['classes']}"] if names else []
    above = [root.parent] if split_of(root.name) else []
    for folder in (root, *above):
        for name in CLASS_FILES:
            if (folder / name).is_file():
                return class_list("wds", folder / name), [f"classes are named by {folder / name}"]
    return None, []
