"""Crops: op(image, key) -> image, or a window that is drawn before the image is decoded.

Images are uint8 or float32 [height, width, c] on 0..255. `key` is an int64 [2] tensor; the same
key gives the same result, eagerly and in a graph, whatever the number of threads. Two ops of one
recipe need two keys. Nothing here clips: the network's own mean subtraction comes after.
What is drawn of a window, a mirroring or an offset can be drawn apart from its use, and for many
images at once: shapes and keys [k, 2] instead of [2] give results with a first axis of k.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, TypeAlias

import numpy as np

from pipelines.augment.declaration import Setting, augmentation, refuse
from pipelines.augment.draws import Op, colour_of, position, uniform
from pipelines.lazy import tf
from pipelines.resize import height_and_width

Window: TypeAlias = "Callable[[tf.Tensor, tf.Tensor], tf.Tensor]"

ATTEMPTS = 10  # draws of a random resized crop before it falls back to the centre


@augmentation(crop=True, keeps_range=True)
def pad_and_crop(
    size: tuple[int, int],
    mean: Sequence[float] | np.ndarray | tf.Tensor,
    padding: Annotated[int, Setting(ge=0, le=2**14, config_gt=0)] = 4,
) -> Op:
    """A random `size` window of the image padded by `padding` pixels of the training mean [c].

    uint8 or float32 in, float32 [*size, c] 0..255 out. The padding is zero once the mean is
    subtracted. ResNet paper (1512.03385), section 4.2.
    """
    height, width = size
    colour = colour_of(mean)
    channels = int(colour.shape[0])

    def op(image: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        image = tf.cast(image, tf.float32)
        tall, wide = height_and_width(image)
        around = [[padding, padding], [padding, padding], [0, 0]]
        if isinstance(tall, int) and isinstance(wide, int):
            border = np.ones((tall + 2 * padding, wide + 2 * padding, 1), np.float32)
            border[padding : padding + tall, padding : padding + wide] = 0.0
            frame = tf.convert_to_tensor(border * colour)
        else:
            inside = tf.zeros_like(image[..., :1])
            frame = tf.pad(inside, around, constant_values=1.0) * colour
        # Adding a frame that is zero inside is exact, and one pad serves every channel's colour.
        padded = tf.pad(image, around) + frame
        free = tf.stack([tall + 2 * padding - height, wide + 2 * padding - width])
        yx = position(uniform([2], key), free)
        window = tf.slice(padded, tf.concat([yx, [0]], 0), [height, width, channels])
        return tf.ensure_shape(window, [height, width, channels])

    return op


@augmentation(on="window", crop=True)
def random_resized_crop(
    scale: Annotated[tuple[float, float], Setting(gt=0, le=1)] = (0.08, 1.0),
    ratio: Annotated[tuple[float, float], Setting(gt=0)] = (3 / 4, 4 / 3),
) -> Window:
    """window(shape [2] int32, key) -> [y, x, height, width] int32 of a random area and aspect.

    Area uniform in `scale` of the image, log of width / height uniform in `ratio`, all positions as
    likely. Ten draws, the first that fits; else the largest central window within `ratio`.
    Szegedy et al. 2015 (1409.4842), section 6.
    """

    def window(shape: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        tall, wide = tf.unstack(tf.cast(shape, tf.float32)[..., None], axis=-2)  # [..., 1]
        u = uniform([2 * ATTEMPTS + 2], key)
        area = (scale[0] + u[..., :ATTEMPTS] * (scale[1] - scale[0])) * tall * wide
        low, high = math.log(ratio[0]), math.log(ratio[1])
        aspect = tf.exp(low + u[..., ATTEMPTS : 2 * ATTEMPTS] * (high - low))
        w, h = tf.round(tf.sqrt(area * aspect)), tf.round(tf.sqrt(area / aspect))
        fits = (w >= 1) & (w <= wide) & (h >= 1) & (h <= tall)
        # The fallback is a last candidate that always fits.
        inside = tf.clip_by_value(wide / tall, ratio[0], ratio[1])
        h = tf.concat([h, tf.maximum(1.0, tf.minimum(tall, tf.round(wide / inside)))], -1)
        w = tf.concat([w, tf.maximum(1.0, tf.minimum(wide, tf.round(tall * inside)))], -1)
        chosen = tf.argmax(tf.concat([fits, tf.ones_like(fits[..., :1])], -1), axis=-1)[..., None]
        both = tf.stack([h, w], axis=-2)
        at = tf.stack([chosen, chosen], axis=-2)
        hw = tf.cast(tf.gather(both, at, axis=-1, batch_dims=both.shape.rank - 1)[..., 0], tf.int32)
        free = tf.cast(shape, tf.int32) - hw
        drawn = position(u[..., 2 * ATTEMPTS :], free)
        return tf.concat([tf.where(chosen < ATTEMPTS, drawn, free // 2), hw], -1)

    return window


UP_TO = "a size up to short_side[0]"


def _reference_fits(short_side: Sequence[int], reference: int | None) -> None:
    if reference is not None and reference > short_side[0]:
        refuse("reference", UP_TO, reference)


@augmentation(on="window", crop=True, check=_reference_fits)
def scale_and_crop(
    size: tuple[int, int],
    short_side: Annotated[tuple[int, int], Setting(gt=0, le=2**14)] = (256, 480),
    reference: Annotated[
        int | None,
        Setting(
            "network size that short_side is meant for; null: pixels as they are",
            gt=0,
            le=2**14,
            expected=UP_TO,
        ),
    ] = None,
) -> Window:
    """window(shape [2] int32, key) -> [y, x, height, width] int32 of a random scale and position.

    The window that becomes `size` once the image's short side is resized to a whole number drawn
    from short_side[0]..short_side[1] (both included). Snapped to whole source pixels. With a
    reference a recipe for a network of 224 keeps its proportions at 32.
    ResNet paper, section 3.4; VGG (1409.1556), section 3.1. Raises ValueError for a short side
    below `size`.
    """
    low, high = int(short_side[0]), int(short_side[1])
    if reference is not None:
        low, high = (round(side * max(size) / reference) for side in (low, high))
    if low < max(size) or high < low:
        raise ValueError(
            f"short_side: expected [low, high] with low at least {max(size)} (the network's size), "
            f"received {[low, high]}"
        )

    def window(shape: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        whole = tf.cast(shape, tf.float32)
        u = uniform([3], key)
        side = tf.cast(low + position(u[..., :1], tf.constant(high - low)), tf.float32)
        short = tf.reduce_min(whole, axis=-1, keepdims=True)
        hw = tf.round(tf.constant(size, tf.float32) * short / side)
        hw = tf.cast(tf.clip_by_value(hw, 1.0, whole), tf.int32)
        yx = position(u[..., 1:], tf.cast(shape, tf.int32) - hw)
        return tf.concat([yx, hw], -1)

    return window
