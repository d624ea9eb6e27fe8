"""From a source and a recipe to a tf.data.Dataset of batches.

Every random draw is keyed by (seed, epoch, index): an example looks the same whatever the batch
size, the other examples and the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipelines.recipes import PRESETS, Step, check_steps, render
from pipelines.sources import ArraySource, Source
from pipelines.threads import PREFETCHED, fixed, workers

if TYPE_CHECKING:
    import tensorflow as tf

    from pipelines.statistics import Statistics

__all__ = ["PRESETS", "Step", "evaluation_dataset", "render", "training_dataset"]

# key = (seed, epoch << 40 | index << 8 | position of the op in its recipe)
EPOCH_BITS, INDEX_BITS, OP_BITS = 23, 32, 8
VIEW_LIMIT_BYTES = 512 * 1024**2  # for images of an in-memory source, resized once for all epochs


def training_dataset(
    source: Source,
    indices: Iterable[int] | np.ndarray,
    *,
    size: tuple[int, int],
    steps: Sequence[Step],
    statistics: Statistics,
    batch_size: int,
    seed: int,
    epochs: int,
    first_epoch: int = 0,
    crop_fraction: float = 1.0,
) -> tf.data.Dataset:
    """(images float32 [b, *size, c] 0..255, labels int64 [b]) of all epochs in order.

    Each epoch is a fresh permutation of `indices`; its last batch is what is left over, and never
    holds images of the next epoch. Starting at first_epoch = e gives exactly what a run from 0
    gives from epoch e on. The mean is subtracted by the network (Normalise), not here.
    Raises ValueError for no images, bad steps, or numbers outside their range.
    """
    import tensorflow as tf

    chosen = _checked(source, indices, batch_size)
    _within("epochs", epochs, 1, 2**EPOCH_BITS - 1 - first_epoch)
    _within("first_epoch", first_epoch, 0, 2**EPOCH_BITS - 2)
    _within("seed", seed, 0, 2**63 - 1)
    steps = check_steps(steps)
    n = len(chosen)
    with tf.device("CPU:0"):
        rows = tf.constant(chosen)
        labels = tf.constant(source.labels)

    def order(epoch: tf.Tensor) -> tf.Tensor:
        # The top of the second word is unused by the images' keys: no draw is shared with them.
        key = tf.stack([tf.constant(seed, tf.int64), -1 - epoch])
        draws = tf.random.stateless_uniform(
            [n], key, minval=None, maxval=None, dtype=tf.int64, alg="philox"
        )
        return tf.gather(rows, tf.argsort(draws, stable=True))

    batches = tf.data.Dataset.range(first_epoch, first_epoch + epochs).flat_map(
        lambda epoch: tf.data.Dataset.zip(
            tf.data.Dataset.from_tensors(epoch).repeat(),
            tf.data.Dataset.from_tensor_slices(order(epoch)).batch(batch_size),
        )
    )
    views = _whole_views(source, size, crop_fraction) if not steps else None
    if views is not None:
        load = views
    else:
        one = _loader(source, size, steps, statistics, seed, crop_fraction)

        def load(batch: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
            return _each(lambda index: one(epoch, index), batch)

    return _finish(
        batches,
        lambda epoch, batch: (load(batch, epoch), tf.gather(labels, batch)),
        epochs * math.ceil(n / batch_size),
    )


def evaluation_dataset(
    source: Source,
    indices: Iterable[int] | np.ndarray,
    *,
    size: tuple[int, int],
    batch_size: int,
    crop_fraction: float = 1.0,
) -> tf.data.Dataset:
    """(images float32 [b, *size, c] 0..255, labels int64 [b]), in order, every image once.

    The view is `augment.resize_centre`. Raises ValueError for no images or a bad batch size.
    """
    import tensorflow as tf

    from pipelines.augment import resize_centre

    chosen = _checked(source, indices, batch_size)
    with tf.device("CPU:0"):
        labels = tf.constant(source.labels)
    views = _whole_views(source, size, crop_fraction)
    view = resize_centre(size, crop_fraction)

    def load(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if views is not None:
            images = views(batch)
        else:
            images = _each(lambda index: view(source.images(index)), batch)
        return images, tf.gather(labels, batch)

    batches = tf.data.Dataset.from_tensor_slices(chosen).batch(batch_size)
    return _finish(batches, load, math.ceil(len(chosen) / batch_size))


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


def _whole_views(
    source: Source, size: tuple[int, int], crop_fraction: float
) -> Callable[..., tf.Tensor] | None:
    """indices [b] -> float32 [b, *size, c] by one gather, where the views are held in memory."""
    import tensorflow as tf

    views = None
    if isinstance(source, ArraySource):
        views = source.view(size, crop_fraction, VIEW_LIMIT_BYTES)
    if views is None:
        return None
    return lambda batch, *_: tf.cast(tf.gather(views, batch), tf.float32)


def _each(load: Callable[[tf.Tensor], tf.Tensor], batch: tf.Tensor) -> tf.Tensor:
    """Batches are made whole, one map call each: a call for each image costs more than cropping it.

    It also ends a batch with its epoch, without any draining of the parallel map in between.
    """
    import tensorflow as tf

    return tf.map_fn(load, batch, fn_output_signature=tf.float32)


def _loader(
    source: Source,
    size: tuple[int, int],
    steps: Sequence[Step],
    statistics: Statistics,
    seed: int,
    crop_fraction: float,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """(epoch, index) -> one augmented image, float32 [*size, c]."""
    import tensorflow as tf

    from pipelines import augment

    windows: dict[int, augment.Window] = {}
    ops: list[tuple[int, augment.Op]] = []
    for position, step in enumerate(steps):
        if step["op"] == "random_resized_crop":
            windows[position] = augment.inception_window(step["scale"], step["ratio"])
        elif step["op"] == "scale_and_crop":
            short_side = _short_side(step, size)
            windows[position] = augment.scale_window(size, short_side)
        elif step["op"] == "pad_and_crop":
            ops.append((position, augment.pad_and_crop(size, step["padding"], statistics.mean)))
        elif step["op"] == "horizontal_flip":
            ops.append((position, augment.horizontal_flip(step["probability"])))
        else:
            axes = statistics.eigenvalues, statistics.eigenvectors
            ops.append((position, augment.pca_jitter(step["sigma"], *axes)))

    views = None
    if not windows and isinstance(source, ArraySource):
        views = source.view(size, crop_fraction, VIEW_LIMIT_BYTES)
    centre = augment.resize_centre(size, crop_fraction)
    resize = augment.resize_window(size)
    word = np.int64(seed)

    def load(epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        base = tf.bitwise.left_shift(epoch, np.int64(INDEX_BITS + OP_BITS))
        base += tf.bitwise.left_shift(index, np.int64(OP_BITS))

        def key(position: int) -> tf.Tensor:
            return tf.stack([word, base + position])

        if windows:
            # Sampled before decoding: of a file only this window is decoded.
            ((position, window),) = windows.items()
            image = resize(source.images(index, lambda shape: window(shape, key(position))))
        elif views is not None:
            image = tf.gather(views, index)
        else:
            image = centre(source.images(index))
        for position, op in ops:
            image = op(image, key(position))
        return tf.ensure_shape(tf.cast(image, tf.float32), [*size, source.image_shape[2]])

    return load


def _short_side(step: Step, size: tuple[int, int]) -> list[int]:
    """In pixels of this network: a recipe for a 224 network keeps its proportions at 32."""
    reference = step.get("reference")
    if reference is None:
        return list(step["short_side"])
    return [round(side * max(size) / reference) for side in step["short_side"]]


def _finish(
    indices: tf.data.Dataset, load: Callable[..., tuple[tf.Tensor, tf.Tensor]], batches: int
) -> tf.data.Dataset:
    import tensorflow as tf

    return fixed(
        indices.map(
            tf.autograph.experimental.do_not_convert(load),
            num_parallel_calls=workers(),
            deterministic=True,
        )
        .apply(tf.data.experimental.assert_cardinality(batches))
        .prefetch(PREFETCHED)
    )
