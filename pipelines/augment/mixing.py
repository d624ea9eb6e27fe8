"""Augmentations of whole batches: MixUp and CutMix, with soft labels.

A batch op takes images [b, h, w, c] (uint8 or float32, 0..255), labels float32 [b, classes] that
sum to one, and a key; it gives back both, of the same shapes, dtypes and ranges. Partners come from
the same batch, in an order keyed like every other draw (`pipelines/build.py` takes the batch's
first image for the index). So a run repeats whatever the number of threads, but who is mixed with
whom depends on the batch size: the one place where images of a batch know of each other. An image
may be drawn as its own partner, and is then left alone; so is the only image of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

import numpy as np

from pipelines.augment.declaration import Setting, augmentation
from pipelines.lazy import tf

BatchOp: TypeAlias = "Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]"

Alpha = Annotated[float, Setting(gt=0)]

OfABatch = Annotated[float, Setting("of a batch", ge=0, le=1)]

# Turned into the seed word, so that the draws of one op do not share one Philox stream.
PARTNERS, SHARE, POWER = 0x5851F42D4C957F2D, 0x14057B7EF767814F, 0x2C9277B5AF5E1D3B


@augmentation(on="batch")
def mixup(alpha: Alpha = 0.2, probability: OfABatch = 1.0) -> BatchOp:
    """share * image + (1 - share) * its partner's, and the labels alike.

    One share ~ Beta(alpha, alpha) a batch, as in the authors' code; uint8 images are rounded.
    Zhang et al. 2018 (1710.09412), section 2; alpha 0.2 is their choice for ImageNet.
    """

    def mix(
        images: tf.Tensor, labels: tf.Tensor, key: tf.Tensor, u: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        share, partner = _share(alpha, key), _partners(labels, key)
        pixels = tf.cast(images, tf.float32)
        mixed = share * pixels + (1.0 - share) * tf.gather(pixels, partner)
        if images.dtype != tf.float32:
            mixed = tf.cast(tf.round(mixed), images.dtype)
        return mixed, _blend(labels, partner, share)

    return _sometimes(mix, probability)


@augmentation(on="batch")
def cutmix(alpha: Alpha = 1.0, probability: OfABatch = 1.0) -> BatchOp:
    """A box of each image is replaced by its partner's, and the labels mixed by area.

    One box a batch, as in the authors' code: its sides are sqrt(1 - share) of the image's, with
    share ~ Beta(alpha, alpha), its centre is any pixel, and what lies outside is cut off; the
    labels follow the area that is left. Pixels are copied, never changed.
    Yun et al. 2019 (1905.04899), section 3.1; alpha 1 and probability 1 are theirs for ImageNet,
    probability 0.5 for CIFAR.
    """

    def mix(
        images: tf.Tensor, labels: tf.Tensor, key: tf.Tensor, u: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        partner = _partners(labels, key)
        sides = tf.shape(images)[1:3]
        whole = tf.cast(sides, tf.float32)
        half = tf.cast(whole * tf.sqrt(1.0 - _share(alpha, key)), tf.int32) // 2
        centre = tf.minimum(tf.cast(tf.floor(u * whole), tf.int32), sides - 1)
        start, stop = tf.maximum(centre - half, 0), tf.minimum(centre + half, sides)
        rows, columns = tf.range(sides[0]), tf.range(sides[1])
        tall = (rows >= start[0]) & (rows < stop[0])
        wide = (columns >= start[1]) & (columns < stop[1])
        box = (tall[:, None] & wide[None, :])[None, :, :, None]
        mixed = tf.where(box, tf.gather(images, partner), images)
        area = tf.cast(tf.reduce_prod(stop - start), tf.float32) / tf.reduce_prod(whole)
        return mixed, _blend(labels, partner, 1.0 - area)

    return _sometimes(mix, probability)


def _sometimes(mix: Callable[..., tuple[tf.Tensor, tf.Tensor]], probability: float) -> BatchOp:
    def op(images: tf.Tensor, labels: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        u = tf.random.stateless_uniform([3], key, alg="philox")
        mixed, soft = tf.cond(
            u[0] < probability,
            lambda: mix(images, labels, key, u[1:]),
            lambda: (tf.identity(images), tf.identity(labels)),
        )
        return tf.ensure_shape(mixed, images.shape), tf.ensure_shape(soft, labels.shape)

    return op


def _share(alpha: float, key: tf.Tensor) -> tf.Tensor:
    """Beta(alpha, alpha), float32: a / (a + b) of two Gamma(alpha) draws.

    In logarithms, Gamma(alpha) being Gamma(alpha + 1) * uniform ** (1 / alpha): both draws vanish
    at a small alpha, and TensorFlow's own are cut off at the smallest number, which would make
    the share one half.
    """
    gamma = tf.random.stateless_gamma(
        [2], _stream(key, SHARE), alpha=np.float64(alpha + 1.0), dtype=tf.float64
    )
    u = tf.random.stateless_uniform([2], _stream(key, POWER), dtype=tf.float64, alg="philox")
    log_a, log_b = tf.unstack(tf.math.log(gamma) + tf.math.log1p(-u) / alpha)
    return tf.cast(tf.sigmoid(log_a - log_b), tf.float32)


def _partners(labels: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """A permutation of the batch."""
    u = tf.random.stateless_uniform(tf.shape(labels)[:1], _stream(key, PARTNERS), alg="philox")
    return tf.argsort(u, stable=True)


def _stream(key: tf.Tensor, word: int) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(key, np.array([word, 0], np.int64))


def _blend(labels: tf.Tensor, partner: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    return share * labels + (1.0 - share) * tf.gather(labels, partner)
