"""Brightness, contrast, saturation and hue: small factories of op(image, key) -> image.

uint8 or float32 [h, w, c] on 0..255 in, float32 0..255 out: each clips its result, as the image
library does whose formulas these are (PIL's ImageEnhance), and as none of the other ops do; so they
stand before `pca_jitter` in a recipe. The factor or shift is uniform in its range, one draw an
image, and steps run in the order in which the recipe has them.

Howard 2013 (1312.5402) added brightness, contrast and colour to the recipe of AlexNet. The default
ranges are those of the preprocessing released with Inception (`distort_color`: saturation and
contrast 0.5..1.5, hue 0.2), whose formulas differ: its brightness is a shift by up to 32 and its
contrast turns about the mean of each channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, NamedTuple

import numpy as np

from pipelines.augment.declaration import Probability, Setting, augmentation
from pipelines.augment.draws import Drawn, Op, between, colour_of, normal, sometimes
from pipelines.lazy import tf


class Colours(NamedTuple):
    """What augmentation takes of a `Statistics`, as float32 arrays or as tensors of a graph."""

    mean: np.ndarray | tf.Tensor
    eigenvalues: np.ndarray | tf.Tensor
    eigenvectors: np.ndarray | tf.Tensor


LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, the grey of PIL and of JPEG

Factor = Annotated[tuple[float, float], Setting("1 leaves the image as it is", ge=0)]

of_factor = partial(augmentation, first=("factor", "probability"))


@of_factor()
def brightness(factor: Factor = (0.5, 1.5), probability: Probability = 1.0) -> Op:
    """clip(f * x). f 0 is black, 1 the image itself."""
    return sometimes(
        lambda image, u: _clip(between(u[0], *factor) * image), draws=1, probability=probability
    )


@of_factor()
def contrast(factor: Factor = (0.5, 1.5), probability: Probability = 1.0) -> Op:
    """clip(m + f * (x - m)), m the mean grey of the image, one number. f 0 is a grey area.

    PIL rounds m to a whole grey level; here it is not rounded.
    """

    def change(image: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
        mean = tf.reduce_mean(_grey(image))
        return _clip(mean + between(u[0], *factor) * (image - mean))

    return sometimes(change, draws=1, probability=probability)


@of_factor(rgb_only=True)
def saturation(factor: Factor = (0.5, 1.5), probability: Probability = 1.0) -> Op:
    """clip(g + f * (x - g)), g the grey of each pixel. f 0 is a grey picture.

    Raises ValueError for images that are not RGB.
    """

    def change(image: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
        _check_rgb("saturation", image)
        grey = _grey(image)
        return _clip(grey + between(u[0], *factor) * (image - grey))

    return sometimes(change, draws=1, probability=probability)


@augmentation(rgb_only=True)
def hue(
    shift: Annotated[
        float,
        Setting(
            "at most, as a part of the colour circle",
            ge=0,
            le=0.5,
            expected="a part of the colour circle within 0..0.5",
        ),
    ] = 0.2,
    probability: Probability = 1.0,
) -> Op:
    """Turn the hue of every pixel by d of the colour circle, d uniform in -shift..shift.

    In HSV: h becomes (h + d) mod 1, s and v stay. A shift of 0.5 is every hue. The image is clipped
    first: HSV has no colours outside.
    Raises ValueError for images that are not RGB.
    """

    def change(image: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
        _check_rgb("hue", image)
        turned = tf.image.adjust_hue(_clip(image), between(u[0], -shift, shift))
        return _clip(turned)  # off by a last bit at most

    return sometimes(change, draws=1, probability=probability)


@augmentation(drawn_apart=True, rgb_only=True, on_device=True)
def pca_jitter(
    eigenvalues: Sequence[float] | np.ndarray | tf.Tensor,
    eigenvectors: Sequence[Sequence[float]] | np.ndarray | tf.Tensor,
    sigma: Annotated[float, Setting(ge=0)] = 0.1,
) -> tuple[Drawn, Op]:
    """Shift all pixels of an image along the principal colour axes, one draw an image.

    uint8 or float32 0..255 in, float32 out; may leave 0..255. Adds 255 * P (alpha * lambda) with
    alpha ~ N(0, sigma), AlexNet (2012), section 4.1. lambda [3] are eigenvalues of the covariance
    of pixels on 0..1 and P [3, 3] its axes as columns (`statistics.Statistics`). The scale matters:
    the eigenvalue of a covariance grows with the square of the range, so the paper's formula on
    0..255 pixels would shift 255 times as far at the same sigma. The paper states no range; sigma
    0.1 is meant for 0..1, as the usual implementations have it.
    What is drawn is the colour [..., 3] to add. Raises ValueError for images that are not RGB.
    """
    axes: Any = eigenvectors
    if not tf.is_tensor(eigenvectors):
        axes = np.asarray(eigenvectors, np.float32)
    if axes.shape != (3, 3):
        raise ValueError(
            f"pca_jitter: expected RGB statistics (3 x 3 axes), received {tuple(axes.shape)}; "
            "remove pca_jitter from augment or set data.channels to 3"
        )
    spread = colour_of(eigenvalues) * np.float32(sigma)

    def drawn(key: tf.Tensor) -> tf.Tensor:
        alpha = normal([3], key) * spread
        # Term by term: how a product of matrices is rounded depends on how many there are.
        first, second, third = (axes[:, i] * alpha[..., i : i + 1] for i in range(3))
        return 255.0 * (first + second + third)

    return drawn, _shift


def _shift(image: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """uint8 or float32 image [h, w, 3] plus a colour [3], float32."""
    image = tf.cast(image, tf.float32)
    if not image.shape.is_fully_defined():
        return image + offset
    # One add of rows [width * 3] is far faster than a broadcast over three channels.
    height, width, _ = image.shape
    rows = tf.reshape(image, [height, width * 3]) + tf.tile(offset, [width])
    return tf.reshape(rows, [height, width, 3])


def _clip(image: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(image, 0.0, 255.0)


def _grey(image: tf.Tensor) -> tf.Tensor:
    """[h, w, c] -> [h, w, 1]; a grey image is its own grey."""
    if image.shape[-1] != 3:
        return image
    return tf.tensordot(image, tf.constant(LUMA), 1)[..., None]


def _check_rgb(name: str, image: tf.Tensor) -> None:
    if image.shape[-1] != 3:
        raise ValueError(
            f"{name}: expected RGB images, received {image.shape[-1]} channel(s); "
            f"remove {name} from augment or set data.channels to 3"
        )
