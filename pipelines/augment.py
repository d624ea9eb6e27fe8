"""Crops, flips and the colour jitter of AlexNet as op(image, key) -> image; the evaluation view.

Images are uint8 or float32 [height, width, c] on 0..255. `key` is an int64 [2] tensor; the same
key gives the same result, eagerly and in a graph, whatever the number of threads. Two ops of one
recipe need two keys. Nothing here clips: the network's own mean subtraction comes after.
What is drawn of a window, a mirroring or an offset can be drawn apart from its use, and for many
images at once: shapes and keys [k, 2] instead of [2] give results with a first axis of k.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.draws import Op, colour_of, normal, position, uniform

Window = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Drawn = Callable[[tf.Tensor], tf.Tensor]
ATTEMPTS = 10  # draws of a random resized crop before it falls back to the centre


def pad_and_crop(
    size: tuple[int, int], padding: int, fill: Sequence[float] | np.ndarray | tf.Tensor
) -> Op:
    """A random `size` window of the image padded by `padding` pixels of the colour `fill`.

    uint8 or float32 in, float32 [*size, c] 0..255 out. `fill` [c] is the training mean, so that
    the padding is zero once the mean is subtracted. ResNet paper (1512.03385), section 4.2.
    """
    height, width = size
    colour = colour_of(fill)
    channels = int(colour.shape[0])

    def op(image: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        image = tf.cast(image, tf.float32)
        tall, wide = _shape(image)
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


def inception_window(
    scale: Sequence[float] = (0.08, 1.0), ratio: Sequence[float] = (3 / 4, 4 / 3)
) -> Window:
    """window(shape [2] int32, key) -> [y, x, height, width] int32 of a random resized crop.

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


def scale_window(size: tuple[int, int], short_side: Sequence[int] = (256, 480)) -> Window:
    """window(shape [2] int32, key) -> [y, x, height, width] int32 of a random scale and position.

    The window that becomes `size` once the image's short side is resized to a whole number drawn
    from short_side[0]..short_side[1] (both included). Snapped to whole source pixels.
    ResNet paper, section 3.4; VGG (1409.1556), section 3.1. Raises ValueError for a short side
    below `size`.
    """
    low, high = int(short_side[0]), int(short_side[1])
    if low < max(size) or high < low:
        raise ValueError(
            f"short_side: expected [low, high] with low at least {max(size)} (the network's size), "
            f"received {list(short_side)}"
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


def crop_and_resize(size: tuple[int, int], window: Window) -> Op:
    """Cut the window out and resize it. uint8 or float32 in, float32 [*size, c] 0..255 out."""
    resize = resize_window(size)

    def op(image: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        y, x, h, w = tf.unstack(window(tf.shape(image)[:2], key))
        part = tf.slice(image, tf.stack([y, x, 0]), tf.stack([h, w, image.shape[-1]]))
        return resize(part)

    return op


def random_resized_crop(
    size: tuple[int, int],
    scale: Sequence[float] = (0.08, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
) -> Op:
    """A window of random area and aspect, resized to `size`. float32 [*size, c] 0..255 out.

    Bilinear, half-pixel centres. Szegedy et al. 2015, section 6; see `inception_window`.
    """
    return crop_and_resize(size, inception_window(scale, ratio))


def scale_and_crop(size: tuple[int, int], short_side: Sequence[int] = (256, 480)) -> Op:
    """A `size` window of the image at a random scale. float32 [*size, c] 0..255 out.

    ResNet paper, section 3.4; see `scale_window`.
    """
    return crop_and_resize(size, scale_window(size, short_side))


def horizontal_flip(probability: float = 0.5) -> Op:
    """Mirror left and right with this probability. Shape, range and dtype stay as they are."""
    return _mirror(1, probability)


def vertical_flip(probability: float = 0.5) -> Op:
    """Mirror top and bottom with this probability. Shape, range and dtype stay as they are."""
    return _mirror(0, probability)


def mirrored(probability: float) -> Drawn:
    """drawn(key) -> bool [...]: whether a flip of this probability mirrors the image."""
    return lambda key: uniform([], key) < probability


def mirror(axis: int) -> Op:
    """op(image [h, w, c], wanted): the image, turned round along axis 0 or 1 where `wanted`."""

    def op(image: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        flipped = tf.cond(wanted, lambda: tf.reverse(image, [axis]), lambda: tf.identity(image))
        return tf.ensure_shape(flipped, image.shape)

    return op


def _mirror(axis: int, probability: float) -> Op:
    drawn, op = mirrored(probability), mirror(axis)
    return lambda image, key: op(image, drawn(key))


def pca_jitter(
    sigma: float,
    eigenvalues: Sequence[float] | np.ndarray | tf.Tensor,
    eigenvectors: Sequence[Sequence[float]] | np.ndarray | tf.Tensor,
) -> Op:
    """Shift all pixels of an image along the principal colour axes, one draw an image.

    uint8 or float32 0..255 in, float32 out; may leave 0..255. Adds 255 * P (alpha * lambda) with
    alpha ~ N(0, sigma), AlexNet (2012), section 4.1. lambda [3] are eigenvalues of the covariance
    of pixels on 0..1 and P [3, 3] its axes as columns (`statistics.Statistics`). The scale matters:
    the eigenvalue of a covariance grows with the square of the range, so the paper's formula on
    0..255 pixels would shift 255 times as far at the same sigma. The paper states no range; sigma
    0.1 is meant for 0..1, as the usual implementations have it.
    Raises ValueError for images that are not RGB.
    """
    drawn = pca_offset(sigma, eigenvalues, eigenvectors)
    return lambda image, key: shift(image, drawn(key))


def pca_offset(
    sigma: float,
    eigenvalues: Sequence[float] | np.ndarray | tf.Tensor,
    eigenvectors: Sequence[Sequence[float]] | np.ndarray | tf.Tensor,
) -> Drawn:
    """drawn(key) -> float32 [..., 3]: what `pca_jitter` adds to every pixel of the image."""
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

    return drawn


def shift(image: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """uint8 or float32 image [h, w, 3] plus a colour [3], float32."""
    image = tf.cast(image, tf.float32)
    if not image.shape.is_fully_defined():
        return image + offset
    # One add of rows [width * 3] is far faster than a broadcast over three channels.
    height, width, _ = image.shape
    rows = tf.reshape(image, [height, width * 3]) + tf.tile(offset, [width])
    return tf.reshape(rows, [height, width, 3])


def resize_window(size: tuple[int, int]) -> Callable[[tf.Tensor], tf.Tensor]:
    """A training window to float32 [*size, c]: bilinear, half-pixel centres.

    Antialiased only beyond a factor of two: below that bilinear misses no source pixel, and
    antialiasing costs more than the rest of the pipeline after decoding.
    """

    def resize(part: tf.Tensor) -> tf.Tensor:
        channels = part.shape[-1]
        batch = tf.cast(part, tf.float32)[None]
        h, w = _shape(part)

        def plain() -> tf.Tensor:
            return tf.raw_ops.ResizeBilinear(images=batch, size=size, half_pixel_centers=True)

        def antialiased() -> tf.Tensor:
            return tf.image.resize(batch, size, antialias=True)

        far = (h > 2 * size[0]) | (w > 2 * size[1])
        if tf.is_tensor(far):
            resized = tf.cond(far, antialiased, plain)
        else:
            resized = antialiased() if far else plain()
        return tf.ensure_shape(resized[0], [*size, channels])

    return resize


def resize_centre(
    size: tuple[int, int], crop_fraction: float = 1.0
) -> Callable[[tf.Tensor], tf.Tensor]:
    """The evaluation view: short side to size / crop_fraction, then the central `size` window.

    uint8 or float32 [..., h, w, c] in (one image or a batch of equal ones), float32 0..255 out.
    Bilinear with half-pixel centres, antialiased where it shrinks; exact where nothing is to be
    resized. crop_fraction 224 / 256 = 0.875 is the usual ILSVRC centre crop.
    Raises ValueError for a crop_fraction outside 0..1.
    """
    if not 0.0 < crop_fraction <= 1.0:
        raise ValueError(f"crop_fraction: expected above 0 and up to 1, received {crop_fraction!r}")
    wanted = np.asarray(size, np.float32)

    def view(image: tf.Tensor) -> tf.Tensor:
        single = image.shape.rank == 3
        height, width, channels = image.shape[-3:]
        image = tf.cast(image, tf.float32)
        if (height, width) == tuple(size) and crop_fraction == 1.0:
            return image
        batch = image[None] if single else image
        stored = tf.cast(tf.shape(batch)[1:3], tf.float32)
        resized = tf.round(stored * tf.reduce_max(wanted / crop_fraction / stored))
        resized = tf.maximum(resized, wanted)
        origin = tf.floor((resized - wanted) / 2.0)
        # Resize and crop in one op: only the window is computed, and it equals the two steps.
        out = tf.raw_ops.ScaleAndTranslate(
            images=batch,
            size=size,
            scale=resized / stored,
            translation=-origin,
            kernel_type="triangle",
            antialias=True,
        )
        out = tf.ensure_shape(out, [batch.shape[0], *size, channels])
        return out[0] if single else out

    return view


def _shape(image: tf.Tensor) -> tuple[int | tf.Tensor, int | tf.Tensor]:
    """Height and width, as ints where they are known."""
    dynamic = tf.shape(image)
    height, width = image.shape[0], image.shape[1]
    return (
        dynamic[0] if height is None else height,
        dynamic[1] if width is None else width,
    )
