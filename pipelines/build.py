"""From a source and a recipe to a tf.data.Dataset of batches.

Every random draw is keyed by (seed, epoch, index): an example looks the same whatever the batch
size, the order, the other examples and the number of threads.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from pipelines import in_memory
from pipelines.augment.corruptions import all_versions
from pipelines.augment.keys import EPOCH_BITS, INDEX_BITS, epoch_order, image_key
from pipelines.augment.ops import mixer
from pipelines.augment.recipes import Recipe
from pipelines.lazy import tf
from pipelines.loading import Loader, loader
from pipelines.portions import WHOLE, Portion, edges, part, read
from pipelines.sources.base import Source
from pipelines.threads import PREFETCHED, fixed, workers
from pipelines.views import exact

DRAWN_AHEAD = 256  # images in files whose numbers are drawn at once


def training_dataset(
    source: Source,
    indices: Iterable[int] | np.ndarray,
    recipe: Recipe,
    *,
    batch_size: int,
    epochs: int,
    first_epoch: int = 0,
    order_seed: int | None = None,
    threads: int = 0,
    portion: Portion = WHOLE,
) -> tf.data.Dataset:
    """(images float32 [b, *size, c] 0..255, labels int64 [b]) of all epochs in order.

    recipe      with transfer uint8 images are uint8, or pairs (see `Recipe`)
    order_seed  of the order of the images; None: the recipe's
    threads     0: TensorFlow's own pool; n: a private one (`threads.fixed`)
    portion     what this process reads of each batch, where several train one network together;
                batches that are mixed are made whole first

    With mixup or cutmix among the steps labels are float32 [b, classes], each row of sum one.
    Each epoch is a fresh permutation of `indices`; its last batch is what is left over (where that
    is a few images, it shares them with the one before: `portions.edges`), and never holds images
    of the next epoch. Starting at first_epoch = e gives exactly what a run from 0 gives from epoch
    e on. The mean is subtracted by the network (Normalise), not here.
    Raises ValueError for no images, or numbers outside their range.
    """
    chosen = _checked(source, indices, batch_size)
    _within("epochs", epochs, 1, 2**EPOCH_BITS - 1 - first_epoch)
    _within("first_epoch", first_epoch, 0, 2**EPOCH_BITS - 2)
    every = tf.data.Dataset.range(first_epoch, first_epoch + epochs)
    data = _of_epochs(source, chosen, recipe, every, batch_size, order_seed, threads, portion)
    return _finish(data, epochs * math.ceil(len(chosen) / batch_size), threads)


def fit_dataset(
    source: Source,
    indices: Iterable[int] | np.ndarray,
    recipe: Recipe,
    *,
    batch_size: int,
    first_epoch: int = 0,
    order_seed: int | None = None,
    threads: int = 0,
) -> tf.data.Dataset:
    """The batches of `training_dataset`, an epoch an iteration: for `model.fit(epochs=n)`.

    Its length is the number of batches in an epoch. Each new iteration goes on with the epoch
    after the last one that was read to its end; one that is left before its last batch counts for
    nothing, so that what only looks at a batch, as Keras does, skips no epoch. A dataset that is
    made again begins again at `first_epoch` and gives the same bits.
    Arguments and errors as `training_dataset`.
    """
    chosen = _checked(source, indices, batch_size)
    _within("first_epoch", first_epoch, 0, 2**EPOCH_BITS - 2)
    steps = math.ceil(len(chosen) / batch_size)
    with tf.device("CPU:0"):
        epoch = tf.Variable(first_epoch, dtype=tf.int64, trainable=False)
    every = tf.data.Dataset.from_tensors(0).map(lambda _: epoch.read_value())
    data = _of_epochs(source, chosen, recipe, every, batch_size, order_seed, threads, WHOLE)
    numbers = every.flat_map(lambda now: tf.data.Dataset.from_tensors(now).repeat())
    data = tf.data.Dataset.zip(numbers, data)  # the epoch of each batch with it
    data = _finish(data, steps, threads)

    def counted(number: tf.Tensor, numbered: Any) -> Any:
        now, batch = numbered
        done = tf.cast(number == steps - 1, tf.int64)
        with tf.control_dependencies([epoch.assign(now + done)]):
            return tf.nest.map_structure(tf.identity, batch)

    options = tf.data.Options()  # nothing reads ahead behind the count
    options.experimental_optimization.inject_prefetch = False
    return data.enumerate().map(counted).with_options(options)


def _of_epochs(
    source: Source,
    chosen: np.ndarray,
    recipe: Recipe,
    every: tf.data.Dataset,
    batch_size: int,
    order_seed: int | None,
    threads: int,
    portion: Portion,
) -> tf.data.Dataset:
    """The batches of the epochs in `every`, int64 [], in order."""
    _within("seed", recipe.seed, 0, 2**63 - 1)
    order_seed = recipe.seed if order_seed is None else order_seed
    _within("order_seed", order_seed, 0, 2**63 - 1)
    n = len(chosen)
    with tf.device("CPU:0"):
        rows = tf.constant(chosen)
        labels = tf.constant(source.labels)
    load = loader(source, recipe)
    mixed = _mixed(source, recipe, labels)
    bounds = edges(n, batch_size)
    shared = n % batch_size and bounds[-2] % batch_size  # the last two batches share their images
    before, after = portion, WHOLE  # the images are made
    if recipe.mixes:
        before, after = after, before

    def decoded(epoch: tf.Tensor) -> tf.data.Dataset:
        # A call for each image: batches made whole would each wait for their slowest image.
        def batches(order: tf.Tensor, size: int) -> tf.data.Dataset:
            images = _images(load, tf.data.Dataset.from_tensor_slices(order), epoch, threads)
            return images.batch(size).map(
                tf.autograph.experimental.do_not_convert(
                    lambda batch, images: part(mixed(epoch, batch, images), after)
                )
            )

        order = epoch_order(rows, order_seed, epoch)
        if before == WHOLE and not shared:
            return batches(order, batch_size)
        return functools.reduce(
            tf.data.Dataset.concatenate,
            [batches(*part) for part in read(order, n, batch_size, before)],
        )

    def cut(order: tf.Tensor) -> tf.data.Dataset:
        if not shared:
            return tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        pairs = tf.data.Dataset.from_tensor_slices((bounds[:-1], bounds[1:]))
        return pairs.map(lambda first, stop: order[first:stop])

    if source.array is None:
        return every.flat_map(tf.autograph.experimental.do_not_convert(decoded))
    data = every.flat_map(
        lambda epoch: tf.data.Dataset.zip(
            tf.data.Dataset.from_tensors(epoch).repeat(),
            cut(epoch_order(rows, order_seed, epoch)),
        )
    )
    views = None
    if recipe.plain:
        views = in_memory.views_of(source, recipe.size, recipe.crop_fraction)
    make = _whole(views, recipe, load.one, mixed)
    return _map(data, lambda epoch, batch: part(make(epoch, part(batch, before)), after), threads)


def batch_maker(held: in_memory.Resident, recipe: Recipe) -> in_memory.Make:
    """make(epoch int64, indices int64 [b]) -> the batch that `training_dataset` makes of them.

    For any graph, on the device of `held`, whose size and crop_fraction are the recipe's. Seed and
    colours may be tensors of that graph, so that one trace serves them all.
    """
    mixed = _mixed(held.source, recipe, held.labels)
    return _whole(held.views, recipe, loader(held.source, recipe).one, mixed)


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

    The view is `resize.resize_centre`; of a file only what it needs is decoded (`views.exact`).
    threads as in `training_dataset`. Raises ValueError for no images or a bad batch size.
    """
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


def corrupted_dataset(
    source: Source,
    indices: Iterable[int] | np.ndarray,
    *,
    size: tuple[int, int],
    batch_size: int,
    crop_fraction: float = 1.0,
    threads: int = 0,
) -> tf.data.Dataset:
    """uint8 [b, corruptions.VERSIONS, *size, c], in order, every image once.

    The corruptions are of the view of `evaluation_dataset`, in whole levels. Arguments and errors
    as there.
    """
    chosen = _checked(source, indices, batch_size)
    view = exact(source, size, crop_fraction)
    data = _map(
        tf.data.Dataset.from_tensor_slices(chosen),
        lambda index: all_versions(in_memory.whole_levels(view(index), clip=True), index),
        threads,
    )
    return _finish(data.batch(batch_size), math.ceil(len(chosen) / batch_size), threads)


def _mixed(
    source: Source, recipe: Recipe, labels: tf.Tensor
) -> Callable[[tf.Tensor, tf.Tensor, Any], tuple[Any, tf.Tensor]]:
    """(epoch, indices [b], images) -> (images, labels), the batch steps of the recipe done."""
    mix = mixer(recipe.steps, len(source.class_names))

    def mixed(epoch: tf.Tensor, batch: tf.Tensor, images: Any) -> tuple[Any, tf.Tensor]:
        hard = tf.gather(labels, batch)
        if mix is None:
            return images, hard
        return mix(images, hard, lambda at: image_key(recipe.seed, epoch, batch[0], at))

    return mixed


def _whole(
    views: tf.Tensor | None,
    recipe: Recipe,
    one: Callable[[tf.Tensor, tf.Tensor], Any],
    mixed: Callable[[tf.Tensor, tf.Tensor, Any], tuple[Any, tf.Tensor]],
) -> in_memory.Make:
    """(epoch, indices [b]) -> one batch of an in-memory source; a gather where nothing is drawn."""
    if views is not None and recipe.plain:
        plain = in_memory.gathered(views, recipe.transfer)
        return lambda epoch, batch: mixed(epoch, batch, plain(batch))
    kinds: Any = tf.float32 if recipe.transfer == "float32" else tf.uint8
    if recipe.offsets_apart:
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


def _images(
    load: Loader, indices: tf.data.Dataset, epoch: tf.Tensor, threads: int
) -> tf.data.Dataset:
    """(index, image) of each index, by a call for each image."""
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
    return data.map(
        tf.autograph.experimental.do_not_convert(load),
        num_parallel_calls=threads or workers(),
        deterministic=True,
    )


def _finish(data: tf.data.Dataset, batches: int, threads: int) -> tf.data.Dataset:
    counted = data.apply(tf.data.experimental.assert_cardinality(batches))
    return fixed(counted.prefetch(PREFETCHED), threads)
