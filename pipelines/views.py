"""What is scored of an image: one exact centre crop, or the many crops of a paper's protocol.

A protocol turns one image into groups of crops, float32 0..255, whose mean score is the image's.
Its cost, in passes of the network over one centre crop, is known before anything runs. Sides are
those of the papers for networks of 224 and scale with the network's own size. All resizing is
bilinear with half-pixel centres, antialiased where it shrinks; sides and centres are rounded as in
`pipelines.resize`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from pipelines.lazy import tf
from pipelines.resize import (
    centre_geometry,
    middle,
    resize_centre,
    resized_shape,
    resized_sides,
)
from pipelines.sources.base import Source
from pipelines.threads import PREFETCHED, fixed, workers

REFERENCE = 224  # the network's side that the papers' scales are meant for
GOOGLENET_SIDES = (256, 288, 320, 352)
RESNET_SIDES = (224, 256, 384, 480, 640)

Size = tuple[int, int]

View: TypeAlias = "Callable[[tf.Tensor], tf.Tensor]"


@dataclass(frozen=True)
class Protocol:
    """How an image is scored.

    crops   crops an image, in all groups together
    cost    network passes an image over one centre crop; of a square image for `dense`
    views   image uint8 or float32 [h, w, c] -> float32 [k, h', w', c] of each group, in order
    """

    name: str
    crops: int
    cost: float
    views: Callable[[tf.Tensor], tuple[tf.Tensor, ...]]


def centre(size: Size, crop_fraction: float = 0.875) -> Protocol:
    """One central window, `resize.resize_centre`."""
    view = resize_centre(size, crop_fraction)
    return Protocol("centre", 1, 1.0, lambda image: (view(image)[None],))


def ten_crop(size: Size, side: int = 256) -> Protocol:
    """Corners and centre of the image with this short side, then the mirror image of each.

    Top left, top right, bottom left, bottom right, centre. VGG and ResNet papers.
    """
    return Protocol("ten_crop", 10, 10.0, lambda image: (_ten(image, size, side),))


def alexnet(size: Size, side: int = 256) -> Protocol:
    """The same ten crops, of the central square: so never of what it cuts off. AlexNet, 4.1."""
    short = scaled(side, max(size))

    def views(image: tf.Tensor) -> tuple[tf.Tensor, ...]:
        resized = resize_short_side(image, short)
        free = tf.shape(resized)[:2] - short
        square = _cut(resized, middle(free), (short, short))
        return (_mirrored(_five(square, size)),)

    return Protocol("alexnet", 10, 10.0, views)


def googlenet(size: Size, sides: Sequence[int] = GOOGLENET_SIDES) -> Protocol:
    """144 crops: 4 scales, 3 squares of each, 6 crops of each, and their mirror images.

    Squares: left, centre, right, or top, centre, bottom of an upright image. Crops of a square: its
    corners and centre, and the square itself resized. Szegedy et al. 2015 (1409.4842), section 7.
    """

    def views(image: tf.Tensor) -> tuple[tf.Tensor, ...]:
        crops = []
        for side in sides:
            short = scaled(side, max(size))
            resized = resize_short_side(image, short)
            free = tf.shape(resized)[:2] - short
            for at in (tf.zeros_like(free), middle(free), free):
                square = _cut(resized, at, (short, short))
                whole = tf.image.resize(square, size, antialias=True)[None]
                crops.append(_mirrored(tf.concat([_five(square, size), whole], 0)))
        return (tf.concat(crops, 0),)

    count = 36 * len(sides)
    return Protocol("googlenet", count, float(count), views)


def multi_scale(size: Size, sides: Sequence[int] = RESNET_SIDES) -> Protocol:
    """Ten crops at each scale, the scales in this order. ResNet (1512.03385), sections 3.4, 4.1.

    The paper is fully convolutional at these scales (`dense`); as ten crops any network can do it.
    """
    count = 10 * len(sides)

    def views(image: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return (tf.concat([_ten(image, size, side) for side in sides], 0),)

    return Protocol("multi_scale", count, float(count), views)


def dense(size: Size, sides: Sequence[int] = RESNET_SIDES) -> Protocol:
    """The whole image at each scale, and its mirror image: one group a scale, of varying shape.

    For networks that take any image size and average over positions. VGG (1409.1556), section 3.2.
    """

    def views(image: tf.Tensor) -> tuple[tf.Tensor, ...]:
        shorts = [scaled(side, max(size)) for side in sides]
        return tuple(_mirrored(resize_short_side(image, short)[None]) for short in shorts)

    cost = sum(2.0 * scaled(side, max(size)) ** 2 / (size[0] * size[1]) for side in sides)
    return Protocol("dense", 2 * len(sides), cost, views)


def crop_dataset(
    source: Source, indices: Iterable[int] | np.ndarray, protocol: Protocol, threads: int = 0
) -> tf.data.Dataset:
    """(index int64, groups of crops, label int64) of each image once, in the given order.

    Raises ValueError for no images or an index that is given twice.
    """
    chosen = np.asarray(indices, np.int64).reshape(-1)
    if len(chosen) == 0 or len(np.unique(chosen)) < len(chosen):
        raise ValueError(
            "crops: expected different images, at least one, "
            f"received {len(chosen)} of which {len(np.unique(chosen))} differ"
        )
    with tf.device("CPU:0"):
        labels = tf.constant(source.labels)

    def load(index: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, ...], tf.Tensor]:
        return index, protocol.views(source.images(index)), tf.gather(labels, index)

    data = tf.data.Dataset.from_tensor_slices(chosen).map(
        tf.autograph.experimental.do_not_convert(load),
        num_parallel_calls=threads or workers(),
        deterministic=True,
    )
    return fixed(data.prefetch(PREFETCHED), threads)


def resize_short_side(image: tf.Tensor, side: int) -> tf.Tensor:
    """The whole image at this short side, float32 [h', w', c]; nothing is done where it fits."""
    resized = tf.cast(resized_shape(tf.shape(image)[:2], (side, side)), tf.int32)
    pixels = tf.cast(image, tf.float32)
    return tf.ensure_shape(
        tf.image.resize(pixels, resized, antialias=True), [None, None, image.shape[-1]]
    )


class CentreWindow:
    """The part of an image that `resize_centre` looks at, and the view made of that part alone.

    Called with the image's shape it gives the window [y, x, height, width], with the margin that
    the antialiasing kernel reaches into; `finish` then resizes to exactly what the whole image
    would have given, by shifting the kernel by the fraction of a pixel that the window lost.
    """

    def __init__(self, size: Size, crop_fraction: float) -> None:
        self.size = size
        self.sides = resized_sides(size, crop_fraction)
        self.finished = False

    def __call__(self, shape: tf.Tensor) -> tf.Tensor:
        start, stop = self._part(shape)
        return tf.concat([start, stop - start], 0)

    def finish(self, part: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
        """`part`: the window's pixels [h, w, c] of an image of this shape; float32 [*size, c]."""
        self.finished = True
        scale, origin = centre_geometry(shape, self.size, self.sides)
        start, _ = self._part(shape)
        out = tf.raw_ops.ScaleAndTranslate(
            images=tf.cast(part, tf.float32)[None],
            size=self.size,
            scale=scale,
            translation=tf.cast(start, tf.float32) * scale - origin,
            kernel_type="triangle",
            antialias=True,
        )
        return tf.ensure_shape(out[0], [*self.size, part.shape[-1]])

    def _part(self, shape: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        scale, origin = centre_geometry(shape, self.size, self.sides)
        reach = tf.maximum(1.0 / scale, 1.0) + 1.0
        start = tf.cast(tf.floor(origin / scale - reach), tf.int32)
        stop = tf.cast(tf.math.ceil((origin + self.size) / scale + reach), tf.int32)
        return tf.maximum(start, 0), tf.minimum(stop, tf.cast(shape, tf.int32))


def exact(source: Source, size: Size, crop_fraction: float) -> View:
    """view(index) -> float32 [*size, c]: `resize_centre` of an image, of which as little as
    possible is decoded; equal to it to 0.01 grey levels.
    """
    whole = resize_centre(size, crop_fraction)
    if source.array is not None:
        return lambda index: whole(source.images(index))

    def view(index: tf.Tensor) -> tf.Tensor:
        window = CentreWindow(size, crop_fraction)
        part = source.images(index, window)
        # A source of raw pixels cuts windows by itself and knows nothing of what follows.
        return part if window.finished else whole(source.images(index))

    return view


def scaled(side: int, size: int) -> int:
    """In pixels of this network; never below its own side."""
    return max(size, round(side * size / REFERENCE))


def _cut(image: tf.Tensor, at: tf.Tensor, size: Size) -> tf.Tensor:
    window = tf.slice(image, tf.concat([at, [0]], 0), [*size, image.shape[-1]])
    return tf.ensure_shape(window, [*size, image.shape[-1]])


def _five(image: tf.Tensor, size: Size) -> tf.Tensor:
    """Four corners, top ones first, left before right, and the centre."""
    y, x = tf.unstack(tf.shape(image)[:2] - tf.constant(size))
    corners = [(0, 0), (0, x), (y, 0), (y, x), (middle(y), middle(x))]
    return tf.stack([_cut(image, tf.stack(at), size) for at in corners])


def _mirrored(crops: tf.Tensor) -> tf.Tensor:
    return tf.concat([crops, tf.reverse(crops, [2])], 0)


def _ten(image: tf.Tensor, size: Size, side: int) -> tf.Tensor:
    return _mirrored(_five(resize_short_side(image, scaled(side, max(size))), size))
