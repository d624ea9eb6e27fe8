"""Resizing without augmentation: a window, the centre of an evaluation view, a plain resize.

The geometry of evaluation is torchvision's `Resize` and `CenterCrop`, by which the figures of
PyTorch and timm are measured: the short side to a whole number, the long side truncated, the crop
at half of what is left over, rounded half to even. Keras (`crop_to_aspect_ratio`) crops first,
floors and does not antialias; the papers do not say how they round.
"""

from __future__ import annotations

import math
from collections.abc import Callable

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
    resized. crop_fraction 0.875 is 224 of 256, the usual ILSVRC centre crop: equal to Pillow's
    BILINEAR but for the two roundings to whole grey levels there, so to 1.01 levels.
    Raises ValueError for a crop_fraction outside 0..1.
    """
    sides = resized_sides(size, crop_fraction)

    def view(image: tf.Tensor) -> tf.Tensor:
        single = image.shape.rank == 3
        height, width, channels = image.shape[-3:]
        image = tf.cast(image, tf.float32)
        if (height, width) == sides == tuple(size):
            return image
        batch = image[None] if single else image
        scale, origin = centre_geometry(tf.shape(batch)[1:3], size, sides)
        # Resize and crop in one op: only the window is computed, and it equals the two steps.
        out = tf.raw_ops.ScaleAndTranslate(
            images=batch,
            size=size,
            scale=scale,
            translation=-origin,
            kernel_type="triangle",
            antialias=True,
        )
        out = tf.ensure_shape(out, [batch.shape[0], *size, channels])
        return out[0] if single else out

    return view


def resized_sides(size: tuple[int, int], crop_fraction: float) -> tuple[int, int]:
    """What an image is resized to before a crop of this size: size / crop_fraction, floored as by
    timm (299 / 0.875 is 341). Raises ValueError for a crop_fraction outside 0..1.
    """
    if not 0.0 < crop_fraction <= 1.0:
        raise ValueError(f"crop_fraction: expected above 0 and up to 1, received {crop_fraction!r}")
    # A fraction that was itself computed, such as 224 / 354, may be one bit too large.
    height, width = (math.floor(side / crop_fraction + 1e-6) for side in size)
    return height, width


def resized_shape(shape: tf.Tensor, sides: tuple[int, int]) -> tf.Tensor:
    """Height and width, float64 and whole, of an image resized until it just covers `sides`.

    The longer one is truncated, as by torchvision; where `sides` differ it is rounded, as by timm.
    """
    stored = tf.cast(shape, tf.float64)
    height, width = sides
    if height == width:
        return tf.floor(stored * height / tf.reduce_min(stored))
    return tf.round(stored / tf.reduce_min(stored / tf.constant(sides, tf.float64)))


def middle(free: tf.Tensor) -> tf.Tensor:
    """Where a central window begins that leaves so many pixels free, int or float."""
    return tf.cast(tf.round(free / 2), free.dtype)


def centre_geometry(
    shape: tf.Tensor, size: tuple[int, int], sides: tuple[int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Resized over stored, and where the central window begins in the resized image; float32 [2].

    shape   [2], of the stored image
    sides   from `resized_sides`
    """
    resized = resized_shape(shape, sides)
    scale = resized / tf.cast(shape, tf.float64)
    origin = middle(resized - tf.constant(size, tf.float64))
    return tf.cast(scale, tf.float32), tf.cast(origin, tf.float32)


def height_and_width(image: tf.Tensor) -> tuple[int | tf.Tensor, int | tf.Tensor]:
    """Height and width, as ints where they are known."""
    dynamic = tf.shape(image)
    height, width = image.shape[0], image.shape[1]
    return (
        dynamic[0] if height is None else height,
        dynamic[1] if width is None else width,
    )
