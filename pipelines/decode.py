"""File bytes to pixels: whole images, or only the window that an augmentation has sampled."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

# TensorFlow's default DCT is the fast one, 1.2 grey levels off libjpeg's own on average and biased.
DCT = "INTEGER_ACCURATE"
# Fancy upsampling looks one chroma sample past the window: without it, edge columns are off by up
# to 25 grey levels, and a set would train differently in memory than from files.
MARGIN = 2


def decode(contents: tf.Tensor, channels: int) -> tf.Tensor:
    """JPEG or PNG bytes to uint8 [height, width, channels] 0..255; raises on truncated data.

    Pixels equal libjpeg's defaults (accurate DCT, fancy upsampling). EXIF rotation is not applied.
    """
    return tf.io.decode_jpeg(contents, channels=channels, dct_method=DCT)  # reads PNG as well


def decode_window(
    contents: tf.Tensor, channels: int, window: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Only the window [y, x, height, width] that `window(shape [2] int32)` asks for, uint8.

    Pixels equal those of `decode`. A JPEG is entropy-decoded but hardly transformed outside the
    window; a PNG is decoded whole.
    """

    def jpeg() -> tf.Tensor:
        shape = tf.io.extract_jpeg_shape(contents)[:2]
        yx, hw = tf.split(window(shape), 2)
        first = tf.maximum(yx - MARGIN, 0)
        last = tf.minimum(yx + hw + MARGIN, shape)
        around = tf.concat([first, last - first], 0)
        part = tf.image.decode_and_crop_jpeg(contents, around, channels=channels, dct_method=DCT)
        return tf.slice(part, tf.concat([yx - first, [0]], 0), tf.concat([hw, [channels]], 0))

    def other() -> tf.Tensor:
        image = decode(contents, channels)
        y, x, h, w = tf.unstack(window(tf.shape(image)[:2]))
        return tf.slice(image, tf.stack([y, x, 0]), tf.stack([h, w, channels]))

    image = tf.cond(tf.io.is_jpeg(contents), jpeg, other)
    image.set_shape([None, None, channels])
    return image
