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
    check_packing,
    reading,
    stamped,
)
from pipelines.sources.base import Opening, Source
from pipelines.sources.spec import place_and_settings

FORM = "svhn:DIR[,extra=true]"
FORMAT = "MATLAB 5 file of X [32, 32, 3, n] and y [n, 1]"
DIGITS = [str(digit) for digit in range(10)]


def open_svhn(rest: str, opening: Opening) -> Source:
    """`DIR[,extra=true]` of train_32x32.mat and test_32x32.mat; extra_32x32.mat joins train.

    Label 10 is the digit 0, so that classes are 0 to 9. Raises SourceError for anything else.
    """
    place, settings = place_and_settings("svhn", rest, {"extra": ("true", "false")}, FORM)
    root = Path(place).expanduser()
    extra, all_extra = settings.get("extra") == "true", root / "extra_32x32.mat"
    if extra and not all_extra.is_file():
        raise SourceError(f"svhn: {all_extra} is not there: put it there, or leave extra out")
    files = {part: [root / f"{part}_32x32.mat"] for part in ("train", "test")}
    files = {part: paths for part, paths in files.items() if paths[0].is_file()}
    if not files:
        raise SourceError(
            f"svhn: {root} has neither train_32x32.mat nor test_32x32.mat (format 2, cropped "
            "digits): check the path"
        )
    if extra:
        files["train"] = [*files.get("train", []), all_extra]
    stamps = stamped("svhn", [path for paths in files.values() for path in paths])
    shapes = {path: _shape(path) for paths in files.values() for path in paths}
    if len({shape[:3] for shape in shapes.values()}) > 1:
        raise SourceError(f"svhn: {root}: its parts differ in size: {list(shapes.values())}")
    height, width, channels, _ = shapes[files[next(iter(files))][0]]
    images = sum(shape[3] for shape in shapes.values())
    spec = f"svhn:{rest}"
    check_packing(spec, images, (height, width, channels), stamps, opening)
    parts = []
    for part, paths in files.items():
        labels = np.concatenate([_labels(path, shapes[path][3]) for path in paths])
        parts.append(Part(part, labels, partial(_blocks, paths)))
    notes = ["label 10 is the digit 0"]
    if all_extra.is_file() and not extra:
        notes.append(f"{all_extra.name} is not used: extra=true adds its images to train")
    return array_source(
        spec, parts, (height, width, channels), stamps, opening, class_names=DIGITS, notes=notes
    )


def _shape(path: Path) -> tuple[int, int, int, int]:
    """Height, width, channels and images of X, as declared; nothing of it is read."""
    from scipy.io import whosmat

    with reading("svhn", path, FORMAT):
        declared = {name: (shape, kind) for name, shape, kind in whosmat(path)}
        shape, kind = declared.get("X", ((), "missing"))
        if len(shape) != 4 or kind != "uint8" or "y" not in declared:
            raise ValueError(f"it holds {declared}")
        check_count(shape[3], max(declared["y"][0]), f"svhn: {path}: y")
        stored = shape[3], *shape[:3]
        return (*image_shape(f"svhn: {path}: X", np.dtype(np.uint8), stored), shape[3])


def _variable(path: Path, name: str) -> np.ndarray:
    from scipy.io import loadmat

    return np.asarray(loadmat(path, variable_names=[name])[name])


def _labels(path: Path, count: int) -> np.ndarray:
    with reading("svhn", path, FORMAT):
        labels = _variable(path, "y").reshape(-1)
        check_count(count, len(labels), f"svhn: {path}: y")
        bad = ~np.isin(labels, np.arange(1, 11))
    if bad.any():
        i = int(bad.argmax())
        raise SourceError(
            f"svhn: {path}: y: expected from 1 to 10, received {labels[i]} for image {i}: "
            "download it again"
        )
    return labels.astype(np.int64) % 10


def _blocks(paths: list[Path]) -> Iterator[np.ndarray]:
    for path in paths:
        with reading("svhn", path, FORMAT):
            yield _variable(path, "X").transpose(3, 0, 1, 2)
