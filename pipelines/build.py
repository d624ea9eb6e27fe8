"""From a source and a recipe to a tf.data.Dataset of batches.

Every random draw is keyed by (seed, epoch, index): an example looks the same whatever the batch
size, the other examples and the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines import in_memory
from pipelines.augment.keys import EPOCH_BITS, INDEX_BITS, epoch_order, image_key
from pipelines.augment.recipes import BATCH_OPS, Step, check_steps
from pipelines.portions import WHOLE, Portion, part, read
from pipelines.sources.base import Source
from pipelines.threads import PREFETCHED, fixed, workers

if TYPE_CHECKING:
    import tensorflow as tf

    from pipelines.augment.colour import Colours
    from pipelines.loading import Loader
    from pipelines.statistics import Statistics

DRAWN_AHEAD = 256  # images in files whose numbers are drawn at once


def training_dataset(
    source: Source,
    indices: Iterable[int] | np.ndarray,
    *,
    size: tuple[int, int],
    steps: Sequence[Step],
    statistics: Statistics | None,
    batch_size: int,
    seed: int,
    epochs: int,
    first_epoch: int = 0,
    crop_fraction: float = 1.0,
    transfer: str = "float32",
    antialias: bool = True,
    threads: int = 0,
    portion: Portion = WHOLE,
) -> tf.data.Dataset:
    """(images float32 [b, *size, c] 0..255, labels int64 [b]) of all epochs in order.

    transfer   what crosses to the device: float32, or uint8: whole grey levels, a quarter of the
               bytes. pca_jitter, then the last step of the recipe, is left to the device and the
               images are a pair (uint8 [b, *size, c], float32 [b, c] to be added to them)
    antialias  training windows of more than twice `size`; off, all are plain bilinear
    threads    0: TensorFlow's own pool; n: a private one (`threads.fixed`)
    portion    what this process reads of each batch, where several train one network together;
               batches that are mixed are made whole first

    With mixup or cutmix among the steps labels are float32 [b, classes], each row of sum one.
    Each epoch is a fresh permutation of `indices`; its last batch is what is left over, and never
    holds images of the next epoch. Starting at first_epoch = e gives exactly what a run from 0
    gives from epoch e on. The mean is subtracted by the network (Normalise), not here.
    Raises ValueError for no images, bad steps, or numbers outside their range.
    """
    import tensorflow as tf

    from pipelines.loading import loader

    chosen = _checked(source, indices, batch_size)
    _within("epochs", epochs, 1, 2**EPOCH_BITS - 1 - first_epoch)
    _within("first_epoch", first_epoch, 0, 2**EPOCH_BITS - 2)
    _within("seed", seed, 0, 2**63 - 1)
    steps = check_steps(steps)
    _check_transfer(transfer, steps)
    n = len(chosen)
    with tf.device("CPU:0"):
        rows = tf.constant(chosen)
        labels = tf.constant(source.labels)
    colours: Any = statistics.colours if statistics else None  # which only some steps need
    load = loader(source, size, steps, colours, seed, crop_fraction, transfer, antialias=antialias)
    mixed = _mixed(source, steps, labels, seed)
    before, after = portion, WHOLE  # the images are made
    if any(step["op"] in BATCH_OPS for step in steps):
        before, after = after, before

    def decoded(epoch: tf.Tensor) -> tf.data.Dataset:
        # A call for each image: batches made whole would each wait for their slowest image.
        def batches(order: tf.Tensor, size: int) -> tf.data.Dataset:
            found = tf.data.Dataset.from_tensor_slices(order)
            images = _images(load, found, epoch, threads)
            return images.batch(size).map(
                tf.autograph.experimental.do_not_convert(
                    lambda batch, images: part(mixed(epoch, batch, images), after)
                )
            )

        order = epoch_order(rows, seed, epoch)
        if before == WHOLE:
            return batches(order, batch_size)
        full, *rest = (batches(*own) for own in read(order, n, batch_size, before))
        return full.concatenate(rest[0]) if rest else full

    every = tf.data.Dataset.range(first_epoch, first_epoch + epochs)
    if source.array is None:
        data = every.flat_map(tf.autograph.experimental.do_not_convert(decoded))
    else:
        data = every.flat_map(
            lambda epoch: tf.data.Dataset.zip(
                tf.data.Dataset.from_tensors(epoch).repeat(),
                tf.data.Dataset.from_tensor_slices(epoch_order(rows, seed, epoch)).batch(
                    batch_size
                ),
            )
        )
        plain = all(step["op"] in BATCH_OPS for step in steps)
        views = in_memory.views_of(source, size, crop_fraction) if plain else None
        make = _whole(views, steps, load.one, mixed, transfer)
        data = _map(
            data, lambda epoch, batch: part(make(epoch, part(batch, before)), after), threads
        )
    return _finish(data, epochs * math.ceil(n / batch_size), threads)


def batch_maker(
    held: in_memory.Resident,
    *,
    steps: Sequence[Step],
    colours: Colours,
    seed: int | tf.Tensor,
    transfer: str = "float32",
    antialias: bool = True,
) -> in_memory.Make:
    """make(epoch int64, indices int64 [b]) -> the batch that `training_dataset` makes of them.

    For any graph, on the device of `held`; seed and colours may be tensors of that graph, so
    that one trace serves them all. Raises ValueError for bad steps.
    """
    from pipelines.loading import loader

    steps = check_steps(steps)
    _check_transfer(transfer, steps)
    one = loader(
        held.source,
        held.size,
        steps,
        colours,
        seed,
        held.crop_fraction,
        transfer,
        antialias=antialias,
    ).one
    mixed = _mixed(held.source, steps, held.labels, seed)
    return _whole(held.views, steps, one, mixed, transfer)


def evaluation_dataset(
    source: Source,
    indices: Iterable[int] | np.ndarray,
    *,
    size: tuple[int, int],
    batch_size: int,
    crop_fraction: float = 1.0,
    threads: int = 0,
) -> tf.data.Dataset:
    """(images float32 [b, *size, c] 0..255, labels int64 [b]), in order, every image once.

    The view is `augment.resize_centre`; of a file only what it needs is decoded (`crops.exact`).
    threads as in `training_dataset`. Raises ValueError for no images or a bad batch size.
    """
    import tensorflow as tf

    from pipelines.views import exact

    chosen = _checked(source, indices, batch_size)
    with tf.device("CPU:0"):
        labels = tf.constant(source.labels)
    views = in_memory.views_of(source, size, crop_fraction)
    whole = None if views is None else in_memory.gathered(views, "float32")
    view = exact(source, size, crop_fraction)
    data = tf.data.Dataset.from_tensor_slices(chosen)
    if source.array is None:
        data = _map(data, lambda index: (view(index), tf.gather(labels, index)), threads)
        data = data.batch(batch_size)
    else:
        data = _map(
            data.batch(batch_size),
            lambda batch: (
                whole(batch) if whole is not None else in_memory.each(view, batch, tf.float32),
                tf.gather(labels, batch),
            ),
            threads,
        )
    return _finish(data, math.ceil(len(chosen) / batch_size), threads)


def _mixed(
    source: Source, steps: Sequence[Step], labels: tf.Tensor, seed: int | tf.Tensor
) -> Callable[[tf.Tensor, tf.Tensor, Any], tuple[Any, tf.Tensor]]:
    """(epoch, indices [b], images) -> (images, labels), the batch steps of the recipe done."""
    import tensorflow as tf

    from pipelines.augment.mixing import mixer

    mix = mixer(steps, len(source.class_names))

    def mixed(epoch: tf.Tensor, batch: tf.Tensor, images: Any) -> tuple[Any, tf.Tensor]:
        hard = tf.gather(labels, batch)
        if mix is None:
            return images, hard
        return mix(images, hard, lambda position: image_key(seed, epoch, batch[0], position))

    return mixed


def _whole(
    views: tf.Tensor | None,
    steps: Sequence[Step],
    one: Callable[[tf.Tensor, tf.Tensor], Any],
    mixed: Callable[[tf.Tensor, tf.Tensor, Any], tuple[Any, tf.Tensor]],
    transfer: str,
) -> in_memory.Make:
    """(epoch, indices [b]) -> one batch of an in-memory source; a gather where nothing is drawn."""
    import tensorflow as tf

    if views is not None and all(step["op"] in BATCH_OPS for step in steps):
        plain = in_memory.gathered(views, transfer)
        return lambda epoch, batch: mixed(epoch, batch, plain(batch))
    kinds: Any = tf.float32 if transfer == "float32" else tf.uint8
    if transfer == "uint8" and any(step["op"] == "pca_jitter" for step in steps):
        kinds = tf.uint8, tf.float32
    return lambda epoch, batch: mixed(
        epoch, batch, in_memory.each(lambda index: one(epoch, index), batch, kinds)
    )


def _checked(source: Source, indices: Iterable[int] | np.ndarray, batch_size: int) -> np.ndarray:
    chosen = np.asarray(indices, np.int64).reshape(-1)
    if len(chosen) == 0:
        raise ValueError("dataset: expected at least one image, received none")
    if chosen.min() < 0 or chosen.max() >= len(source):
        raise ValueError(
            f"dataset: expected indices from 0 to {len(source) - 1}, "
            f"received {chosen.min()} to {chosen.max()}"
        )
    _within("number of images", len(source), 1, 2**INDEX_BITS - 1)
    _within("batch_size", batch_size, 1, 2**31 - 1)
    return chosen


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}: expected from {low} to {high}, received {value!r}")


def _check_transfer(transfer: str, steps: Sequence[Step]) -> None:
    if transfer not in ("float32", "uint8"):
        raise ValueError(f"data.transfer: expected float32 or uint8, received {transfer!r}")
    names = [step["op"] for step in steps]
    if transfer == "uint8" and "pca_jitter" in names[:-1]:
        raise ValueError(
            "data.transfer: uint8 leaves pca_jitter to the device, which comes after all else: "
            f"make it the last step of augment, received {', '.join(names)}"
        )


def _images(
    load: Loader, indices: tf.data.Dataset, epoch: tf.Tensor, threads: int
) -> tf.data.Dataset:
    """(index, image) of each index, by a call for each image."""
    import tensorflow as tf

    if not load.ahead:
        return _map(indices, lambda index: (index, load.one(epoch, index)), threads)
    several = indices.batch(DRAWN_AHEAD).map(
        tf.autograph.experimental.do_not_convert(lambda rows: (rows, load.draw(epoch, rows)))
    )
    return _map(
        several.unbatch(),
        lambda index, numbers: (index, load.pixels(epoch, index, numbers)),
        threads,
    )


def _map(data: tf.data.Dataset, load: Callable[..., Any], threads: int) -> tf.data.Dataset:
    import tensorflow as tf

    return data.map(
        tf.autograph.experimental.do_not_convert(load),
        num_parallel_calls=threads or workers(),
        deterministic=True,
    )


def _finish(data: tf.data.Dataset, batches: int, threads: int) -> tf.data.Dataset:
    import tensorflow as tf

    counted = data.apply(tf.data.experimental.assert_cardinality(batches))
    return fixed(counted.prefetch(PREFETCHED), threads)
