"""Philox4x32-10 in TensorFlow ops: the draws of many keys by one graph of some 200 small ops.

TensorFlow's own stateless ops take one key a call. The draws here are theirs bit for bit: it makes
no difference by which of the two an image's numbers are drawn.
Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from pipelines.lazy import tf

ROUNDS = 10
BLOCK = 4  # words that one counter gives
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
SCRAMBLE = np.uint64(0x3EC8F720), np.uint64(0x02461E29)  # TensorFlow's: so any seed will do
WORD, WORD_BITS = np.uint64(0xFFFFFFFF), np.uint64(32)
MANTISSA_BITS = 23


def uniform_rows(count: int, keys: tf.Tensor) -> tf.Tensor:
    """float32 [k, count] in [0, 1); row i is `draws.uniform([count], keys[i])`. Keys [k, 2]."""
    levels = _words(count, keys) & np.uint64(2**MANTISSA_BITS - 1)
    return tf.cast(levels, tf.float32) * np.float32(2.0**-MANTISSA_BITS)  # exact


def _words(count: int, keys: tf.Tensor) -> tf.Tensor:
    """uint64 [k, count] below 2**32: the first words of each key's stream."""
    first, second = tf.unstack(tf.bitcast(keys, tf.uint64), axis=1)
    scramble = [tf.fill(tf.shape(first), word) for word in SCRAMBLE]
    mixed = _block()(*_halves(first), *_halves(second), *scramble)
    # Of what a seed gives half is the key, half the upper words of the counter. All words have one
    # shape: broadcasting takes longer than the arithmetic.
    blocks = -(-count // BLOCK)
    key, other, upper, top = [tf.repeat(word, blocks) for word in mixed]
    number = tf.tile(tf.constant(np.arange(blocks, dtype=np.uint64)), tf.shape(first))
    words = _block()(number, tf.zeros_like(number), upper, top, key, other)
    return tf.reshape(tf.stack(words, axis=1), [-1, BLOCK * blocks])[:, :count]


@functools.cache
def _block() -> Callable[..., list[tf.Tensor]]:
    """`_rounds` as one graph, traced once a process."""
    words = [tf.TensorSpec([None], tf.uint64)] * 6
    return tf.function(_rounds, autograph=False, input_signature=words)


def _rounds(
    a: tf.Tensor, b: tf.Tensor, c: tf.Tensor, d: tf.Tensor, key: tf.Tensor, other: tf.Tensor
) -> list[tf.Tensor]:
    """The four words that counters a b c d give under keys of two words."""
    for _ in range(ROUNDS):
        low_a, high_a = _halves(a * MULTIPLIERS[0])
        low_c, high_c = _halves(c * MULTIPLIERS[1])
        a, c = high_c ^ b ^ key, high_a ^ d ^ other
        b, d = low_c, low_a
        key, other = (key + WEYL[0]) & WORD, (other + WEYL[1]) & WORD
    return [a, b, c, d]


def _halves(words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The lower and the upper 32 bits."""
    return words & WORD, tf.bitwise.right_shift(words, WORD_BITS)
