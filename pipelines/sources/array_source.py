"""Images of one size as one array: those of a small set, or arrays of one's own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import SourceError
from pipelines.files.unchanged import check_unchanged
from pipelines.files.verify import Files
from pipelines.lazy import tf
from pipelines.resize import resize_centre
from pipelines.sources.array_checks import (
    check_count,
    checked_images,
    checked_splits,
    classes_of,
)
from pipelines.sources.base import Source, finish_fingerprint, natural_size

if TYPE_CHECKING:
    from pipelines.sources.base import Window


class ArraySource(Source):
    """Images of one size, held as one uint8 array [n, h, w, c].

    From arrays of your own: `ArraySource(images, labels, class_names)` works with all of
    `pipelines`. Workers open a source again by its spec, so a config needs a file: `save(path)`
    writes one and returns its spec, `data.source=npz:PATH`.
    """

    def __init__(
        self,
        images: np.ndarray | Callable[[], np.ndarray],
        labels: Any,
        class_names: Sequence[str] | None = None,
        *,
        spec: str = "arrays",
        image_shape: tuple[int, int, int] | None = None,
        default_size: int | tuple[int, int] | None = None,
        official_splits: Mapping[str, Any] | None = None,
        corrupt: list[tuple[str, str]] | None = None,
        fingerprint: str | None = None,
        read_from: Source | None = None,
        files: Files | None = None,
    ) -> None:
        """
        images           uint8 [n, h, w, c] of 1 or 3 channels, or [n, h, w]; or what makes them on
                         first use, of this `image_shape`: labels alone never pay for pixels
        labels           [n] or [n, 1]: whole numbers from 0, or class names; or one-hot
        class_names      position = label; None: the labels that there are
        official_splits  "train" / "validation" / "test" -> indices
        read_from, files   what the images are read from: a source, or whole files

        Raises SourceError for arrays of other types and shapes, and for labels out of range.
        """
        classes = classes_of(labels, class_names)
        if not callable(images):
            pixels = checked_images(images)
            images, image_shape = lambda: pixels, pixels.shape[1:]
            check_count(len(pixels), len(classes.labels))
        assert image_shape is not None, "images that are made on first use need an image_shape"
        self.spec = spec
        self.labels, self.class_names = classes.labels, classes.names
        self.notes = (classes.note,) if classes.note else ()
        self.image_shape = image_shape
        self.default_size = default_size or natural_size(*image_shape[:2])
        self.official_splits = checked_splits(official_splits, len(self.labels))
        self.corrupt = corrupt or []
        self.read_from = read_from
        self.record_files = files
        self._draw = images
        self._fingerprint = fingerprint
        self._views: dict[tuple[tuple[int, int], float], tf.Tensor] = {}

    def check_unchanged(self) -> None:
        super().check_unchanged()
        if self.record_files is not None:
            # no digest of a whole file is known: one with its size and time of contents is the same
            rows = range(len(self.record_files))
            check_unchanged(self.spec, self.record_files, rows, lambda i: True)

    def save(self, path: str | Path) -> str:
        """Write everything to an `.npz` file, whole or not at all; returns the spec that opens it.

        x_train and y_train, x_validation ..., or images and labels without official splits; and
        class_names. Such as `ilsvrc train CONFIG data.source=npz:cells.npz`.
        """
        arrays: dict[str, Any] = {"class_names": np.array(self.class_names)}
        if self.official_splits is None:
            arrays |= {"images": self.array, "labels": self.labels}
        for part, indices in (self.official_splits or {}).items():
            arrays |= {f"x_{part}": self.array[indices], f"y_{part}": self.labels[indices]}
        partial = f"{os.fspath(path)}.{os.getpid()}"
        try:
            with open(partial, "wb") as file:
                np.savez(file, **arrays)
            os.replace(partial, path)
        except OSError as error:
            Path(partial).unlink(missing_ok=True)
            raise SourceError(f"{path} cannot be written ({error.strerror})") from None
        return f"npz:{os.fspath(path)}"

    @cached_property
    def _array(self) -> np.ndarray:
        array = np.ascontiguousarray(self._draw(), np.uint8)
        self.check_unchanged()
        return array

    @property
    def array(self) -> np.ndarray:
        return self._array

    @property
    def fingerprint(self) -> str:
        if self._fingerprint is None:
            self._fingerprint = fingerprint([self.array], self.labels, self.class_names)
        return self._fingerprint

    @cached_property
    def tensor(self) -> tf.Tensor:
        """The array as a tensor in host memory; the NumPy array becomes a view of it."""
        # init_scope: the first use may be inside the trace of a tf.data map.
        with tf.init_scope(), tf.device("CPU:0"):
            tensor = tf.constant(self.array)
        self._array = np.asarray(memoryview(tensor))  # one copy in memory, not two
        return tensor

    def images(self, index: tf.Tensor, window: Window | None = None) -> tf.Tensor:
        if window is None:
            return tf.gather(self.tensor, index)
        height, width, channels = self.image_shape
        y, x, h, w = tf.unstack(window(tf.constant([height, width], tf.int32)))
        begin = tf.stack([tf.cast(index, tf.int32), y, x, 0])
        return tf.slice(self.tensor, begin, tf.stack([1, h, w, channels]))[0]

    def view(
        self, size: tuple[int, int], crop_fraction: float, limit_bytes: int
    ) -> tf.Tensor | None:
        """All images through `resize.resize_centre`, kept for later fits; None when too large.

        uint8 where the images already have that size, else float32 [n, height, width, c] 0..255.
        """
        height, width, channels = self.image_shape
        if (height, width) == tuple(size) and crop_fraction == 1.0:
            return self.tensor
        if 4 * len(self) * size[0] * size[1] * channels > limit_bytes:
            return None
        key = ((size[0], size[1]), crop_fraction)
        if key not in self._views:
            resize = resize_centre(size, crop_fraction)
            with tf.init_scope(), tf.device("CPU:0"):
                parts = [resize(self.tensor[i : i + 1024]) for i in range(0, len(self), 1024)]
                self._views[key] = tf.concat(parts, axis=0)
        return self._views[key]


def fingerprint(blobs: Iterable[np.ndarray], labels: np.ndarray, class_names: list[str]) -> str:
    """sha256 of arrays (shape and bytes), labels and class names."""
    digest = hashlib.sha256()
    for blob in blobs:
        digest.update(repr((blob.dtype.str, blob.shape)).encode())
        digest.update(np.ascontiguousarray(blob).data)
    finish_fingerprint(digest, labels, class_names)
    return digest.hexdigest()
