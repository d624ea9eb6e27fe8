"""CIFAR-10-C: the test images of CIFAR-10 under a corruption, in five severities.

A file of a corruption holds severity 1 of all images, then severity 2, and so on; labels.npy holds
those of all five. Hendrycks and Dietterich 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipelines.errors import SourceError, nearest
from pipelines.sources.array_checks import check_count, image_shape
from pipelines.sources.arrays.parts import Part, array_source, block_ranges, reading, stamped
from pipelines.sources.base import Opening, Source

SEVERITIES = ("1", "2", "3", "4", "5")
TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def corrupted_source(
    spec: str, root: Path, settings: Mapping[str, str], opening: Opening
) -> Source:
    """One corruption at one severity, or at all five; its images are a test part."""
    there = sorted(path.stem for path in root.glob("*.npy") if path.stem != "labels")
    corruption = settings.get("corruption", "")
    if corruption not in there:
        raise SourceError(
            f"cifar: corruption: {root} has {', '.join(there) or 'none'}, received "
            f"{corruption or 'none'}{nearest(corruption, there)}: write "
            f"'cifar:{root},corruption={there[0] if there else 'NAME'},severity=1'"
        )
    if "label" in settings:
        raise SourceError(
            f"cifar: {root} is CIFAR-10-C, whose labels are of one kind: leave label out"
        )
    path, labels_path = root / f"{corruption}.npy", root / "labels.npy"
    files = stamped("cifar", [path, labels_path])
    images, labels = _mapped(path), np.array(_mapped(labels_path))
    shape = image_shape(f"cifar: {path}", images.dtype, images.shape)
    check_count(len(images), len(labels), f"cifar: {labels_path}")
    if len(images) % len(SEVERITIES):
        raise SourceError(
            f"cifar: {path}: {len(images)} images are not five severities: download it again"
        )
    each = len(images) // len(SEVERITIES)
    severity = settings.get("severity")
    chosen = (
        slice(0, None)
        if severity is None
        else slice(each * (int(severity) - 1), each * int(severity))
    )

    def blocks() -> Iterator[np.ndarray]:
        pixels = _mapped(path)[chosen]
        for start, stop in block_ranges(len(pixels), pixels[0].size):
            yield pixels[start:stop]

    ten = labels.max(initial=0) < len(TEN)
    return array_source(
        spec,
        [Part("test", labels[chosen], blocks)],
        shape,
        files,
        opening,
        class_names=TEN if ten else [str(number) for number in range(100)],
        notes=["a test part and nothing else: for `ilsvrc evaluate`"],
    )


def _mapped(path: Path) -> np.ndarray:
    with reading("cifar", path, ".npy file"):
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
