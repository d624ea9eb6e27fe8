"""`tfds:NAME[:VERSION]`: a classification set of TensorFlow Datasets.

Sets prepared as ArrayRecord are read by random access, images as the bytes that are stored. Sets
prepared as TFRecord have no random access: they are converted once, without decoding, to a
`prepared:` folder below `.ilsvrc/.cache`. What is not prepared yet, TFDS prepares.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.errors import SourceError
from pipelines.files.decode import decode, decode_window
from pipelines.files.index_cache import FOLDER, cache_file, load_columns, save_columns
from pipelines.files.shards import DIGEST_BYTES, Record, digest
from pipelines.files.unchanged import check_unchanged
from pipelines.files.verify import Files, files_of, too_large
from pipelines.lazy import tf
from pipelines.progress import Progress, say
from pipelines.sources.base import Opening, Source, Unused, finish_fingerprint, natural_size
from pipelines.sources.prepared import MANIFEST, held_in_memory, open_prepared
from pipelines.sources.records.shards import chosen_splits
from pipelines.sources.records.tfds.builder import prepared_builder


class Parts(NamedTuple):
    """How a set is laid out: its features' names, its splits in order."""

    image: str
    label: str
    splits: list[str]  # as TFDS calls them
    official: list[str] | None  # as this project calls them; None: no official splits
    left: tuple[Unused, ...] = ()  # other splits


class TfdsSource(Source):
    """Images of an ArrayRecord set, read by number."""

    def __init__(
        self,
        spec: str,
        readers: list[Any],
        image: str,
        labels: np.ndarray,
        digests: np.ndarray,
        class_names: list[str],
        image_shape: tuple[int | None, int | None, int],
        official_splits: dict[str, np.ndarray] | None,
        files: Files,
    ) -> None:
        """`files`: those that hold the records."""
        self.spec = spec
        self.labels = labels
        self.digests = digests
        self.class_names = class_names
        self.image_shape = image_shape
        self.default_size = natural_size(*image_shape[:2])
        self.official_splits = official_splits
        self.corrupt = []
        self.record_files = files
        self._readers, self._image = readers, image
        self._starts = np.cumsum([0, *(len(reader) for reader in readers)])

    @property
    def fingerprint(self) -> str:
        sha256 = hashlib.sha256(np.ascontiguousarray(self.digests).tobytes())
        splits = {k: v.tolist() for k, v in (self.official_splits or {}).items()}
        sha256.update(json.dumps([self.image_shape[2], splits], sort_keys=True).encode())
        finish_fingerprint(sha256, self.labels, self.class_names)
        return sha256.hexdigest()

    def check_unchanged(self) -> None:
        # no digest of a whole file is known: one that has its size and time of contents is the same
        rows = range(len(self.record_files))
        check_unchanged(self.spec, self.record_files, rows, lambda i: True)

    def blob(self, index: int) -> bytes:
        """The image file as stored."""
        part = int(np.searchsorted(self._starts, index, "right")) - 1
        return bytes(self._readers[part][index - int(self._starts[part])][self._image])

    def contents(self, index: tf.Tensor) -> tf.Tensor:
        """The bytes of the image at a scalar index; usable inside a tf.data map."""
        contents = tf.numpy_function(lambda i: self.blob(int(i)), [index], tf.string)
        return tf.ensure_shape(contents, [])

    def images(
        self, index: tf.Tensor, window: Callable[[tf.Tensor], tf.Tensor] | None = None
    ) -> tf.Tensor:
        if window is not None:
            return decode_window(self.contents(index), self.image_shape[2], window)
        return tf.ensure_shape(decode(self.contents(index), self.image_shape[2]), self.image_shape)


def open_tfds(rest: str, opening: Opening) -> Source:
    """The set `NAME[:VERSION]`, official splits kept; a split without labels is left out, aloud.

    Every image's header is read once: what is no image, or has more than max_pixels, is
    refused by its split and number before anything decodes it.

    TFDS_DATA_DIR names the folder of prepared sets, ~/tensorflow_datasets otherwise.
    Raises SourceError for unknown sets, sets that are no classification of images, sets that are
    neither prepared nor can be, and labels out of range.
    """
    name = rest.partition(":")[0]
    if not name:
        raise SourceError("tfds: expected a name, received none: write 'tfds:NAME[:VERSION]'")
    import tensorflow_datasets as tfds

    builder = prepared_builder(rest)
    info = builder.info
    parts = _parts(tfds, rest, info)
    feature, classes = info.features[parts.image], info.features[parts.label]
    class_names = [str(text) for text in classes.names or range(classes.num_classes)]
    height, width, depth = feature.shape
    stored = opening.channels or (1 if depth == 1 else 3)
    spec = f"tfds:{rest}"
    if info.file_format != tfds.core.FileFormat.ARRAY_RECORD:
        folder = _converted(
            tfds, spec, builder, parts, class_names, 1 if depth == 1 else 3, opening.max_pixels
        )
        held = open_prepared(str(folder), replace(opening, channels=stored), spec=spec)
        held.unused = (*parts.left, *held.unused)
        return held
    files = files_of(sorted(Path(builder.data_path).glob("*.array_record*")))
    decoders = {parts.image: tfds.decode.SkipDecoding()}
    readers = [builder.as_data_source(split, decoders=decoders) for split in parts.splits]
    scans = [
        _scan(spec, builder, parts, i, reader, opening.max_pixels)
        for i, reader in enumerate(readers)
    ]
    kept = _labelled(spec, parts, [labels for labels, _ in scans], class_names)
    source = TfdsSource(
        spec,
        [readers[i] for i in kept],
        parts.image,
        np.concatenate([scans[i][0] for i in kept]),
        np.concatenate([scans[i][1] for i in kept]),
        class_names,
        (height, width, stored),
        _official(parts, kept, [len(labels) for labels, _ in scans]),
        files,
    )
    source.unused = (*parts.left, *_unlabelled(parts, kept, [labels for labels, _ in scans]))
    return held_in_memory(source, opening.memory_limit_bytes)


def _parts(tfds: Any, rest: str, info: Any) -> Parts:
    """The image, the label and the splits of a set. Raises SourceError when it has others."""
    features = info.features
    items = dict(features.items()) if hasattr(features, "items") else {}
    images = [key for key, kind in items.items() if type(kind) is tfds.features.Image]
    labels = [key for key, kind in items.items() if isinstance(kind, tfds.features.ClassLabel)]
    keys = info.supervised_keys
    if isinstance(keys, tuple) and len(keys) == 2 and keys[0] in images and keys[1] in labels:
        images, labels = [keys[0]], [keys[1]]
    if len(images) != 1 or len(labels) != 1:
        raise SourceError(
            f"tfds: {rest}: expected one image and one class label, received "
            f"{', '.join(f'{k}: {type(v).__name__}' for k, v in items.items()) or 'none'}: "
            "choose a classification set"
        )
    if np.dtype(items[images[0]].np_dtype) != np.uint8:
        raise SourceError(
            f"tfds: {rest}: expected 8-bit images, received {items[images[0]].np_dtype}: "
            "choose another set"
        )
    chosen, left = chosen_splits(info.splits)
    if not chosen:
        return Parts(images[0], labels[0], sorted(info.splits), None)
    for why in dict.fromkeys(left.values()):
        others = ", ".join(name for name in left if left[name] == why)
        say(f"tfds: {rest}: splits {others} are left out (they {why})")
    unused = tuple(Unused(name, info.splits[name].num_examples, why) for name, why in left.items())
    return Parts(images[0], labels[0], list(chosen.values()), list(chosen), unused)


def _labelled(
    spec: str, parts: Parts, labels: list[np.ndarray], class_names: list[str]
) -> list[int]:
    """Positions of the splits that have labels; TFDS gives -1 where there are none."""
    kept = []
    for i, known in enumerate(labels):
        split = parts.splits[i]
        if len(known) == 0 or (known == -1).all():
            say(f"{spec}: split {split} has no labels and is left out")
            continue
        bad = np.flatnonzero((known < 0) | (known >= len(class_names)))
        if len(bad):
            raise SourceError(
                f"{spec}: split {split}: label of image {bad[0]}: expected from 0 to "
                f"{len(class_names) - 1}, received {known[bad[0]]}: the set is damaged, prepare it "
                "again"
            )
        kept.append(i)
    if not kept or (parts.official and parts.official[kept[0]] != "train"):
        raise SourceError(f"{spec}: its training images have no labels: choose another set")
    return kept


def _unlabelled(parts: Parts, kept: list[int], labels: list[np.ndarray]) -> list[Unused]:
    return [
        Unused(parts.splits[i], len(known), "have no labels")
        for i, known in enumerate(labels)
        if i not in kept and len(known)
    ]


def _official(parts: Parts, kept: list[int], sizes: list[int]) -> dict[str, np.ndarray] | None:
    """Indices of each split; None where train is all there is."""
    if parts.official is None or len(kept) == 1:
        return None
    ends = np.cumsum([0, *(sizes[i] for i in kept)])
    return {
        parts.official[i]: np.arange(start, stop, dtype=np.int64)
        for i, start, stop in zip(kept, ends[:-1], ends[1:], strict=True)
    }


def _identity(builder: Any) -> str:
    """Changes when the set is prepared anew with other contents."""
    info = builder.info
    splits = {name: (part.num_examples, int(part.num_bytes)) for name, part in info.splits.items()}
    stamp = (Path(builder.data_path) / "dataset_info.json").stat().st_mtime_ns
    text = json.dumps([str(builder.data_path), info.full_name, splits, stamp], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _scan(
    spec: str, builder: Any, parts: Parts, which: int, reader: Any, max_pixels: int
) -> tuple[np.ndarray, np.ndarray]:
    """(labels [n], digests [n, 16]) of a split: one reading without decoding, then from cache."""
    split = parts.splits[which]
    cache = cache_file("tfds", _identity(builder), split)
    columns = load_columns(cache, ["labels", "digests", "shapes"])
    if columns is None or any(len(column) != len(reader) for column in columns.values()):
        labels = np.empty(len(reader), np.int64)
        digests = np.empty((len(reader), DIGEST_BYTES), np.uint8)
        shapes = np.empty((len(reader), 2), np.int64)
        for i in range(len(reader)):
            example = reader[i]
            labels[i] = example[parts.label]
            digests[i] = np.frombuffer(digest(example[parts.image]), np.uint8)
            shapes[i] = _shape(f"{spec}: split {split}: image {i}", example[parts.image])
        columns = {"labels": labels, "digests": digests, "shapes": shapes}
        save_columns(cache, columns)
    for i, (height, width) in enumerate(np.asarray(columns["shapes"]).tolist()):
        _check_pixels(f"{spec}: split {split}: image {i}", height, width, max_pixels)
    return np.asarray(columns["labels"]), np.asarray(columns["digests"])


def _converted(
    tfds: Any,
    spec: str,
    builder: Any,
    parts: Parts,
    class_names: list[str],
    channels: int,
    max_pixels: int,
) -> Path:
    """The `prepared:` folder of a TFRecord set, its images' bytes as they were; made once."""
    from pipelines.sources.prepare import IMAGES_PER_SHARD, write

    identity = _identity(builder)
    out = FOLDER / "tfds" / f"{builder.info.full_name.replace('/', '-')}-{identity[:12]}"
    if (out / MANIFEST).exists():
        return out
    say(f"{spec}: TFRecord has no random access; converting it once, into {out}")
    in_order = tfds.ReadConfig(interleave_cycle_length=1)

    def examples(split: str, wanted: set[str], start: int = 0) -> Iterator[dict[str, Any]]:
        skip = {parts.image: tfds.decode.SkipDecoding()} if parts.image in wanted else None
        data = builder.as_dataset(
            split=split,
            decoders=tfds.decode.PartialDecoding(dict.fromkeys(wanted, True), decoders=skip),
            shuffle_files=False,
            read_config=in_order,
        )
        yield from data.skip(start).as_numpy_iterator()

    labels = [
        np.array([int(x[parts.label]) for x in examples(split, {parts.label})], np.int64)
        for split in parts.splits
    ]
    kept = _labelled(spec, parts, labels, class_names)
    official = _official(parts, kept, [len(known) for known in labels])

    def records(start: int) -> Iterator[Record]:
        for i in kept:
            if start < len(labels[i]):
                pictures = examples(parts.splits[i], {parts.image}, start)
                for number, example in enumerate(pictures, start):
                    contents = bytes(example[parts.image])
                    where = f"{spec}: split {parts.splits[i]}: image {number}"
                    shape = _shape(where, contents)
                    _check_pixels(where, *shape, max_pixels)
                    yield Record(contents, digest(contents), shape)
            start = max(0, start - len(labels[i]))

    header = {
        "source": spec,
        "source_fingerprint": identity,
        "class_names": class_names,
        "channels": channels,
        "splits": {k: [[int(v[0]), int(v[-1]) + 1]] for k, v in (official or {}).items()},
        "corrupt": [],
        "encoding": "encoded",
    }
    if bare := _unlabelled(parts, kept, labels):
        header["unused"] = [list(entry) for entry in bare]
    chosen = np.concatenate([labels[i] for i in kept])
    advance = Progress(f"{spec}: converted {{}} images", len(chosen))
    write(out, header, chosen, records, IMAGES_PER_SHARD, advance)
    return out


def _shape(where: str, contents: bytes) -> tuple[int, int]:
    from pipelines.files.image_header import HeaderError, read_header

    try:
        header = read_header(contents)
    except HeaderError as error:
        raise SourceError(f"{where} {error}: prepare the set again, or choose another") from None
    return header.height, header.width


def _check_pixels(where: str, height: int, width: int, max_pixels: int) -> None:
    if height * width > max_pixels:
        raise SourceError(f"{where} {too_large(height, width, max_pixels)}")
