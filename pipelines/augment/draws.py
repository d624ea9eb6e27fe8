"""Random draws of one op, from the key of an image alone: of one image, or of many at once.

A key is int64 [2]; keys of many images are [k, 2], and their draws have a first axis of k.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from pipelines.augment.philox import uniform_rows
from pipelines.lazy import tf

Drawn: TypeAlias = "Callable[[tf.Tensor], tf.Tensor]"

Op: TypeAlias = "Callable[[tf.Tensor, tf.Tensor], tf.Tensor]"

PHILOX = 1  # of tf.random.Algorithm
LEAST = 1e-7  # for the logarithm of a draw; other draws are multiples of 2**-23


def uniform(shape: Sequence[int] | tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """float32 in [0, 1); Philox by name, as "auto_select" may pick another on another device.

    Equal to tf.random.stateless_uniform, without its scaling to a range: four ops fewer a draw.
    """
    if key.shape.rank == 2:
        return tf.reshape(uniform_rows(math.prod(shape), key), [-1, *shape])
    stream = tf.raw_ops.StatelessRandomGetKeyCounter(seed=key)
    return tf.raw_ops.StatelessRandomUniformV2(
        shape=shape, key=stream.key, counter=stream.counter, alg=PHILOX
    )


def normal(shape: Sequence[int], key: tf.Tensor) -> tf.Tensor:
    """float32 of mean 0 and deviation 1, by Box and Muller's formula.

    tf.random.stateless_normal up to its rounding. In float64 and then rounded: in float32 the last
    bit depends on a number's place in its tensor, and so on what else is drawn with it.
    """
    count = math.prod(shape)
    u = tf.cast(uniform([-(-count // 2), 2], key), tf.float64)
    radius = tf.sqrt(-2.0 * tf.math.log(tf.maximum(u[..., 0], LEAST)))
    angle = tf.cast(tf.cast(2.0 * math.pi * u[..., 1], tf.float32), tf.float64)
    pairs = tf.stack([tf.sin(angle) * radius, tf.cos(angle) * radius], axis=-1)
    flat = tf.reshape(tf.cast(pairs, tf.float32), [*_first(key), count + count % 2])
    return tf.reshape(flat[..., :count], [*_first(key), *shape])


def _first(key: tf.Tensor) -> list[int]:
    """The axis of many keys, as tf.reshape takes it."""
    return [-1] if key.shape.rank == 2 else []


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
