"""Image files in class folders; official train / val / test folders are kept."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipelines.layout import list_directory
from pipelines.sources import ArraySource, Source, SourceError, finish_fingerprint
from pipelines.threads import fixed, workers

if TYPE_CHECKING:
    import tensorflow as tf

BATCH = 256  # files decoded between two looks at the results


class FileSource(Source):
    """Images that are read and decoded on each access."""

    array = None

    def __init__(
        self,
        spec: str,
        paths: list[str],
        labels: np.ndarray,
        class_names: list[str],
        image_shape: tuple[int | None, int | None, int],
        fingerprint: str,
        official_splits: dict[str, np.ndarray] | None,
        corrupt: list[tuple[str, str]],
    ) -> None:
        self.spec = spec
        self.paths = paths
        self.labels = labels
        self.class_names = class_names
        self.image_shape = image_shape
        height, width, _ = image_shape
        if height is None or width is None:
            self.default_size = None
        else:
            self.default_size = height if height == width else (height, width)
        self.official_splits = official_splits
        self.corrupt = corrupt
        self._fingerprint = fingerprint
        self._path_tensor: tf.Tensor | None = None

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def images(
        self, index: tf.Tensor, window: Callable[[tf.Tensor], tf.Tensor] | None = None
    ) -> tf.Tensor:
        import tensorflow as tf

        from pipelines.decode import decode, decode_window

        if self._path_tensor is None:
            with tf.init_scope(), tf.device("CPU:0"):
                self._path_tensor = tf.constant(self.paths)
        contents = tf.io.read_file(tf.gather(self._path_tensor, index))
        if window is not None:
            return decode_window(contents, self.image_shape[2], window)
        return tf.ensure_shape(decode(contents, self.image_shape[2]), self.image_shape)


def open_folder(
    directory: str,
    *,
    on_corrupt: str,
    max_corrupt_fraction: float,
    channels: int,
    memory_limit_bytes: int,
) -> Source:
    """Every file is decoded once, here: a damaged one is found now and not in the tenth epoch.

    Images of one size that fit into memory_limit_bytes stay in memory. Raises SourceError.
    """
    if not directory:
        raise SourceError("folder: expected a directory, received none: write 'folder:DIR'")
    root = Path(directory).expanduser()
    listing = list_directory(root)
    checked = check_files(listing.paths, channels, memory_limit_bytes)
    corrupt = [(os.path.relpath(listing.paths[i], root), why) for i, why in checked.corrupt]
    if corrupt:
        _judge(corrupt, len(listing.paths), on_corrupt, max_corrupt_fraction)
    keep = np.ones(len(listing.paths), bool)
    keep[[i for i, _ in checked.corrupt]] = False
    labels, part = listing.labels[keep], listing.part[keep]
    splits = {name: np.flatnonzero(part == i) for i, name in enumerate(listing.parts)} or None
    for name, indices in (splits or {"": np.arange(len(labels))}).items():
        present = np.bincount(labels[indices], minlength=len(listing.class_names))
        for label in np.flatnonzero(present == 0):
            where = f" of {name}" if name else ""
            raise SourceError(
                f"class {listing.class_names[label]!r}{where}: none of its files can be decoded: "
                "replace them or remove the class"
            )
    checked.digest.update(repr((channels, part.tolist())).encode())
    finish_fingerprint(checked.digest, labels, listing.class_names)
    fingerprint = checked.digest.hexdigest()
    spec = f"folder:{os.path.normpath(directory)}"
    if checked.array is not None:
        pixels = checked.array
        _, height, width, _ = pixels.shape
        return ArraySource(
            spec,
            labels,
            listing.class_names,
            (height, width, channels),
            lambda: pixels,
            official_splits=splits,
            corrupt=corrupt,
            fingerprint=fingerprint,
        )
    return FileSource(
        spec,
        [path for path, good in zip(listing.paths, keep, strict=True) if good],
        labels,
        listing.class_names,
        (*(checked.size or (None, None)), channels),
        fingerprint,
        splits,
        corrupt,
    )


def _judge(
    corrupt: list[tuple[str, str]], files: int, on_corrupt: str, max_corrupt_fraction: float
) -> None:
    path, why = corrupt[0]
    more = f" (and {len(corrupt) - 1} more)" if len(corrupt) > 1 else ""
    if on_corrupt == "error":
        raise SourceError(
            f"folder: {path} {why}{more}: replace or delete the file, or set data.on_corrupt: skip"
        )
    if len(corrupt) / files > max_corrupt_fraction:
        raise SourceError(
            f"folder: {len(corrupt)} of {files} files do not decode, {len(corrupt) / files:.4f} "
            f"of them where data.max_corrupt_fraction allows {max_corrupt_fraction:g}; the first: "
            f"{path} {why}: replace them or raise the limit"
        )


class Checked(NamedTuple):
    array: np.ndarray | None  # uint8 [good, h, w, c] when held in memory
    size: tuple[int, int] | None  # of all good images; None where they differ
    corrupt: list[tuple[int, str]]  # (position, reason)
    digest: hashlib._Hash  # of the bytes of the good files


def check_files(paths: list[str], channels: int, memory_limit_bytes: int) -> Checked:
    """Decode every file once, in parallel; one by one only within a batch that failed."""
    import tensorflow as tf

    digest = hashlib.sha256()
    corrupt: list[tuple[int, str]] = []
    size = _first_size(paths, channels)
    bytes_needed = len(paths) * math.prod(size or (0,)) * channels
    array = None
    if size is not None and bytes_needed <= memory_limit_bytes:
        array = np.empty((len(paths), *size, channels), np.uint8)
    done = good = 0

    def accept(contents: bytes) -> None:
        digest.update(len(contents).to_bytes(8, "little"))
        digest.update(contents)

    while done < len(paths):
        held = array is not None
        try:
            for contents, found in _decoded(paths[done:], channels, size if held else None):
                if array is not None:
                    array[good : good + len(found)] = found
                elif size is not None and (found != size).any():
                    size = None
                for blob in contents:
                    accept(blob)
                done += len(contents)
                good += len(contents)
        except tf.errors.OpError:  # a damaged file, or one of another size
            for path in paths[done : done + BATCH]:
                image, data, why = _decode_one(path, channels)
                if image is None:
                    corrupt.append((done, why))
                else:
                    if image.shape[:2] != size:
                        size = array = None
                    if array is not None:
                        array[good] = image
                    accept(data)
                    good += 1
                done += 1
    return Checked(array[:good] if array is not None else None, size, corrupt, digest)


def _first_size(paths: list[str], channels: int) -> tuple[int, int] | None:
    """Of the first file that can be decoded."""
    for path in paths:
        image = _decode_one(path, channels)[0]
        if image is not None:
            return image.shape[0], image.shape[1]
    return None


def _decoded(
    paths: list[str], channels: int, size: tuple[int, int] | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of (file bytes, pixels uint8 [b, *size, c]); without `size` (bytes, sizes [b, 2])."""
    import tensorflow as tf

    from pipelines.decode import decode

    def load(path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        contents = tf.io.read_file(path)
        image = decode(contents, channels)
        if size is None:
            return contents, tf.shape(image)[:2]
        return contents, tf.ensure_shape(image, (*size, channels))

    def load_batch(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        kind = tf.int32 if size is None else tf.uint8
        return tf.map_fn(load, batch, fn_output_signature=(tf.string, kind))

    data = tf.data.Dataset.from_tensor_slices(paths).batch(BATCH)
    load_batch = tf.autograph.experimental.do_not_convert(load_batch)
    loaded = data.map(load_batch, num_parallel_calls=workers(), deterministic=True)
    return fixed(loaded.prefetch(2)).as_numpy_iterator()


def _decode_one(path: str, channels: int) -> tuple[np.ndarray | None, bytes, str]:
    """(pixels, bytes, "") or (None, b"", why it is corrupt)."""
    import tensorflow as tf

    from pipelines.decode import decode

    try:
        contents = Path(path).read_bytes()
    except OSError as error:
        return None, b"", f"cannot be read ({error.strerror})"
    if not contents:
        return None, b"", "is empty"
    try:
        return decode(tf.constant(contents), channels).numpy(), contents, ""
    except tf.errors.OpError:
        for magic, kind in ((b"\xff\xd8\xff", "JPEG"), (b"\x89PNG", "PNG")):
            if contents.startswith(magic):
                return None, b"", f"is a truncated or damaged {kind} file"
        return None, b"", "is not a JPEG or PNG image"
