"""File bytes to pixels: whole images, or only the window that an augmentation has sampled."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

# TensorFlow's default DCT is the fast one, 1.2 grey levels off libjpeg's own on average and biased.
DCT = "INTEGER_ACCURATE"


def decode(contents: tf.Tensor, channels: int) -> tf.Tensor:
    """JPEG or PNG bytes to uint8 [height, width, channels] 0..255; raises on truncated data.

    Pixels equal libjpeg's defaults (accurate DCT, fancy upsampling). EXIF rotation is not applied.
    """
    return tf.io.decode_jpeg(contents, channels=channels, dct_method=DCT)  # reads PNG as well


def decode_window(
    contents: tf.Tensor, channels: int, window: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Only the window [y, x, height, width] that `window(shape [2] int32)` asks for, uint8.

    A JPEG is entropy-decoded but not transformed outside the window; a PNG is decoded whole.
    """

    def jpeg() -> tf.Tensor:
        shape = tf.io.extract_jpeg_shape(contents)[:2]
        return tf.image.decode_and_crop_jpeg(
            contents, window(shape), channels=channels, dct_method=DCT
        )

    def other() -> tf.Tensor:
        image = decode(contents, channels)
        y, x, h, w = tf.unstack(window(tf.shape(image)[:2]))
        return tf.slice(image, tf.stack([y, x, 0]), tf.stack([h, w, channels]))

    image = tf.cond(tf.io.is_jpeg(contents), jpeg, other)
    image.set_shape([None, None, channels])
    return image
