"""Random draws of one op on one image, from its key alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

Op = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
PHILOX = 1  # of tf.random.Algorithm


def uniform(shape: Sequence[int] | tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """float32 in [0, 1); Philox by name, as "auto_select" may pick another on another device.

    Equal to tf.random.stateless_uniform, without its scaling to a range: four ops fewer a draw.
    """
    stream = tf.raw_ops.StatelessRandomGetKeyCounter(seed=key)
    return tf.raw_ops.StatelessRandomUniformV2(
        shape=shape, key=stream.key, counter=stream.counter, alg=PHILOX
    )


def normal(shape: Sequence[int] | tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """float32 of mean 0 and deviation 1, as `uniform` is drawn."""
    stream = tf.raw_ops.StatelessRandomGetKeyCounter(seed=key)
    return tf.raw_ops.StatelessRandomNormalV2(
        shape=shape, key=stream.key, counter=stream.counter, alg=PHILOX
    )


def between(u: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """u in [0, 1) to low..high."""
    return low + u * (high - low)


def colour_of(values: Sequence[float] | np.ndarray | tf.Tensor) -> np.ndarray | tf.Tensor:
    """float32 [c]; a tensor stays one, so that a traced op follows it."""
    if tf.is_tensor(values):
        return tf.reshape(tf.cast(values, tf.float32), [-1])
    return np.asarray(values, np.float32).reshape(-1)


def position(u: tf.Tensor, free: tf.Tensor) -> tf.Tensor:
    """u in [0, 1) to a whole position 0..free, each as likely."""
    free = tf.cast(free, tf.int32)
    at = tf.cast(tf.floor(u * tf.cast(free + 1, tf.float32)), tf.int32)
    return tf.minimum(at, free)


def sometimes(
    change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], draws: int, probability: float
) -> Op:
    """op(image, key): change(float32 image, u [draws]) with this probability, else the image.

    float32 out either way. What is drawn for the change does not depend on the probability.
    """

    def op(image: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        image = tf.cast(image, tf.float32)
        u = uniform([draws + 1], key)
        if probability >= 1.0:
            changed = change(image, u[:draws])
        else:
            changed = tf.cond(
                u[draws] < probability,
                lambda: change(image, u[:draws]),
                lambda: tf.identity(image),
            )
        return tf.ensure_shape(changed, image.shape)

    return op
