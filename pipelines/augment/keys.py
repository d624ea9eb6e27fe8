"""The key of every random draw: (seed, epoch << 40 | index << 8 | position of the op).

So an example looks the same whatever the batch size, the other examples and the number of threads.
"""

from __future__ import annotations

import numpy as np

from pipelines.lazy import tf

EPOCH_BITS, INDEX_BITS, OP_BITS = 23, 32, 8


def image_key(
    seed: int | tf.Tensor, epoch: tf.Tensor, index: tf.Tensor, position: int
) -> tf.Tensor:
    """int64 [2], for the op at `position` of the recipe on the image at `index` in this epoch.

    Of indices [k]: [k, 2].
    """
    base = tf.bitwise.left_shift(epoch, np.int64(INDEX_BITS + OP_BITS))
    base += tf.bitwise.left_shift(index, np.int64(OP_BITS))
    word = tf.cast(seed, tf.int64)
    if base.shape.rank:
        word = tf.fill(tf.shape(base), word)
    return tf.stack([word, base + position], axis=-1)


def epoch_order(rows: tf.Tensor, seed: int | tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
    """`rows` int64 [n] in the order of this epoch: a fresh permutation of each."""
    # The top of the second word is unused by the images' keys: no draw is shared with them.
    key = tf.stack([tf.cast(seed, tf.int64), -1 - epoch])
    draws = tf.random.stateless_uniform(
        tf.shape(rows), key, minval=None, maxval=None, dtype=tf.int64, alg="philox"
    )
    return tf.gather(rows, tf.argsort(draws, stable=True))
