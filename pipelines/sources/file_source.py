"""A source whose images lie in files, or in byte ranges of archives, and are decoded on access."""

from __future__ import annotations

import hashlib
import math
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np

from pipelines.errors import DamageError, SourceError, printable
from pipelines.files.damage import damaged
from pipelines.files.decode import Cut, decode, decode_cut, decode_window
from pipelines.files.ends import quick_digest_of
from pipelines.files.index_cache import Index
from pipelines.files.shards import DIGEST_BYTES, digest
from pipelines.files.unchanged import check_unchanged
from pipelines.files.verify import Files, read_range, verify
from pipelines.files.whole import read_whole
from pipelines.lazy import tf
from pipelines.sources.array_source import ArraySource
from pipelines.sources.base import (
    ENDS,
    Opening,
    Source,
    Unused,
    finish_fingerprint,
    natural_size,
    said_of,
)
from pipelines.threads import fixed, workers

BATCH = 256  # images of a small set that are decoded in one step
FIX = ": replace or delete the file, or set data.on_corrupt: skip"
FIX_OF_SKIP = (
    ", which data.verify: header does not see: it is left out from the next start on; "
    "data.verify: decode finds all such files before"
)


@dataclass(frozen=True)
class Known:
    """What was found in the files of a source, a row an image, under which name and settings."""

    index: Index
    root: str
    opening: Opening
    fingerprint_of: Callable[[np.ndarray], str]
    """By the digests of all files."""


class FileSource(Source):
    """Images that are read and decoded on each access."""

    array = None

    def __init__(
        self,
        spec: str,
        files: Files,
        orientations: np.ndarray | None,
        labels: np.ndarray,
        class_names: list[str],
        image_shape: tuple[int | None, int | None, int],
        fingerprint: str,
        official_splits: dict[str, np.ndarray] | None,
        corrupt: list[tuple[str, str]],
        shapes: np.ndarray | None = None,
    ) -> None:
        """`orientations` [n] turns images upright, EXIF 1..8; None: pixels stay as stored.

        `shapes` [n, 2] are those of the upright images.
        """
        self.spec = spec
        self.files = files
        self.labels = labels
        self.class_names = class_names
        self.image_shape = image_shape
        self.default_size = natural_size(*image_shape[:2])
        self.official_splits = official_splits
        self.corrupt = corrupt
        self.shapes = shapes
        self.known: Known | None = None
        self._fingerprint = fingerprint
        self._orientations = orientations
        self._path_tensor: tf.Tensor | None = None
        self._orientation_tensor: tf.Tensor | None = None
        self._archives: dict[str, int] = {}
        self._opening = threading.Lock()

    @property
    def fingerprint(self) -> str:
        return str(self._fingerprint)

    def is_known_as(self, fingerprint: str | None) -> bool:
        unread = self.known is not None and self.former_fingerprint is None
        if fingerprint and unread and not fingerprint.endswith(ENDS):
            self._read_whole()
        return super().is_known_as(fingerprint)

    def _read_whole(self) -> None:
        assert self.known is not None
        index = self.known.index
        read_whole(self.files, index, self.known.root)
        self.digests = index.digests[:, :DIGEST_BYTES]
        self.former_fingerprint = self.known.fingerprint_of(index.digests)

    def check_unchanged(self) -> None:
        check_unchanged(self.spec, self.files, self._one_a_path, self._same_contents)

    @cached_property
    def _one_a_path(self) -> list[int]:
        """Of each file, or archive, one image."""
        if (self.files.offsets < 0).all():
            return list(range(len(self)))
        return list({path: i for i, path in enumerate(self.files.paths)}.values())

    def check_decodes(self, error: Exception) -> None:
        if self.known is None:
            return
        opening = self.known.opening
        bad = damaged(error, self.files, self.known.index, self.known.root, opening.max_pixels)
        if bad.names:
            corrupt = list(zip(map(printable, bad.names), bad.reasons, strict=True))
            fix = FIX if opening.on_corrupt == "error" else FIX_OF_SKIP
            raise DamageError(f"{_named(self.spec.partition(':')[0], corrupt)}{fix}")

    def _same_contents(self, of: int) -> bool:
        """Do all images in the file of one of them have the bytes that were checked?

        Those that were not read whole have the size, first and last bytes.
        """
        whole = self.digests is not None
        wanted = self.digests if whole else self.quick_digests
        if wanted is None:
            return False
        digest_of = digest if whole else quick_digest_of
        files, path = self.files, self.files.paths[of]
        inside = [of] if files.offsets[of] < 0 else np.flatnonzero(np.array(files.paths) == path)
        try:
            return all(
                digest_of(read_range(path, int(files.offsets[i]), int(files.sizes[i])))
                == wanted[i].tobytes()
                for i in inside
            )
        except OSError:
            return False

    def contents(self, index: tf.Tensor) -> tf.Tensor:
        """The bytes of the image file at a scalar index; usable inside a tf.data map."""
        if (self.files.offsets >= 0).any():
            # No op reads a byte range (readers with an offset read all that is before it), and a
            # mapped archive would end the process where a drive fails, and count as its memory.
            contents = tf.numpy_function(self._read, [index], tf.string)
            return tf.ensure_shape(contents, [])
        if self._path_tensor is None:
            with tf.init_scope(), tf.device("CPU:0"):
                # As bytes: names of files need not be UTF-8.
                self._path_tensor = tf.constant([os.fsencode(path) for path in self.files.paths])
        return tf.io.read_file(tf.gather(self._path_tensor, index))

    def images(
        self, index: tf.Tensor, window: Callable[[tf.Tensor], tf.Tensor] | None = None
    ) -> tf.Tensor:
        contents, turn = self.contents(index), self._turn(index)
        if window is not None:
            return decode_window(contents, self.image_shape[2], window, turn)
        return tf.ensure_shape(decode(contents, self.image_shape[2], turn), self.image_shape)

    def part(self, index: tf.Tensor, cut: Cut) -> tf.Tensor:
        return decode_cut(self.contents(index), self.image_shape[2], cut, self._turn(index))

    def _turn(self, index: tf.Tensor) -> tf.Tensor | None:
        """EXIF orientation of the image at a scalar index; None where all are upright as stored."""
        if self._orientations is None:
            return None
        if self._orientation_tensor is None:
            with tf.init_scope(), tf.device("CPU:0"):
                self._orientation_tensor = tf.constant(self._orientations)
        return tf.gather(self._orientation_tensor, index)

    def _read(self, i: np.ndarray) -> bytes:
        path, offset, size = self.files.paths[i], int(self.files.offsets[i]), self.files.sizes[i]
        try:
            if offset < 0 or not hasattr(os, "pread"):
                return read_range(path, offset, int(size))
            handle = self._archives.get(path)
            if handle is None:
                handle = self._open(path)
            contents = os.pread(handle, int(size), offset)
        except OSError as error:
            raise OSError(f"{self.files.names[i]}: {path}: {error.strerror}") from None
        if len(contents) < size:
            raise OSError(f"{self.files.names[i]}: {path} is shorter than when it was listed")
        return contents

    def _open(self, path: str) -> int:
        """Archives stay open: opening one costs as much as reading an image."""
        with self._opening:
            if not self._archives:
                weakref.finalize(self, _close, self._archives)
            if path not in self._archives:
                self._archives[path] = os.open(path, os.O_RDONLY)
            return self._archives[path]


def _close(archives: dict[str, int]) -> None:
    for handle in archives.values():
        os.close(handle)


def file_source(
    spec: str,
    files: Files,
    index: Index,
    labels: np.ndarray,
    class_names: list[str],
    part: np.ndarray,
    parts: list[str],
    *,
    upright: bool,
    opening: Opening,
    unused: Sequence[Unused] = (),
    titles: Mapping[str, str] = MappingProxyType({}),
    notes: Sequence[str] = (),
) -> Source:
    """What was listed and verified, as a source: bad files judged, small sets held in memory.

    part      [n], position in `parts` (official splits); all 0 where `parts` is empty
    upright   turn photographs as their EXIF orientation says
    unused, titles, notes   as in Source
    Raises SourceError for bad files, as `opening` says, and for a class that has no other, unless
    there may be `empty_classes`.
    """
    if opening.decodes and not index.decoded.all():
        changed = index.changed
        index = verify(files, root=index.root, max_pixels=opening.max_pixels, decode_all=True)
        index = replace(index, changed=changed)
    channels = opening.channels or 3
    scheme = spec.partition(":")[0]
    corrupt = [(printable(files.names[i]), why) for i, why in enumerate(index.reasons) if why]
    if corrupt:
        _judge(scheme, corrupt, len(files), opening)
    good = np.flatnonzero(np.array([not why for why in index.reasons], bool))
    if not opening.empty_classes:
        _check_classes(labels, good, class_names, part, parts)
    changed, root = tuple(printable(name) for name in index.changed), index.root
    index = index.rows(good)
    labels, part = labels[good], part[good]
    orientations = index.orientations if upright else None
    if orientations is not None and (orientations == 1).all():
        orientations = None
    shapes = index.shapes
    if orientations is not None:
        lying = (orientations >= 5)[:, None]
        shapes = np.where(lying, shapes[:, ::-1], shapes)
    size: tuple[int, int] | None = None
    if len(shapes) and (shapes == shapes[0]).all():
        size = int(shapes[0, 0]), int(shapes[0, 1])

    def fingerprint(digests: np.ndarray) -> str:
        sha256 = hashlib.sha256(np.ascontiguousarray(digests).data)
        sha256.update(repr((channels, orientations is not None, part.tolist())).encode())
        finish_fingerprint(sha256, labels, class_names)
        return sha256.hexdigest()

    paths = files.paths if len(good) == len(files) else [files.paths[i] for i in good.tolist()]
    chosen = Files(index.names, paths, index.offsets, index.sizes, index.stamps)
    splits = {name: np.flatnonzero(part == i) for i, name in enumerate(parts)} or None
    source = FileSource(
        spec,
        chosen,
        orientations,
        labels,
        class_names,
        (*(size or (None, None)), channels),
        fingerprint(index.quick)[: -len(ENDS)] + ENDS,
        splits,
        corrupt,
        shapes,
    )
    source.known = Known(index, root, opening, fingerprint)
    source.quick_digests = index.quick
    if index.digests.any(axis=1).all():
        source._read_whole()  # they all were
    source.changed = changed
    source.unused, source.titles, source.notes = tuple(unused), titles, tuple(notes)
    if size is None or len(good) * math.prod(size) * channels > opening.memory_limit_bytes:
        return source
    held = ArraySource(
        lambda: read_all(source),
        labels,
        class_names,
        spec=spec,
        image_shape=(*size, channels),
        official_splits=splits,
        corrupt=corrupt,
        fingerprint=source.fingerprint,
        read_from=source,
    )
    held.changed = source.changed
    return said_of(held, source)


def read_all(source: FileSource) -> np.ndarray:
    """All images of one size, uint8 [n, h, w, c]. Raises SourceError if files have changed."""
    height, width, channels = source.image_shape
    assert height is not None
    assert width is not None
    array = np.empty((len(source), height, width, channels), np.uint8)

    def load(batch: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(source.images, batch, fn_output_signature=tf.uint8)

    load = tf.autograph.experimental.do_not_convert(load)
    batches = tf.data.Dataset.range(len(source)).batch(BATCH)
    batches = batches.map(load, num_parallel_calls=workers(), deterministic=True)
    at = 0
    try:
        for pixels in fixed(batches.prefetch(2)).as_numpy_iterator():
            array[at : at + len(pixels)] = pixels
            at += len(pixels)
    except tf.errors.OpError as error:
        source.check_unchanged()
        source.check_decodes(error)
        raise SourceError(
            f"{source.spec}: files have changed since they were checked, near "
            f"{printable(source.files.names[at])}: start again"
        ) from None
    return array


def _judge(scheme: str, corrupt: list[tuple[str, str]], files: int, opening: Opening) -> None:
    if opening.on_corrupt == "error":
        raise SourceError(f"{_named(scheme, corrupt)}{FIX}")
    if len(corrupt) / files > opening.max_corrupt_fraction:
        path, why = corrupt[0]
        raise SourceError(
            f"{scheme}: {len(corrupt)} of {files} files do not decode, {len(corrupt) / files:.4f} "
            f"of them where data.max_corrupt_fraction allows {opening.max_corrupt_fraction:g}; "
            f"the first: {path} {why}: replace them or raise the limit"
        )


def _named(scheme: str, corrupt: list[tuple[str, str]]) -> str:
    path, why = corrupt[0]
    more = f" (and {len(corrupt) - 1} more)" if len(corrupt) > 1 else ""
    return f"{scheme}: {path} {why}{more}"


def _check_classes(
    labels: np.ndarray,
    good: np.ndarray,
    class_names: list[str],
    part: np.ndarray,
    parts: list[str],
) -> None:
    for position, name in enumerate(parts or [""]):
        listed = np.bincount(labels[part == position], minlength=len(class_names))
        left = np.bincount(labels[good][part[good] == position], minlength=len(class_names))
        for label in np.flatnonzero((listed > 0) & (left == 0)):
            where = f" of {name}" if name else ""
            raise SourceError(
                f"class {class_names[label]!r}{where}: none of its files can be decoded: "
                "replace them or remove the class"
            )
