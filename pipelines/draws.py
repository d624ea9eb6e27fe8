"""Random draws of one op on one image, from its key alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

Op = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def uniform(shape: Sequence[int] | tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """float32 in [0, 1); Philox by name, as "auto_select" may pick another on another device."""
    return tf.random.stateless_uniform(shape, key, alg="philox")


def between(u: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """u in [0, 1) to low..high."""
    return low + u * (high - low)


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
