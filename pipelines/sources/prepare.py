"""Resizing once what every epoch would resize again: any source to a `prepared:` folder.

A killed run goes on at the next shard. The manifest comes last, so an unfinished folder never
opens as a source.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import SourceError
from pipelines.files.shards import (
    DIGEST_BYTES,
    Record,
    digest,
    forget_entries,
    write_shards,
    write_whole,
)
from pipelines.lazy import tf
from pipelines.resize import resized_shape
from pipelines.sources.base import Source
from pipelines.sources.duplicates import content_digests, stored_bytes
from pipelines.sources.prepared import (
    MANIFEST,
    VERSION,
    manifest_fingerprint,
    raw_record,
    read_manifest,
)
from pipelines.threads import PREFETCHED, fixed, workers

IMAGES_PER_SHARD = 2048
QUALITY = 95
SAME_IMAGES = ("source", "titles", "headline")  # may differ: they move, or an earlier version wrote
STARTED = ".prepare.json"  # the settings of an unfinished run
RESIZE = "short side, long one truncated, half-pixel bilinear, antialiased, never enlarged"
Advance = Callable[[int], None]


def prepare(
    source: Source,
    out: str | Path,
    *,
    size: int | None = 480,
    encoding: str = "jpeg",
    quality: int = QUALITY,
    images_per_shard: int = IMAGES_PER_SHARD,
    advance: Advance | None = None,
) -> dict[str, Any]:
    """Write the images of a source to `out` and return its manifest.

    size      short side in pixels; larger images are shrunk to it, smaller ones kept; None: as is
    encoding  "jpeg" (quality 1..100, 4:2:0), or "raw": uint8 pixels
    advance   is told how many images are on disk
    Run again after a kill, it keeps what is whole. Raises SourceError for settings out of range,
    and for a folder that holds something else or was prepared otherwise.
    """
    if encoding not in ("jpeg", "raw"):
        raise SourceError(f"prepare: format: expected jpeg or raw, received {encoding!r}")
    for name, value, low, high in (
        ("size", 1 if size is None else size, 1, 65_535),
        ("quality", quality, 1, 100),
        ("images per shard", images_per_shard, 1, 10**7),
    ):
        if not low <= value <= high:
            raise SourceError(f"prepare: {name}: expected from {low} to {high}, received {value!r}")
    _go_on(source, Path(out))
    # Of files that were not read whole they are made of what is read anyway.
    read = stored_bytes(source) if source.digests is None else None
    known = None if read is not None else content_digests(source)
    header = describe(source) | {
        "encoding": encoding,
        "size": size,
        "quality": quality if encoding == "jpeg" else None,
        "resize": RESIZE,
        "images_per_shard": images_per_shard,
    }

    def records(start: int) -> Iterator[Record]:
        for i, (data, shape) in enumerate(_encoded(source, start, size, encoding, quality), start):
            if known is None:
                stored = digest(data if read is None else read(i))
            else:
                stored = known[i].tobytes()[:DIGEST_BYTES]
            yield Record(data, stored, shape)

    return write(Path(out), header, source.labels, records, images_per_shard, advance)


def _go_on(source: Source, out: Path) -> None:
    """Call the source by the fingerprint that it had when this folder was begun."""
    for name in (MANIFEST, STARTED):
        try:
            then = json.loads((out / name).read_text(encoding="utf-8"))["source_fingerprint"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if source.is_known_as(then):
            source.go_on_as(then)


def describe(source: Source) -> dict[str, Any]:
    """What a manifest keeps of its source."""
    known = {"titles": dict(source.titles), "headline": source.headline}
    return {key: value for key, value in known.items() if value} | {
        "source": source.spec,
        "source_fingerprint": source.fingerprint,
        "class_names": list(source.class_names),
        "channels": source.image_shape[2],
        "splits": {name: ranges(part) for name, part in (source.official_splits or {}).items()},
        "corrupt": [list(entry) for entry in source.corrupt],
    }


def ranges(indices: np.ndarray) -> list[list[int]]:
    """Sorted indices as [start, stop) ranges."""
    ordered = np.sort(np.asarray(indices, np.int64))
    parts = np.split(ordered, np.flatnonzero(np.diff(ordered) != 1) + 1)
    return [[int(part[0]), int(part[-1]) + 1] for part in parts if len(part)]


def write(
    out: Path,
    header: Mapping[str, Any],
    labels: np.ndarray,
    records: Callable[[int], Iterable[Record]],
    images_per_shard: int,
    advance: Advance | None = None,
) -> dict[str, Any]:
    """Shards, then the manifest: `header`, labels, shards, image_shape and fingerprint."""
    settings: dict[str, Any] = json.loads(json.dumps({"version": VERSION, **header}))
    finished = _begin(out, settings)
    if finished is not None:
        return finished
    shards = write_shards(out, len(labels), images_per_shard, records, advance)
    manifest: dict[str, Any] = {
        **settings,
        "images": len(labels),
        "image_shape": _common_shape(shards),
        "labels": np.asarray(labels).tolist(),
        "shards": [{k: v for k, v in x.items() if k not in ("height", "width")} for x in shards],
    }
    manifest["fingerprint"] = manifest_fingerprint(manifest)
    write_whole(out / MANIFEST, json.dumps(manifest))
    forget_entries(out)
    (out / STARTED).unlink(missing_ok=True)
    return manifest


def _begin(out: Path, header: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest of a finished run with these settings; None when there is work to do."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SourceError(f"prepare: {out} cannot be made a folder ({error.strerror})") from None
    if (out / MANIFEST).exists():
        manifest = read_manifest(out)
        _same(out, header, manifest)
        return manifest
    if (out / STARTED).exists():
        _same(out, header, json.loads((out / STARTED).read_text(encoding="utf-8")))
        return None
    if any(not path.name.startswith(f"{STARTED}.") for path in out.iterdir()):
        raise SourceError(f"prepare: {out} holds other files: name a new or an empty folder")
    write_whole(out / STARTED, json.dumps(header))
    return None


def _same(out: Path, header: dict[str, Any], before: dict[str, Any]) -> None:
    for key, value in header.items():
        if key not in SAME_IMAGES and before.get(key) != value:
            old, new = str(before.get(key))[:60], str(value)[:60]
            raise SourceError(
                f"prepare: {out} was prepared with {key} {old}, now asked for {new}: "
                "name another folder or delete this one"
            )


def _common_shape(shards: list[dict[str, Any]]) -> list[int | None]:
    sizes = {(shard["height"], shard["width"]) for shard in shards}
    height, width = sizes.pop() if len(sizes) == 1 else (None, None)
    return [height, width]


def shrink(size: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """uint8 [h, w, c] to the short side `size`, uint8; smaller images are left as they are."""

    def op(image: tf.Tensor) -> tf.Tensor:
        hw = tf.shape(image)[:2]

        def smaller() -> tf.Tensor:
            wanted = tf.cast(resized_shape(hw, (size, size)), tf.int32)
            resized = tf.image.resize(image, wanted, antialias=True)
            return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)

        return tf.cond(tf.reduce_min(hw) > size, smaller, lambda: tf.identity(image))

    return op


def _encoded(
    source: Source, start: int, size: int | None, encoding: str, quality: int
) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """(record, (height, width)) of the images from `start` on, in order."""
    resize = shrink(size) if size is not None else tf.identity

    def encode(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image = resize(example["image"])
        shape = tf.shape(image)[:2]
        if encoding == "jpeg":
            image = tf.io.encode_jpeg(image, quality=quality)
        return image, shape

    data = source.dataset(np.arange(start, len(source))).map(
        tf.autograph.experimental.do_not_convert(encode),
        num_parallel_calls=workers(),
        deterministic=True,
    )
    for data_or_pixels, shape in fixed(data.prefetch(PREFETCHED)).as_numpy_iterator():
        record = data_or_pixels if encoding == "jpeg" else raw_record(data_or_pixels)
        yield record, (int(shape[0]), int(shape[1]))
