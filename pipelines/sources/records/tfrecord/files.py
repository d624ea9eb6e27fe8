"""Files of tf.train.Example records: which they are, what is in them, where the images lie."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.errors import SourceError, printable
from pipelines.files.index_cache import cache_file, load_columns, save_columns
from pipelines.files.verify import stamps_of
from pipelines.sources.records.examples import Value, names_of, records, values_of
from pipelines.sources.records.spec import holdings

FILE = re.compile(r"(?i).*(\.tfrecords?|\.tfrec)(-\d+-of-\d+)?(\.gz)?|[^.]*-\d+-of-\d+(\.gz)?")
IMAGES = ("image/encoded", "image", "image_raw", "jpeg", "img")
LABELS = ("image/class/label", "label", "image/class/synset", "class", "labels", "target")
SYNSET, TEXT = "image/class/synset", "image/class/text"
NOTHING = -1  # of a record without a label


class Keys(NamedTuple):
    """Names of features; "" for one that the records do not have."""

    image: str
    label: str
    synset: str
    text: str


class Records(NamedTuple):
    """Of a file, in order: where the images lie, and what is said of each ("" = nothing).

    numbers   labels that are whole numbers from 0; NOTHING where there is none
    synsets   labels that are names
    texts     readable names
    bare      [records without an image]
    """

    offsets: np.ndarray
    sizes: np.ndarray
    numbers: np.ndarray
    synsets: list[str]
    texts: list[str]
    bare: np.ndarray


def record_files(root: Path) -> Iterator[Path]:
    """Below `root`, by their names. Raises SourceError where there is none."""
    none = True
    for where, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if FILE.fullmatch(name) and not name.startswith("."):
                none = False
                yield Path(where, name)
    if none:
        raise SourceError(
            f"tfrecord: {root} has no train-*-of-* and no *.tfrecord, but {holdings(root)}: "
            "name the folder that holds them, or another source"
        )


def keys_of(spec: str, paths: Iterable[Path], settings: Mapping[str, str]) -> Keys:
    """The features that are the image and the label, from the first record and the settings.

    Raises SourceError, with the features that are there, where it has none that could be.
    """
    first = next((record for path in paths for _, record in records(path)), None)
    kinds = {} if first is None else names_of(first)
    if not kinds:
        raise SourceError(f"{spec}: holds no tf.train.Example records: name another source")
    chosen = []
    for role, usual, fitting in (("image", IMAGES, "bytes"), ("label", LABELS, "int bytes")):
        candidates = [settings[role]] if role in settings else usual
        fits = [name for name in candidates if kinds.get(name, "?") in fitting]
        if not fits:
            there = ", ".join(f"{name}: {kind}" for name, kind in sorted(kinds.items()))
            raise SourceError(
                f"{spec}: its records have no feature {candidates[0]!r} that can be the {role}, "
                f"but {there[:300]}: name it, as in ',{role}={min(kinds)}'"
            )
        chosen.append(fits[0])
    both = "label" not in settings
    return Keys(
        chosen[0],
        chosen[1],
        SYNSET if both and kinds.get(SYNSET) == "bytes" else "",
        TEXT if both and kinds.get(TEXT) == "bytes" else "",
    )


def read_records(path: Path, keys: Keys) -> Records:
    """All of a file, its checksums held against it; then kept by its place, size and times.

    Raises SourceError that names a damaged file, and the number of a record that does not fit.
    """
    status = path.stat()
    kept = (os.path.realpath(path), str(status.st_size), *map(str, stamps_of(status)))
    cached = cache_file("tfrecord", *keys, *kept)
    columns = load_columns(cached, list(Records._fields))
    if columns is not None:
        return Records(**columns)
    read = _parsed(path, keys)
    save_columns(cached, read._asdict())
    return read


def _parsed(path: Path, keys: Keys) -> Records:
    image, label, synset, text = (key.encode() for key in keys)
    names = [name for name in (image, label, synset, text) if name]
    offsets, sizes, numbers = [], [], []
    synsets: list[str] = []
    texts: list[str] = []
    bare = 0
    for count, (start, record) in enumerate(records(path)):
        try:
            values = values_of(record, names)
        except ValueError as error:
            raise SourceError(f"tfrecord: {path}: record {count} {error}") from None
        picture = values.get(image)
        if picture is None or picture.number is not None:
            bare += 1
            continue
        offsets.append(start + picture.start)
        sizes.append(picture.stop - picture.start)
        number, name = _label(record, values.get(label))
        numbers.append(number)
        synsets.append(_text(record, values.get(synset)) or name)
        texts.append(_text(record, values.get(text)))
    return Records(
        np.array(offsets, np.int64),
        np.array(sizes, np.int64),
        np.array(numbers, np.int64),
        synsets,
        texts,
        np.array([bare], np.int64),
    )


def _label(record: bytes, value: Value | None) -> tuple[int, str]:
    """(a whole number, a name) of a label, which is one of both."""
    if value is None:
        return NOTHING, ""
    if value.number is not None:
        return max(value.number, NOTHING), ""
    name = _text(record, value)
    return (int(name), "") if name.isdecimal() else (NOTHING, name)


def _text(record: bytes, value: Value | None) -> str:
    if value is None or value.number is not None:
        return ""
    return printable(record[value.start : value.stop].decode("utf-8", "replace").strip())
