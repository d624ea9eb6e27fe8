"""`hf:DIR`: a data set of the Hugging Face hub on disk, its Parquet shards or `save_to_disk`.

Read by pyarrow alone. Arrow is read in place; Parquet is written out once as Arrow, no image is
decoded. `hf:NAME`, with no folder of that name, is fetched by the package `datasets`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.errors import SourceError, printable
from pipelines.files.layout import join
from pipelines.files.verify import Files, stamps_of
from pipelines.sources.base import Opening, Source, Unused
from pipelines.sources.records import arrow
from pipelines.sources.records.hub_columns import Columns, columns_of
from pipelines.sources.records.hub_download import downloaded
from pipelines.sources.records.hub_layout import shards_of, snapshot
from pipelines.sources.records.shards import check_complete, parts_of
from pipelines.sources.records.source import (
    NO_LABEL,
    Split,
    labels_by_name,
    ranges,
    record_source,
)
from pipelines.sources.records.spec import place_and_settings
from pipelines.sources.records.unpacked import unpacked

SETTINGS = ("config", "image", "label", "partial")
WHOLE_FILE = -1  # offset of an image that is a file of its own


def open_hub(rest: str, opening: Opening) -> Source:
    """The labelled images of a set; photographs upright, as `datasets` gives them.

    Splits are train, validation and test by their names; others are left out, and said. Class names
    are those of the features, else the labels in their order. Raises SourceError.
    """
    place, settings = place_and_settings("hf", rest, SETTINGS)
    root = Path(place).expanduser()
    if not root.is_dir():
        root = downloaded(place, settings.get("config"))
    root = snapshot(root)
    parts, left = parts_of(shards_of(root, settings.get("config")))
    paths = [path for part in parts for path in part.paths]
    if "partial" not in settings:
        check_complete("hf", paths)
    spec = f"hf:{','.join([os.path.normpath(place), *(f'{k}={v}' for k, v in settings.items())])}"
    columns = _columns(root, paths, settings)
    held = _in_place(spec, root, paths, columns)
    contents = [_read(root, part.split or "image", part.paths, held, columns) for part in parts]
    labels, class_names = _classes(spec, columns, [x for _, known in contents for x in known])
    ends = np.cumsum([len(files) for files, _ in contents])[:-1]
    return record_source(
        spec,
        f"{os.path.realpath(root)}:{settings.get('config', '')}:{columns.image}",
        [
            Split(part.part, part.split, files, known)
            for part, (files, _), known in zip(parts, contents, np.split(labels, ends), strict=True)
        ],
        class_names,
        upright=True,
        opening=opening,
        unused=[
            Unused(part.split or ".", sum(arrow.row_count("hf", p) for p in part.paths), part.why)
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


def _read(
    root: Path, split: str, paths: Sequence[Path], held: dict[Path, Path], columns: Columns
) -> tuple[Files, list[int | str | None]]:
    """The images of a split, called split[0], split[1], ..., and what its label column holds."""
    parts: list[Files] = []
    labels: list[int | str | None] = []
    for path in paths:
        rows = arrow.read_columns("hf", held[path], columns.image, columns.label)
        names = [f"{split}[{len(labels) + i}]" for i in range(len(rows.labels))]
        files = ranges(held[path], names, rows.offsets, rows.sizes)
        for i, stored in rows.paths.items():
            _replace(root, path, files, i, stored)
        parts.append(files)
        labels += rows.labels
    return join(parts), labels


def _replace(root: Path, shard: Path, files: Files, row: int, stored: str | None) -> None:
    """A row that has no bytes: the file that its path names, else a problem of the image."""
    if stored is None:
        files.problems[row] = "has neither bytes nor a path"
        return
    for folder in (root, shard.parent):
        path = folder / stored
        if path.is_file():
            status = path.stat()
            files.paths[row], files.offsets[row] = str(path), WHOLE_FILE
            files.sizes[row], files.stamps[row] = status.st_size, stamps_of(status)
            return
    files.problems[row] = f"has no bytes, only a path, {printable(stored)!r}, that is not there"


def _classes(
    spec: str, columns: Columns, raw: Sequence[int | str | None]
) -> tuple[np.ndarray, list[str]]:
    """(labels, class names): the features' names with their numbers, else what the column holds."""
    names = columns.class_names
    texts = [None if label is None or label == NO_LABEL else str(label) for label in raw]
    if names is None:
        return labels_by_name(texts)
    if any(isinstance(label, str) for label in raw):
        number = {name: i for i, name in enumerate(names)}
        unknown = next((text for text in texts if text is not None and text not in number), None)
        if unknown is not None:
            raise SourceError(
                f"{spec}: column {columns.label!r} holds {unknown!r}, which is none of its classes"
            )
        return np.array([NO_LABEL if t is None else number[t] for t in texts], np.int64), names
    return np.array([NO_LABEL if label is None else label for label in raw], np.int64), names
