"""File bytes to pixels: whole images, or only the window that an augmentation has sampled.

JPEG: baseline and progressive, grey, colour, CMYK and YCCK (through RGB as Adobe stores them).
PNG: 1 to 16 bits (the upper 8 are kept), grey, colour, palette. BMP, GIF, WebP, TIFF: see `pillow`.
Transparency is dropped, the stored colours stay. One channel is ITU-R BT.601 luma, whatever the
format.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from pipelines.lazy import tf

# TensorFlow's default DCT is the fast one, 1.2 grey levels off libjpeg's own on average and biased.
DCT = "INTEGER_ACCURATE"

# Fancy upsampling looks one chroma sample past the window: without it, edge columns are off by up
# to 25 grey levels, and a set would train differently in memory than from files.
MARGIN = 2
CMYK_CHANNELS = 4
JPEG_OR_PNG = [b"\xff", b"\x89"]  # the first byte tells them from all that Pillow decodes

# EXIF orientations 1..8: first transposed, then mirrored left and right, then top and bottom.
TRANSPOSED = (False, False, False, False, True, True, True, True)
MIRRORED = (False, True, True, False, False, True, True, False)
UPSIDE_DOWN = (False, False, True, True, False, False, True, True)

Window: TypeAlias = "Callable[[tf.Tensor], tf.Tensor]"


class Cut(NamedTuple):
    """A window that is known before its file is read, int32; of many images [k, ...].

    around  [..., 4], y, x, height, width of the window with its margin: what is decoded
    begin, size   [..., 3], where the window lies in that
    """

    around: tf.Tensor
    begin: tf.Tensor
    size: tf.Tensor


def decode(
    contents: tf.Tensor, channels: int, orientation: tf.Tensor | int | None = None
) -> tf.Tensor:
    """An image file's bytes to uint8 [height, width, channels] 0..255; raises on truncated data.

    Pixels equal libjpeg's defaults (accurate DCT, fancy upsampling). `orientation` 1..8, as EXIF
    has it, turns the image upright; None leaves it as stored.
    """
    if channels == 1:
        # libjpeg gives the luma of a colour JPEG, but of CMYK nothing; libpng weighs otherwise.
        image = tf.cond(
            _is_direct(contents, channels),
            lambda: tf.io.decode_jpeg(contents, channels=1, dct_method=DCT),
            lambda: _luma(_colours(contents)),
        )
        image = tf.ensure_shape(image, [None, None, 1])
    else:
        image = _colours(contents)
    return image if orientation is None else _turned(image, orientation)


def decode_window(
    contents: tf.Tensor,
    channels: int,
    window: Window,
    orientation: tf.Tensor | int | None = None,
) -> tf.Tensor:
    """Only the window [y, x, height, width] that `window(shape [2] int32)` asks for, uint8.

    Pixels equal those of `decode`. A JPEG is entropy-decoded but hardly transformed outside the
    window; others are decoded whole. `orientation`: as in `decode`; the window is of the upright
    image.
    """

    def upright() -> tuple[tf.Tensor, tf.Tensor]:
        return _jpeg_window(contents, channels, window)

    def other() -> tuple[tf.Tensor, tf.Tensor]:
        if orientation is None:
            return _whole_window(contents, channels, window)
        return _turned_window(contents, channels, window, orientation)

    image, shape = _usually(contents, channels, orientation, upright, other)
    image.set_shape([None, None, channels])
    finish = getattr(window, "finish", None)
    return image if finish is None else finish(image, shape)


def decode_cut(
    contents: tf.Tensor, channels: int, cut: Cut, orientation: tf.Tensor | int | None = None
) -> tf.Tensor:
    """As `decode_window`, where the image's shape was known: fewer ops an image."""

    def upright() -> tf.Tensor:
        return _jpeg_cut(contents, channels, cut)

    def other() -> tf.Tensor:
        window = tf.concat([cut.around[:2] + cut.begin[:2], cut.size[:2]], 0)
        return decode_window(contents, channels, lambda shape: window, orientation)

    image = _usually(contents, channels, orientation, upright, other)
    return tf.ensure_shape(image, [None, None, channels])


def cut_of(window: tf.Tensor, shape: tf.Tensor, channels: int) -> Cut:
    """The cut of a window [..., 4] of an image of this shape [..., 2], both int32."""
    yx, hw = tf.split(window, 2, axis=-1)
    first = tf.maximum(yx - MARGIN, 0)
    last = tf.minimum(yx + hw + MARGIN, shape)
    nought = tf.zeros_like(yx[..., :1])
    return Cut(
        tf.concat([first, last - first], -1),
        tf.concat([yx - first, nought], -1),
        tf.concat([hw, nought + channels], -1),
    )


def _usually(
    contents: tf.Tensor,
    channels: int,
    orientation: tf.Tensor | int | None,
    upright: Callable[[], Any],
    other: Callable[[], Any],
) -> Any:
    """`upright` of an upright JPEG that libjpeg decodes by itself, which nearly all are."""
    # The other as one call that is not inlined: each op of a branch that is not taken costs time.
    if not tf.executing_eagerly():
        other = tf.function(other, autograph=False, experimental_attributes={"_noinline": True})
    direct = _is_direct(contents, channels)
    if orientation is not None:
        direct &= tf.equal(orientation, 1)
    return tf.cond(direct, upright, other)


def _turned_window(
    contents: tf.Tensor, channels: int, window: Window, orientation: tf.Tensor | int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The window's pixels, upright, and the shape [2] of the whole upright image."""
    transposed, mirrored, upside_down = _moves(orientation)

    def stored(shape: tf.Tensor) -> tf.Tensor:
        """The window of the upright image, as one of the stored image."""
        upright = tf.where(transposed, shape[::-1], shape)
        y, x, h, w = tf.unstack(window(upright))
        x = tf.where(mirrored, upright[1] - x - w, x)
        y = tf.where(upside_down, upright[0] - y - h, y)
        return tf.where(transposed, tf.stack([x, y, w, h]), tf.stack([y, x, h, w]))

    image, shape = tf.cond(
        _is_direct(contents, channels),
        lambda: _jpeg_window(contents, channels, stored),
        lambda: _whole_window(contents, channels, stored),
    )
    image.set_shape([None, None, channels])
    return _turned(image, orientation), tf.where(transposed, shape[::-1], shape)


def _jpeg_window(contents: tf.Tensor, channels: int, window: Window) -> tuple[tf.Tensor, tf.Tensor]:
    """The window's pixels and the shape [2] of the whole image, both as stored."""
    shape = tf.io.extract_jpeg_shape(contents)[:2]
    return _jpeg_cut(contents, channels, cut_of(window(shape), shape, channels)), shape


def _jpeg_cut(contents: tf.Tensor, channels: int, cut: Cut) -> tf.Tensor:
    part = tf.image.decode_and_crop_jpeg(contents, cut.around, channels=channels, dct_method=DCT)
    return tf.slice(part, cut.begin, cut.size)


def _whole_window(
    contents: tf.Tensor, channels: int, window: Window
) -> tuple[tf.Tensor, tf.Tensor]:
    """As `_jpeg_window`, of what is not direct, by decoding all of it."""
    image = _luma(_colours(contents)) if channels == 1 else _colours(contents)
    shape = tf.shape(image)[:2]
    y, x, h, w = tf.unstack(window(shape))
    return tf.slice(image, tf.stack([y, x, 0]), tf.stack([h, w, channels])), shape


def _colours(contents: tf.Tensor) -> tf.Tensor:
    """All of an image, uint8 [h, w, 3]."""

    def jpeg_or_png() -> tf.Tensor:
        return tf.io.decode_jpeg(contents, channels=3, dct_method=DCT)

    def other() -> tf.Tensor:
        return tf.numpy_function(_by_pillow, [contents], tf.uint8, stateful=False)

    if tf.executing_eagerly():  # a condition costs more there than decoding a small image
        known = tf.convert_to_tensor(contents).numpy()
        return jpeg_or_png() if known[:1] in JPEG_OR_PNG else _at_once(known)
    first = tf.strings.substr(contents, 0, 1)
    image = tf.cond(tf.reduce_any(tf.equal(first, JPEG_OR_PNG)), jpeg_or_png, other)
    return tf.ensure_shape(image, [None, None, 3])


def _by_pillow(contents: bytes) -> Any:
    from pipelines.files.pillow import pixels_of

    return pixels_of(contents)


def _at_once(contents: bytes) -> tf.Tensor:
    """`_by_pillow` with the errors that TensorFlow makes of it in a graph."""
    try:
        return tf.constant(_by_pillow(contents))
    except MemoryError as error:
        raise tf.errors.ResourceExhaustedError(None, None, str(error)) from None
    except ValueError as error:
        raise tf.errors.InvalidArgumentError(None, None, str(error)) from None


def _is_direct(contents: tf.Tensor, channels: int) -> tf.Tensor:
    """Whether libjpeg decodes it to so many channels by itself, and so a window of it alone."""
    jpeg = tf.io.is_jpeg(contents)
    return jpeg & ~_is_cmyk(contents) if channels == 1 else jpeg


def _is_cmyk(contents: tf.Tensor) -> tf.Tensor:
    def components() -> tf.Tensor:
        return tf.equal(tf.io.extract_jpeg_shape(contents)[2], CMYK_CHANNELS)

    return tf.cond(tf.io.is_jpeg(contents), components, lambda: tf.constant(False))


def _luma(image: tf.Tensor) -> tf.Tensor:
    """uint8 [h, w, 3] to [h, w, 1]; grey stays exactly as it is."""
    # libjpeg's own fixed-point weights, 16 bits: they sum to 65,536.
    weighed = tf.cast(image, tf.int32) * tf.constant([19595, 38470, 7471])
    total = tf.reduce_sum(weighed, axis=-1, keepdims=True) + 32768
    return tf.cast(tf.bitwise.right_shift(total, 16), tf.uint8)


def _moves(orientation: tf.Tensor | int) -> list[tf.Tensor]:
    row = tf.cast(orientation, tf.int32) - 1
    return [tf.gather(tf.constant(table), row) for table in (TRANSPOSED, MIRRORED, UPSIDE_DOWN)]


def _turned(image: tf.Tensor, orientation: tf.Tensor | int) -> tf.Tensor:
    transposed, mirrored, upside_down = _moves(orientation)
    channels = image.shape[-1]
    image = tf.cond(transposed, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    image = tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)
    image = tf.cond(upside_down, lambda: tf.reverse(image, [0]), lambda: image)
    return tf.ensure_shape(image, [None, None, channels])
