"""Some classes of a source as a source of its own: a small set of a large one."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pipelines.errors import SourceError
from pipelines.lazy import tf
from pipelines.sources.array_source import ArraySource
from pipelines.sources.base import Source, finish_fingerprint
from pipelines.sources.duplicates import content_digests

if TYPE_CHECKING:
    from pipelines.files.decode import Cut
    from pipelines.sources.base import Window


def some_classes(source: Source, count: int) -> Source:
    """The source with so many of its classes, evenly spaced in their order, and their images alone.

    Neighbours in the order of ImageNet are of one kind; the first of them would all be fish.
    Raises SourceError where it has fewer.
    """
    total = len(source.class_names)
    if count > total:
        raise SourceError(f"{source.spec} has {total} classes, received data.classes={count}")
    if count == total:
        return source
    chosen = [number * total // count for number in range(count)]
    rows = np.flatnonzero(np.isin(source.labels, chosen))
    labels = np.searchsorted(chosen, source.labels[rows])
    names = [source.class_names[number] for number in chosen]
    part = SomeClasses(source, rows, labels, names)
    if not isinstance(source, ArraySource):
        return part
    held = ArraySource(
        lambda: source.array[rows],
        labels,
        names,
        spec=source.spec,
        image_shape=source.image_shape,  # type: ignore[arg-type]  # known of an array
        default_size=source.default_size,
        official_splits=part.official_splits,
        corrupt=source.corrupt,
        fingerprint=part.fingerprint,
    )
    held.titles, held.unused, held.headline = part.titles, part.unused, part.headline
    held.notes, held.changed = part.notes, part.changed
    return held


class SomeClasses(Source):
    """Images of a source at some rows, with labels of their own."""

    def __init__(self, source: Source, rows: np.ndarray, labels: np.ndarray, names: list[str]):
        self._source, self._rows = source, rows
        self.spec, self.labels, self.class_names = source.spec, labels, names
        self.image_shape, self.default_size = source.image_shape, source.default_size
        self.corrupt, self.changed = source.corrupt, source.changed
        self.unused, self.headline = source.unused, source.headline
        self.titles = {name: source.titles[name] for name in names if name in source.titles}
        self.notes = (*source.notes, f"{len(names)} of {len(source.class_names)} classes")
        if source.shapes is not None:
            self.shapes = source.shapes[rows]
        self.official_splits = None
        if source.official_splits is not None:
            self.official_splits = {
                part: np.searchsorted(rows, indices[np.isin(indices, rows)])
                for part, indices in source.official_splits.items()
            }

    @property
    def fingerprint(self) -> str:
        if self._fingerprint is None:
            digest = hashlib.sha256(f"some classes of {self._source.fingerprint}".encode())
            finish_fingerprint(digest, self.labels, self.class_names)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    @cached_property
    def digests(self) -> np.ndarray | None:  # type: ignore[override]
        digests = content_digests(self._source)
        return None if digests is None else digests[self._rows]

    def check_unchanged(self) -> None:
        self._source.check_unchanged()

    def check_decodes(self, error: Exception) -> None:
        self._source.check_decodes(error)

    def images(self, index: tf.Tensor, window: Window | None = None) -> tf.Tensor:
        return self._source.images(tf.gather(self._places, index), window)

    def part(self, index: tf.Tensor, cut: Cut) -> tf.Tensor:
        return self._source.part(tf.gather(self._places, index), cut)

    @cached_property
    def _places(self) -> tf.Tensor:
        with tf.init_scope(), tf.device("CPU:0"):
            return tf.constant(self._rows)
