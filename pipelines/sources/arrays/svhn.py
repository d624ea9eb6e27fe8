"""`svhn:DIR`: Street View House Numbers, cropped digits of 32 x 32. Netzer et al. 2011."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from pipelines.errors import SourceError
from pipelines.sources.array_checks import check_count, image_shape
from pipelines.sources.arrays.parts import (
    Part,
    array_source,
    check_memory,
    path_and_settings,
    reading,
    stamped,
)
from pipelines.sources.base import ArraySource, Opening, Unused

FORM = "svhn:DIR[,extra=true]"
FORMAT = "MATLAB 5 file of X [32, 32, 3, n] and y [n, 1]"
DIGITS = [str(digit) for digit in range(10)]


def open_svhn(rest: str, opening: Opening) -> ArraySource:
    """`DIR[,extra=true]` of train_32x32.mat and test_32x32.mat; extra_32x32.mat joins train.

    Label 10 is the digit 0, so that classes are 0 to 9. Raises SourceError for anything else.
    """
    root, settings = path_and_settings("svhn", rest, {"extra": ("true", "false")}, FORM)
    names = {part: root / f"{part}_32x32.mat" for part in ("train", "extra", "test")}
    there = {part: path for part, path in names.items() if path.is_file()}
    extra = settings.get("extra") == "true"
    if "train" not in there and "test" not in there:
        raise SourceError(
            f"svhn: {root} has neither train_32x32.mat nor test_32x32.mat (format 2, cropped "
            "digits): check the path"
        )
    if extra and "extra" not in there:
        raise SourceError(f"svhn: {names['extra']} is not there: put it there, or leave extra out")
    counts: dict[str, int] = {}
    shapes = {}
    files = stamped("svhn", list(there.values()))
    for part, path in there.items():
        with reading("svhn", path, FORMAT):
            height, width, channels, counts[part] = _shape_of(path)
            shapes[part] = image_shape(
                f"svhn: {path}: X", np.dtype(np.uint8), (counts[part], height, width, channels)
            )
    used = [part for part in there if part != "extra" or extra]
    if len({shapes[part] for part in used}) > 1:
        raise SourceError(f"svhn: {root}: its parts differ in size: {shapes}")
    shape = shapes[used[0]]
    check_memory(f"svhn:{rest}", sum(counts[part] for part in used), shape, opening)
    joined = [part for part in used if part != "test"]
    parts = []
    for name, members in (("train", joined), ("test", [part for part in used if part == "test"])):
        if members:
            labels = [_labels(there[part], counts[part]) for part in members]
            parts.append(
                Part(name, np.concatenate(labels), partial(_blocks, [there[m] for m in members]))
            )
    unused = [
        Unused(there[part].name, counts[part], "are left out: extra=true adds them to train")
        for part in there
        if part not in used
    ]
    return array_source(
        f"svhn:{rest}",
        parts,
        shape,
        files,
        opening,
        class_names=DIGITS,
        unused=unused,
        notes=["label 10 is the digit 0"],
    )


def _shape_of(path: Path) -> tuple[int, ...]:
    """The declared shape of X; nothing of it is read."""
    from scipy.io import whosmat

    declared = {name: (shape, kind) for name, shape, kind in whosmat(path)}
    shape, kind = declared.get("X", ((), "missing"))
    if len(shape) != 4 or kind != "uint8" or "y" not in declared:
        raise ValueError(f"it holds {declared}")
    if max(declared["y"][0]) != shape[3]:
        raise ValueError(f"{declared['y'][0]} labels for {shape[3]} images")
    return tuple(shape)


def _variable(path: Path, name: str) -> np.ndarray:
    from scipy.io import loadmat

    return np.asarray(loadmat(path, variable_names=[name])[name])


def _labels(path: Path, count: int) -> np.ndarray:
    with reading("svhn", path, FORMAT):
        labels = _variable(path, "y").reshape(-1).astype(np.int64)
    check_count(count, len(labels), f"svhn: {path}: y")
    bad = (labels < 1) | (labels > 10)
    if bad.any():
        i = int(bad.argmax())
        raise SourceError(
            f"svhn: {path}: y: expected from 1 to 10, received {labels[i]} for image {i}: "
            "download it again"
        )
    return labels % 10


def _blocks(paths: list[Path]) -> Iterator[np.ndarray]:
    for path in paths:
        with reading("svhn", path, FORMAT):
            yield _variable(path, "X").transpose(3, 0, 1, 2)
