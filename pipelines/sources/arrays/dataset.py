"""A `tf.data.Dataset` of images and labels, written once as a `prepared:` folder."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from pipelines.errors import SourceError, first_line, nearest
from pipelines.files.naming import PARTS, split_of
from pipelines.files.shards import Record, digest
from pipelines.lazy import tf
from pipelines.sources.array_checks import classes_of, image_shape
from pipelines.sources.base import Opening, Source, finish_fingerprint
from pipelines.sources.prepare import IMAGES_PER_SHARD, write
from pipelines.sources.prepared import open_prepared, raw_record

ROUND = "dataset.map(lambda x, y: (tf.cast(tf.round(x), tf.uint8), y))"
SCALE = ROUND.replace("round(x)", "round(255 * x)")


class Spooled(NamedTuple):
    """An image that waits on disk: where, and what is known of it."""

    digest: bytes
    label: Any
    offset: int
    size: int
    shape: tuple[int, int]


def from_dataset(
    dataset: tf.data.Dataset | Mapping[str, tf.data.Dataset],
    directory: str | Path,
    class_names: Sequence[str] | None = None,
) -> Source:
    """Write the images of a dataset to a folder and open it; `prepared:DIRECTORY` is its spec.

    dataset      of (image, label) or {"image", "label"}, batched or not; or several, by the part
                 that they are: {"train": ..., "validation": ..., "test": ...}
    class_names  position = label; None: the dataset's own `class_names`, as
                 keras.utils.image_dataset_from_directory has them, else the labels that there are

    Images are uint8 [h, w], [h, w, 1] or [h, w, 3] of any sizes, and are stored as they are,
    without loss; floats only where all are whole numbers from 0 to 255. The dataset is read once,
    an image at a time, so it may shuffle: the order on disk is that of the images' digests, and the
    same images give the same folder. It must end, and must not augment.
    Raises SourceError for other elements, and for a folder that holds other images.
    """
    given = dataset if isinstance(dataset, Mapping) else {"": dataset}
    parts = {_part(name): part for name, part in given.items()}
    if class_names is None:
        class_names = next(
            (x.class_names for x in parts.values() if hasattr(x, "class_names")), None
        )
    out = Path(directory).expanduser()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent) as spool:
            return _written(out, spool, parts, class_names)
    except OSError as error:
        raise SourceError(f"{out} cannot be written ({error.strerror or error})") from None


def _part(name: str) -> str:
    part = split_of(name) if name else ""
    if part is None:
        raise SourceError(
            f"datasets: expected {', '.join(PARTS)}, received {name!r}{nearest(name, PARTS)}"
        )
    return part


def _written(
    out: Path,
    spool: IO[bytes],
    parts: Mapping[str, tf.data.Dataset],
    class_names: Sequence[str] | None,
) -> Source:
    images: list[Spooled] = []
    ends = [0]
    channels: set[int] = set()
    for name, part in parts.items():
        images += sorted(
            _spooled(name, part, spool, channels),
            key=lambda image: (image.digest, str(image.label)),
        )
        ends.append(len(images))
    if len(channels) > 1:
        raise SourceError(
            "images: some have 1 channel, some 3: make them alike, as tf.image.grayscale_to_rgb"
        )
    classes = classes_of(np.array([image.label for image in images]), class_names)
    contents = hashlib.sha256(b"".join(image.digest for image in images))
    finish_fingerprint(contents, classes.labels, classes.names)

    def records(start: int) -> Iterator[Record]:
        for image in images[start:]:
            spool.seek(image.offset)
            yield Record(spool.read(image.size), image.digest, image.shape)

    header = {
        "source": "pipelines.from_dataset",
        "source_fingerprint": contents.hexdigest(),
        "class_names": classes.names,
        "channels": channels.pop(),
        "splits": {
            name: [[start, stop]]
            for name, (start, stop) in zip(parts, pairwise(ends), strict=True)
            if len(parts) > 1 or name not in ("", "train")
        },
        "corrupt": [],
        "encoding": "raw",
    }
    write(out, header, classes.labels, records, IMAGES_PER_SHARD)
    return open_prepared(str(out), Opening())


def _spooled(
    name: str, dataset: tf.data.Dataset, spool: IO[bytes], channels: set[int]
) -> Iterator[Spooled]:
    """Each image of a dataset, once its pixels are on disk."""
    what = f"{name} images" if name else "images"
    highest, count = 0.0, 0
    for image, label in _examples(what, dataset):
        pixels = image
        if image.dtype != np.uint8:
            pixels, highest = _whole(what, image), max(highest, float(image.max(initial=0)))
        height, width, depth = image_shape(what, pixels.dtype, (1, *pixels.shape))
        channels.add(depth)
        record = raw_record(pixels.reshape(height, width, depth))
        at = spool.seek(0, 2)
        spool.write(record)
        count += 1
        yield Spooled(digest(record), label, at, len(record), (height, width))
    if count == 0:
        raise SourceError(f"{what}: the dataset is empty")
    if 0 < highest <= 1:
        raise SourceError(f"{what}: expected from 0 to 255, all are 0 or 1: use {SCALE}")


def _whole(what: str, image: np.ndarray) -> np.ndarray:
    """uint8 of an image of another type, where that changes no value."""
    if image.dtype.kind not in "iuf":
        raise SourceError(f"{what}: expected uint8 from 0 to 255, received {image.dtype}")
    if ((image >= 0) & (image <= 255) & (image % 1 == 0)).all():
        return image.astype(np.uint8)
    low, high = image.min(), image.max()
    fix = "map them to that"
    if 0 <= low <= high <= 255:
        fix = f"use {SCALE if high <= 1 else ROUND}"
    raise SourceError(
        f"{what}: expected whole numbers from 0 to 255, received {image.dtype} from {low:g} to "
        f"{high:g}: {fix}"
    )


def _examples(what: str, dataset: tf.data.Dataset) -> Iterator[tuple[np.ndarray, Any]]:
    """(image, label) one by one, batches taken apart. Raises SourceError for other elements."""
    try:
        for element in dataset.as_numpy_iterator():
            pair = (
                (element.get("image"), element.get("label"))
                if isinstance(element, Mapping)
                else element
            )
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise SourceError(
                    f"{what}: expected (image, label) or {{'image', 'label'}}, received "
                    f"{dataset.element_spec}: map the dataset to that"
                )
            image, label = pair[0], np.asarray(pair[1])
            if not isinstance(image, np.ndarray) or image.ndim not in (2, 3, 4):
                raise SourceError(
                    f"{what}: expected [h, w], [h, w, c] or batches of them, received "
                    f"{dataset.element_spec}: map the dataset to that"
                )
            grey_batch = image.ndim == 3 and label.ndim > 0 and image.shape[-1] not in (1, 3)
            if image.ndim == 4 or grey_batch:
                yield from zip(image, label, strict=True)
            else:
                yield image, label
    except tf.errors.OpError as error:
        raise SourceError(f"{what}: the dataset fails: {first_line(error)[:300]}") from None
