"""`prepared:DIR`: images that were resized beforehand, as checksummed ArrayRecord shards.

DIR holds shard-*.array_record and manifest.json, which is written last: without it the folder is
unfinished. Written by `pipelines.sources.prepare`.

encoding "jpeg", "encoded"  a record is an image file (JPEG; as the source had it)
encoding "raw"              a record is height, width (int32, little endian) and uint8 pixels
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import SourceError
from pipelines.files.decode import decode, decode_window
from pipelines.files.shards import DIGEST_BYTES, ShardReader
from pipelines.files.verify import Files
from pipelines.lazy import tf
from pipelines.sources.array_source import ArraySource
from pipelines.sources.base import Opening, Source, Unused, natural_size, said_of
from pipelines.sources.base import finish_fingerprint as finish
from pipelines.threads import PREFETCHED

MANIFEST = "manifest.json"
VERSION = 1
HEADER_BYTES = 8  # of a raw record: height, width
ENCODINGS = ("jpeg", "encoded", "raw")


class PreparedSource(Source):
    """Records read by number: kept in memory while they are few, read from the shards otherwise."""

    def __init__(
        self,
        spec: str,
        manifest: dict[str, Any],
        reader: ShardReader,
        official_splits: dict[str, np.ndarray] | None,
        *,
        channels: int,
        in_memory: bool,
    ) -> None:
        self.spec = spec
        self.manifest = manifest
        self.reader = reader
        self.labels = np.asarray(manifest["labels"], np.int64)
        self.class_names = list(manifest["class_names"])
        height, width = manifest["image_shape"]
        self.image_shape = (height, width, channels)
        self.default_size = natural_size(height, width)
        self.official_splits = official_splits
        self.corrupt = []
        self.titles = manifest.get("titles", {})
        self.headline = manifest.get("headline")
        self.unused = tuple(Unused(*entry) for entry in manifest.get("unused", ()))
        self.digests = manifest_digests(manifest)
        self._in_memory = in_memory
        self._records: tf.Tensor | None = None

    @property
    def fingerprint(self) -> str:
        return str(self.manifest["fingerprint"])

    def contents(self, index: tf.Tensor) -> tf.Tensor:
        """The record at a scalar index; usable inside a tf.data map."""
        return self._record(index)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_records": None}  # a tensor belongs to its process

    def blob(self, index: int) -> bytes:
        """The record of an image, as stored."""
        return self.reader.read(index)

    @property
    def record_files(self) -> Files | None:
        """The shards as they were when the source was opened."""
        return self.reader.files

    def check_unchanged(self) -> None:
        self.reader.check_unchanged(self.spec)

    def verify(self) -> None:
        """Read every shard and compare its sha256. Raises SourceError with the shard's name."""
        self.reader.verify(contents=True)

    def images(
        self, index: tf.Tensor, window: Callable[[tf.Tensor], tf.Tensor] | None = None
    ) -> tf.Tensor:
        record = self._record(index)
        channels = self.image_shape[2]
        if self.manifest["encoding"] == "raw":
            return _raw_pixels(record, channels, window)
        if window is not None:
            return decode_window(record, channels, window)
        return tf.ensure_shape(decode(record, channels), self.image_shape)

    def _record(self, index: tf.Tensor) -> tf.Tensor:
        if self._in_memory:
            if self._records is None:
                with tf.init_scope(), tf.device("CPU:0"):
                    self._records = tf.constant(list(self.reader.read_all()), tf.string)
                self.check_unchanged()
            return tf.gather(self._records, index)
        # Python only fetches the bytes (30 us); decoding stays in TensorFlow's own threads.
        record = tf.numpy_function(lambda i: self.reader.read(int(i)), [index], tf.string)
        return tf.ensure_shape(record, [])


def open_prepared(directory: str, opening: Opening, spec: str | None = None) -> Source:
    """The images of a folder that `ilsvrc data prepare` has written.

    Sets up to the memory limit are checked against their sha256 and held in memory; of larger
    ones the sizes are checked here, each record when it is read, and everything by `data check`.
    Raises SourceError for an unfinished, damaged or inconsistent folder.
    """
    if not directory:
        raise SourceError("prepared: expected a directory, received none: write 'prepared:DIR'")
    root = Path(directory).expanduser()
    manifest = read_manifest(root)
    stored = manifest["channels"]
    channels = opening.channels or stored
    if manifest["encoding"] == "raw" and stored != channels:
        raise SourceError(
            f"prepared: {root} holds raw images of {stored} channels, data.channels asks for "
            f"{channels}: leave it out, or prepare with --channels {channels}"
        )
    reader = ShardReader(root, manifest["shards"])
    total = sum(int(entry["bytes"]) for entry in manifest["shards"])
    in_memory = total <= opening.memory_limit_bytes
    reader.verify(contents=in_memory)
    spec = spec or f"prepared:{os.path.normpath(directory)}"
    splits = _splits(root, manifest)
    source = PreparedSource(spec, manifest, reader, splits, channels=channels, in_memory=in_memory)
    return held_in_memory(source, opening.memory_limit_bytes)


def held_in_memory(source: Source, memory_limit_bytes: int) -> Source:
    """Images of one size that fit as one uint8 array, read on first use; else the source itself."""
    height, width, channels = source.image_shape
    if height is None or width is None:
        return source
    if len(source) * height * width * channels > memory_limit_bytes:
        return source
    held = ArraySource(
        lambda: pixels_of(source),
        source.labels,
        source.class_names,
        spec=source.spec,
        image_shape=(height, width, channels),
        official_splits=source.official_splits,
        fingerprint=source.fingerprint,
        read_from=source,
    )
    return said_of(held, source)


def read_manifest(root: Path) -> dict[str, Any]:
    """The checked manifest of a prepared folder. Raises SourceError, one line."""
    path = root / MANIFEST
    if not root.is_dir():
        raise SourceError(f"prepared: {root} is no directory: check the path")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SourceError(
            f"prepared: {root} has no {MANIFEST}: it is unfinished or none of `ilsvrc data "
            "prepare`; run that command (again) to finish it"
        ) from None
    except (OSError, ValueError) as error:
        raise SourceError(
            f"prepared: {path} cannot be read ({error}): prepare again into an empty folder"
        ) from None
    if not isinstance(manifest, dict) or manifest.get("version") != VERSION:
        received = manifest.get("version") if isinstance(manifest, dict) else manifest
        raise SourceError(
            f"prepared: {path}: expected format version {VERSION}, received {received!r}: "
            "prepare again with this version"
        )
    try:
        _check(path, manifest)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            f"prepared: {path} is damaged ({type(error).__name__}: {error}): "
            "prepare again into an empty folder"
        ) from None
    return manifest


def manifest_fingerprint(manifest: dict[str, Any]) -> str:
    """sha256 of the shards' own digests, the splits, labels and class names."""
    sha256 = hashlib.sha256()
    shards = [[entry["images"], entry["sha256"]] for entry in manifest["shards"]]
    kind = manifest["encoding"], manifest["channels"]
    sha256.update(json.dumps([*kind, shards, manifest["splits"]], sort_keys=True).encode())
    finish(sha256, np.asarray(manifest["labels"], np.int64), manifest["class_names"])
    return sha256.hexdigest()


def manifest_digests(manifest: dict[str, Any]) -> np.ndarray:
    """uint8 [n, DIGEST_BYTES]: of the images that were prepared, before any resizing."""
    joined = bytes.fromhex("".join(entry["digests"] for entry in manifest["shards"]))
    return np.frombuffer(joined, np.uint8).reshape(-1, DIGEST_BYTES)


def _check(path: Path, manifest: dict[str, Any]) -> None:
    labels = np.asarray(manifest["labels"], np.int64)
    classes, count = len(manifest["class_names"]), len(labels)
    if manifest["encoding"] not in ENCODINGS:
        raise SourceError(
            f"prepared: {path}: encoding: expected one of {', '.join(ENCODINGS)}, "
            f"received {manifest['encoding']!r}: prepare again"
        )
    bad = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(bad):
        raise SourceError(
            f"prepared: {path}: label of image {bad[0]}: expected from 0 to {classes - 1} "
            f"({classes} classes), received {labels[bad[0]]}: correct it or prepare again"
        )
    held = sum(int(entry["images"]) for entry in manifest["shards"])
    if held != count or count == 0 or len(manifest_digests(manifest)) != count:
        raise SourceError(
            f"prepared: {path}: expected one label an image, received {count} labels for {held} "
            "images: prepare again into an empty folder"
        )
    if manifest_fingerprint(manifest) != manifest["fingerprint"]:
        raise SourceError(
            f"prepared: {path} was changed (labels, splits, classes or shards do not give its "
            "fingerprint): prepare again into an empty folder"
        )


def _splits(root: Path, manifest: dict[str, Any]) -> dict[str, np.ndarray] | None:
    """Splits are kept as ranges [start, stop) of image numbers."""
    splits = {}
    for name, ranges in manifest["splits"].items():
        parts = [np.arange(start, stop, dtype=np.int64) for start, stop in ranges]
        splits[name] = np.concatenate(parts)
        if splits[name].min() < 0 or splits[name].max() >= len(manifest["labels"]):
            raise SourceError(f"prepared: {root}: split {name!r} names images that are not there")
    return splits or None


def raw_record(pixels: np.ndarray) -> bytes:
    """uint8 [h, w, c] as a raw record."""
    return np.asarray(pixels.shape[:2], "<i4").tobytes() + np.ascontiguousarray(pixels).tobytes()


def _raw_pixels(
    record: tf.Tensor,
    channels: int,
    window: Callable[[tf.Tensor], tf.Tensor] | None,
) -> tf.Tensor:
    """uint8 [h, w, channels], or of the window only."""
    shape = tf.io.decode_raw(tf.strings.substr(record, 0, HEADER_BYTES), tf.int32)
    shape = tf.ensure_shape(shape, [2])  # windows take it apart
    pixels = tf.io.decode_raw(tf.strings.substr(record, HEADER_BYTES, -1), tf.uint8)
    image = tf.reshape(pixels, tf.concat([shape, [channels]], 0))
    if window is not None:
        y, x, h, w = tf.unstack(window(shape))
        image = tf.slice(image, tf.stack([y, x, 0]), tf.stack([h, w, channels]))
    return tf.ensure_shape(image, [None, None, channels])


def pixels_of(source: Source) -> np.ndarray:
    """All images of a source whose images have one size, uint8 [n, h, w, c]."""
    height, width, channels = source.image_shape
    if height is None or width is None:
        raise SourceError(
            f"{source.spec}: its images have different sizes: no one array holds them"
        )
    array = np.empty((len(source), height, width, channels), np.uint8)
    for example in source.dataset(np.arange(len(source))).prefetch(PREFETCHED).as_numpy_iterator():
        array[example["index"]] = example["image"]
    return array
