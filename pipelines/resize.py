"""Resizing without augmentation: a window, the centre of an evaluation view, a plain resize."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.lazy import tf


def plain_resize(size: tuple[int, int]) -> Callable[[tf.Tensor], tf.Tensor]:
    """uint8 or float32 [h, w, c] to float32 [*size, c]: bilinear, half-pixel centres."""

    def resize(part: tf.Tensor) -> tf.Tensor:
        # In float32 beforehand: the op is slower on uint8.
        resized = tf.raw_ops.ResizeBilinear(
            images=tf.cast(part, tf.float32)[None], size=size, half_pixel_centers=True
        )
        return tf.reshape(resized, [*size, part.shape[-1]])

    return resize


def resize_window(size: tuple[int, int]) -> Callable[[tf.Tensor], tf.Tensor]:
    """A training window to float32 [*size, c]: bilinear, half-pixel centres.

    Antialiased only beyond a factor of two: below that bilinear misses no source pixel, and
    antialiasing costs more than the rest of the pipeline after decoding.
    """

    def resize(part: tf.Tensor) -> tf.Tensor:
        channels = part.shape[-1]
        batch = tf.cast(part, tf.float32)[None]
        h, w = height_and_width(part)

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


def height_and_width(image: tf.Tensor) -> tuple[int | tf.Tensor, int | tf.Tensor]:
    """Height and width, as ints where they are known."""
    dynamic = tf.shape(image)
    height, width = image.shape[0], image.shape[1]
    return (
        dynamic[0] if height is None else height,
        dynamic[1] if width is None else width,
    )
