"""One training image: first what is drawn for it, then its pixels.

The two are apart because numbers can be drawn for many images at once: an op on a few numbers costs
as much time as one on many, and an image has dozens of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pipelines import in_memory
from pipelines.augment.crops import Window
from pipelines.augment.draws import Drawn, Op
from pipelines.augment.keys import image_key
from pipelines.augment.ops import make, op_of
from pipelines.augment.recipes import Recipe
from pipelines.files.decode import cut_of
from pipelines.lazy import tf
from pipelines.resize import plain_resize, resize_window
from pipelines.sources.base import Source
from pipelines.views import exact

CUT = "cut"  # the window's place among what is drawn; an op's is its position in the recipe
Numbers = dict[str, Any]


class Loader(NamedTuple):
    """draw(epoch, index) -> numbers; pixels(epoch, index, numbers) -> the image [*size, c].

    For transfer uint8 with pca_jitter pixels gives (image, offset [c] that the device adds).
    draw takes indices [k] as well: each of its results then has a first axis of k.
    ahead   it pays to draw for many at once: windows of files whose shapes are known
    """

    draw: Callable[[tf.Tensor, tf.Tensor], Numbers]
    pixels: Callable[[tf.Tensor, tf.Tensor, Numbers], Any]
    ahead: bool

    def one(self, epoch: tf.Tensor, index: tf.Tensor) -> Any:
        """Both, of one image."""
        return self.pixels(epoch, index, self.draw(epoch, index))


def loader(source: Source, recipe: Recipe) -> Loader:
    """How an image of the source is made by the recipe; in any graph."""
    size, seed, channels = recipe.size, recipe.seed, source.image_shape[2]
    window: tuple[int, Window] | None = None
    drawn: dict[int, Drawn] = {}
    ops: list[tuple[int, Op]] = []
    early: list[tuple[int, Op]] = []  # mirrored before the resize, as uint8
    last: int | None = None  # added by the device
    clip = False
    for at, step in enumerate(recipe.steps):
        augmentation = op_of(step)
        if augmentation.on == "batch":
            continue
        made = make(step, size, recipe.colours)
        if augmentation.on == "window":
            window = at, made
            continue
        if augmentation.drawn_apart:
            drawn[at], made = made
        if recipe.transfer == "uint8" and augmentation.on_device:
            last = at
        elif window is not None and augmentation.before_resize and not ops:
            early.append((at, made))
        else:
            ops.append((at, made))
            clip |= not augmentation.keeps_range
    shapes: tf.Tensor | None = None
    if window is not None and source.shapes is not None:
        with tf.init_scope(), tf.device("CPU:0"):
            shapes = tf.constant(source.shapes, tf.int32)
    views = None
    if window is None:
        views = in_memory.views_of(source, size, recipe.crop_fraction)
    view = exact(source, size, recipe.crop_fraction)
    resize = resize_window(size) if recipe.antialias else plain_resize(size)

    def draw(epoch: tf.Tensor, index: tf.Tensor) -> Numbers:
        numbers: Numbers = {
            str(at): number(image_key(seed, epoch, index, at)) for at, number in drawn.items()
        }
        if window is not None and shapes is not None:
            at, draw_window = window
            shape = tf.gather(shapes, index)
            key = image_key(seed, epoch, index, at)
            numbers[CUT] = cut_of(draw_window(shape, key), shape, channels)
        return numbers

    def pixels(epoch: tf.Tensor, index: tf.Tensor, numbers: Numbers) -> Any:
        def changed(image: tf.Tensor, changes: Sequence[tuple[int, Op]]) -> tf.Tensor:
            for at, op in changes:
                given = numbers[str(at)] if at in drawn else image_key(seed, epoch, index, at)
                image = op(image, given)
            return image

        if window is not None:
            # Sampled before decoding: of a file only this window is decoded.
            at, draw_window = window
            cut = numbers.get(CUT)
            if cut is None:
                key = image_key(seed, epoch, index, at)
                image = source.images(index, lambda shape: draw_window(shape, key))
            else:
                image = source.part(index, cut)
            image = resize(changed(image, early))
        elif views is not None:
            image = tf.gather(views, index)
        else:
            image = view(index)
        image = changed(image, ops)
        shape = [*size, channels]
        if recipe.transfer == "float32":
            return tf.ensure_shape(in_memory.as_float(image), shape)
        image = tf.ensure_shape(in_memory.whole_levels(image, clip=clip), shape)
        return image if last is None else (image, numbers[str(last)])

    return Loader(draw, pixels, shapes is not None)
