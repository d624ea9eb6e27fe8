"""Eight of ImageNet-C's corruptions at five severities, made of an image as a network sees it.

Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (1903.12261): those of the fifteen that need no other images, with the constants of
the authors' code for 224, 64 and 32 pixels. Theirs were kept as JPEG files of quality 85 before a
network saw them; these are not, so errors compare among networks scored here.

The noise of an image is drawn from its index, the corruption and the severity: the same for every
network, run and machine that draws as this one does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pipelines.augment import draws
from pipelines.augment.keys import image_key
from pipelines.lazy import tf

SEVERITIES = 5
SEED = 0
SIDES = {"CIFAR-10-C": 32, "Tiny ImageNet-C": 64, "ImageNet-C": 224}
CONSTANTS: dict[str, dict[str, tuple[Any, ...]]] = {
    "gaussian_noise": {  # deviation, of a range of 1
        "CIFAR-10-C": (0.04, 0.06, 0.08, 0.09, 0.10),
        "Tiny ImageNet-C": (0.04, 0.08, 0.12, 0.15, 0.18),
        "ImageNet-C": (0.08, 0.12, 0.18, 0.26, 0.38),
    },
    "shot_noise": {  # photons of white
        "CIFAR-10-C": (500, 250, 100, 75, 50),
        "Tiny ImageNet-C": (250, 100, 50, 30, 15),
        "ImageNet-C": (60, 25, 12, 5, 3),
    },
    "impulse_noise": {  # share of values that become 0 or 255
        "CIFAR-10-C": (0.01, 0.02, 0.03, 0.05, 0.07),
        "Tiny ImageNet-C": (0.01, 0.02, 0.05, 0.08, 0.14),
        "ImageNet-C": (0.03, 0.06, 0.09, 0.17, 0.27),
    },
    "defocus_blur": {  # radius of the disk, deviation of the blur that softens it
        "CIFAR-10-C": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        "Tiny ImageNet-C": ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
        "ImageNet-C": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    },
    "brightness": {  # added to the value of HSV
        "CIFAR-10-C": (0.05, 0.1, 0.15, 0.2, 0.3),
        "Tiny ImageNet-C": (0.1, 0.2, 0.3, 0.4, 0.5),
        "ImageNet-C": (0.1, 0.2, 0.3, 0.4, 0.5),
    },
    "contrast": {  # factor on the distance from the mean
        "CIFAR-10-C": (0.75, 0.5, 0.4, 0.3, 0.15),
        "Tiny ImageNet-C": (0.4, 0.3, 0.2, 0.1, 0.05),
        "ImageNet-C": (0.4, 0.3, 0.2, 0.1, 0.05),
    },
    "pixelate": {  # factor on the side
        "CIFAR-10-C": (0.95, 0.9, 0.85, 0.75, 0.65),
        "Tiny ImageNet-C": (0.9, 0.8, 0.7, 0.6, 0.5),
        "ImageNet-C": (0.6, 0.5, 0.4, 0.3, 0.25),
    },
    "jpeg_compression": {  # quality
        "CIFAR-10-C": (80, 65, 58, 50, 40),
        "Tiny ImageNet-C": (65, 58, 50, 40, 25),
        "ImageNet-C": (25, 18, 15, 10, 7),
    },
}
NAMES = tuple(CONSTANTS)
VERSIONS = len(NAMES) * SEVERITIES


def constants_for(size: tuple[int, int]) -> str:
    """Whose constants images of this size get: the set of the nearest side, as a factor."""
    return min(SIDES, key=lambda name: abs(math.log(min(size) / SIDES[name])))


def all_versions(image: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """uint8 [VERSIONS, h, w, c]: the corruptions in the order of NAMES, severity 1 to 5 of each.

    Args:
        image: uint8 [h, w, c], of a known size.
        index: int64, of the image in its source.
    """
    versions = [version(image, index, name, at) for name in NAMES for at in range(SEVERITIES)]
    return tf.stack(versions)


def version(image: tf.Tensor, index: tf.Tensor, name: str, severity: int) -> tf.Tensor:
    """uint8 [h, w, c] of an image uint8 [h, w, c]; severities count from 0 here.

    Levels are cut off to whole ones, as the authors' are.
    """
    height, width = int(image.shape[0]), int(image.shape[1])
    constant = CONSTANTS[name][constants_for((height, width))][severity]
    position = NAMES.index(name) * SEVERITIES + severity
    key = image_key(SEED, tf.zeros_like(index), index, position)
    made = OPS[name](tf.cast(image, tf.float32), constant, key)
    rounding = 1e-3  # of float32, where a level should have come out whole
    return tf.cast(tf.clip_by_value(made + rounding, 0.0, 255.0), tf.uint8)


def _gaussian_noise(image: tf.Tensor, deviation: float, key: tf.Tensor) -> tf.Tensor:
    return image + 255.0 * deviation * draws.normal(image.shape, key)


def _shot_noise(image: tf.Tensor, photons: float, key: tf.Tensor) -> tf.Tensor:
    scale = photons / 255.0
    return tf.random.stateless_poisson(image.shape, key, image * scale, tf.float32) / scale


def _impulse_noise(image: tf.Tensor, share: float, key: tf.Tensor) -> tf.Tensor:
    chance, salt = tf.unstack(draws.uniform([2, *image.shape], key))
    return tf.where(chance < share, tf.where(salt < 0.5, 255.0, 0.0), image)


def _defocus_blur(image: tf.Tensor, disk: tuple[float, float], key: tf.Tensor) -> tf.Tensor:
    kernel = _soft_disk(*disk)
    reach = len(kernel) // 2
    padded = tf.pad(image, [[reach, reach], [reach, reach], [0, 0]], "REFLECT")
    filters = tf.constant(np.repeat(kernel[:, :, None, None], image.shape[-1], axis=2), tf.float32)
    return tf.nn.depthwise_conv2d(padded[None], filters, [1, 1, 1, 1], "VALID")[0]


def _soft_disk(radius: float, deviation: float) -> np.ndarray:
    """A disk of sum one, blurred by a Gaussian of 3 taps (5 for large ones), without empty rims.

    Mirrored where it meets its rim (radius 8 and 10), which adds up to 2% to the sum, as theirs.
    """
    from scipy.ndimage import correlate1d

    reach, taps = (8, 1) if radius <= 8 else (math.ceil(radius), 2)
    across = np.arange(-reach, reach + 1)
    disk = (across**2 + across[:, None] ** 2 <= radius**2).astype(np.float64)
    gaussian = np.exp(-(np.arange(-taps, taps + 1) ** 2) / (2 * deviation**2))
    soft = disk / disk.sum()
    for axis in (0, 1):
        soft = correlate1d(soft, gaussian / gaussian.sum(), axis, mode="mirror")
    rim = int(np.flatnonzero(soft.max(axis=0) > 1e-9)[0])
    return soft[rim : len(soft) - rim, rim : len(soft) - rim]


def _brightness(image: tf.Tensor, added: float, key: tf.Tensor) -> tf.Tensor:
    """Of HSV only the value changes: all channels by one factor."""
    value = tf.reduce_max(image, axis=-1, keepdims=True)
    brighter = tf.minimum(value + 255.0 * added, 255.0)
    return tf.where(value > 0, image * brighter / tf.maximum(value, 1.0), brighter)


def _contrast(image: tf.Tensor, factor: float, key: tf.Tensor) -> tf.Tensor:
    mean = tf.reduce_mean(image, axis=(0, 1), keepdims=True)
    return (image - mean) * factor + mean


def _pixelate(image: tf.Tensor, factor: float, key: tf.Tensor) -> tf.Tensor:
    """Pillow's BOX down, rounded after each direction as there, and up again."""
    height, width, _ = image.shape
    rows, columns = (max(1, int(side * factor)) for side in (height, width))
    small = _rounded(tf.einsum("yx,hxc->hyc", _box(width, columns), image))
    small = _rounded(tf.einsum("yx,xwc->ywc", _box(height, rows), small))
    return tf.gather(tf.gather(small, _nearest(rows, height)), _nearest(columns, width), axis=1)


def _box(before: int, after: int) -> tf.Tensor:
    """float32 [after, before]: means over the pixels whose middle a larger pixel covers."""
    scale = before / after
    middle, centre = np.arange(before) + 0.5, (np.arange(after)[:, None] + 0.5) * scale
    distance = (middle - centre) / scale
    inside = ((distance > -0.5) & (distance <= 0.5)).astype(np.float64)
    return tf.constant(inside / inside.sum(axis=1, keepdims=True), tf.float32)


def _nearest(before: int, after: int) -> np.ndarray:
    return ((np.arange(after) + 0.5) * before / after).astype(np.int32)


def _rounded(image: tf.Tensor) -> tf.Tensor:
    return tf.floor(image + 0.5)


def _jpeg_compression(image: tf.Tensor, quality: float, key: tf.Tensor) -> tf.Tensor:
    encoded = tf.io.encode_jpeg(tf.cast(image, tf.uint8), quality=int(quality))
    decoded = tf.io.decode_jpeg(encoded, image.shape[-1], dct_method="INTEGER_ACCURATE")
    return tf.cast(tf.ensure_shape(decoded, image.shape), tf.float32)


OPS: dict[str, Callable[..., tf.Tensor]] = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "defocus_blur": _defocus_blur,
    "brightness": _brightness,
    "contrast": _contrast,
    "pixelate": _pixelate,
    "jpeg_compression": _jpeg_compression,
}
