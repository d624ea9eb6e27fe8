"""`cifar:PATH`: CIFAR-10 and CIFAR-100 in both forms of their page, packed or not. Krizhevsky 2009.

The Python form is a pickle of {data [n, 3072], labels} a batch; the binary form is records of one
label byte (CIFAR-100: coarse, fine) and 3,072 bytes. Red, green, blue planes of 32 x 32 in both.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.errors import SourceError
from pipelines.sources.arrays.cifar_c import SEVERITIES, corrupted_source
from pipelines.sources.arrays.parts import (
    Part,
    array_source,
    reading,
    stamped,
)
from pipelines.sources.arrays.pickled import plain
from pipelines.sources.base import Opening, Source
from pipelines.sources.spec import place_and_settings

FORM = "cifar:PATH[,label=fine|coarse]"
SIDE = 32
PIXELS = 3 * SIDE * SIDE
LARGEST_BYTES = 1024**3  # of one file of the set; the largest has 184 MB


class Form(NamedTuple):
    """How a set is laid out.

    name    of its archive, and nearly of its folder
    parts   part -> files
    class_names   kind of label -> file of their names
    label_bytes   in front of each image of a binary file; 0: pickles
    """

    name: str
    parts: Mapping[str, list[str]]
    class_names: Mapping[str, str]
    label_bytes: int


def _ten(suffix: str) -> dict[str, list[str]]:
    train = [f"data_batch_{number}{suffix}" for number in range(1, 6)]
    return {"train": train, "test": [f"test_batch{suffix}"]}


HUNDRED = {"fine": "fine_label_names.txt", "coarse": "coarse_label_names.txt"}
FORMS = (
    Form("cifar-10-python", _ten(""), {"fine": "batches.meta"}, 0),
    Form("cifar-10-binary", _ten(".bin"), {"fine": "batches.meta.txt"}, 1),
    Form(
        "cifar-100-python",
        {"train": ["train"], "test": ["test"]},
        {"fine": "meta", "coarse": "meta"},
        0,
    ),
    Form("cifar-100-binary", {"train": ["train.bin"], "test": ["test.bin"]}, HUNDRED, 2),
)
FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin", "cifar-100-python", "cifar-100-binary")
ARCHIVES = tuple(f"{form.name}{end}" for form in FORMS for end in (".tar.gz", ".tgz", ".tar"))
KNOWN = {
    name
    for form in FORMS
    for names in (form.class_names.values(), *form.parts.values())
    for name in names
}


def open_cifar_files(rest: str, opening: Opening) -> Source:
    """`PATH[,label=fine|coarse]`, a folder or an archive as downloaded.

    `FOLDER,corruption=NAME[,severity=1..5]` of CIFAR-10-C: a test part and nothing else.
    Raises SourceError for anything else, and for pickles that hold more than numbers and text.
    """
    known = {"label": ("fine", "coarse"), "corruption": (), "severity": SEVERITIES}
    place, settings = place_and_settings("cifar", rest, known, FORM)
    path = Path(place).expanduser()
    spec = f"cifar:{rest}"
    if (path / "labels.npy").is_file():
        return corrupted_source(spec, path, settings, opening)
    others = settings.keys() - {"label"}
    if others:
        raise SourceError(
            f"cifar: {path} is no CIFAR-10-C (it has no labels.npy): leave {min(others)} out"
        )
    return cifar_source(spec, path, settings.get("label"), opening)


def cifar_source(spec: str, path: Path, label: str | None, opening: Opening) -> Source:
    """What `path` holds or is, of one of FORMS; `label` None: fine."""
    place = _place(path)
    there = [place / name for name in sorted(KNOWN) if (place / name).is_file()]
    stamps = stamped("cifar", there or [place])
    stored = _stored(place)
    form = next((form for form in FORMS if any(f[0] in stored for f in form.parts.values())), None)
    if form is None:
        raise SourceError(
            f"cifar: {path} is none of {', '.join(FOLDERS)}, no archive of one and no CIFAR-10-C "
            "(it would have labels.npy): check the path"
        )
    label = label or "fine"
    if label not in form.class_names:
        raise SourceError(
            f"cifar: {path} is CIFAR-10, whose labels are of one kind: leave label out"
        )
    files = {
        part: names for part, names in form.parts.items() if any(name in stored for name in names)
    }
    named = form.class_names[label]
    for name in (*(name for names in files.values() for name in names), named):
        if name not in stored:
            raise SourceError(f"cifar: {place} has no {name}: download or unpack it again")
    with reading("cifar", place / named, "list of class names"):
        class_names = _class_names(stored[named], label, form)
    parts = []
    for part, names in files.items():
        batches = []
        for name in names:
            with reading("cifar", place / name, "batch of CIFAR"):
                batches.append(_batch(stored.pop(name), label, form))
        labels = np.concatenate([known for _, known in batches])
        parts.append(Part(part, labels, partial(_pixels, [planes for planes, _ in batches])))
    return array_source(spec, parts, (SIDE, SIDE, 3), stamps, opening, class_names=class_names)


def _place(path: Path) -> Path:
    """The folder or archive that is meant: the path itself, or the one of the kind in it."""
    inside = [path / name for name in (*FOLDERS, *ARCHIVES)]
    there = [candidate for candidate in inside if candidate.exists()]
    if any((path / name).is_file() for name in KNOWN) or not there:
        return path
    kinds = {candidate.name[:9] for candidate in there}
    if len(kinds) > 1:
        raise SourceError(
            f"cifar: {path} holds {', '.join(x.name for x in there)}: name one, as cifar:{there[0]}"
        )
    return there[0]


def _stored(place: Path) -> dict[str, bytes]:
    """The known files of a folder, or of an archive in one pass over it."""
    stored: dict[str, bytes] = {}
    with reading("cifar", place, "folder or archive of CIFAR"):
        if place.is_dir():
            paths = [place / name for name in sorted(KNOWN) if (place / name).is_file()]
            _check_size(sum(path.stat().st_size for path in paths))
            return {path.name: path.read_bytes() for path in paths}
        with tarfile.open(place) as archive:
            for member in archive:
                name = os.path.basename(member.name)
                if name in KNOWN and member.isfile():
                    _check_size(member.size + sum(map(len, stored.values())))
                    file = archive.extractfile(member)
                    assert file is not None
                    stored[name] = file.read()
    return stored


def _check_size(size: int) -> None:
    if size > LARGEST_BYTES:
        raise ValueError(f"{size:,} bytes, more than a set of CIFAR has")


def _class_names(stored: bytes, label: str, form: Form) -> list[str]:
    if form.label_bytes:
        names = stored.decode().split()
    else:
        found = _texts(plain(stored))
        names = found["label_names" if len(form.class_names) == 1 else f"{label}_label_names"]
    if not names:
        raise ValueError("no names")
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _texts(dictionary: Any) -> dict[str, Any]:
    """Keys as text: Python 2 wrote bytes."""
    if not isinstance(dictionary, dict):
        raise ValueError(f"a {type(dictionary).__name__} where a dictionary is expected")
    return {key.decode() if isinstance(key, bytes) else key: x for key, x in dictionary.items()}


def _batch(stored: bytes, label: str, form: Form) -> tuple[np.ndarray, np.ndarray]:
    """Planes uint8 [n, 3072] and labels int64 [n] of a file."""
    if form.label_bytes:
        each = form.label_bytes + PIXELS
        if not stored or len(stored) % each:
            raise ValueError(f"{len(stored)} bytes, where an image has {each}")
        records = np.frombuffer(stored, np.uint8).reshape(-1, each)
        column = form.label_bytes - 1 if label == "fine" else 0
        return records[:, form.label_bytes :], records[:, column].astype(np.int64)
    batch = _texts(plain(stored))
    key = "labels" if len(form.class_names) == 1 else f"{label}_labels"
    planes, labels = np.asarray(batch["data"]), np.asarray(batch[key], np.int64)
    if planes.dtype != np.uint8 or planes.shape != (len(labels), PIXELS) or not len(labels):
        raise ValueError(f"data of {planes.dtype} {planes.shape} with {len(labels)} labels")
    return planes, labels


def _pixels(batches: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Planes [n, 3072] to [n, 32, 32, 3]; each batch is let go once it was given out."""
    while batches:
        yield batches.pop(0).reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
