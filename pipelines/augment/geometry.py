"""Translation, rotation, stretching, shearing and lens distortion: factories of op(image, key).

uint8 or float32 [h, w, c] on 0..255 in, float32 [h, w, c] 0..255 out: bilinear between the four
nearest pixels, so nothing leaves the range. Pixels are points at whole coordinates, and all but
`translate` leave the centre of the image, ((h - 1) / 2, (w - 1) / 2), where it is. Draws are
uniform in the range stated, one an image. Each step of a recipe samples anew: several of them
blur a little more than one.

`fill` says what lies outside the image: "edge" the nearest pixel, "reflect" the image mirrored at
its border (d c b a | a b c d | d c b a), or a colour [c]: the training mean where a recipe says
"mean", so that it is zero once the mean is subtracted. With a colour the outermost pixels fade
over one pixel.

The list is that of the lectures ("translation, rotation, stretching, shearing, lens distortions,
... go crazy"); ranges differ from author to author, so the defaults here are mild.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal, TypeAlias

import numpy as np

from pipelines.augment.declaration import Probability, Setting, augmentation
from pipelines.augment.draws import Drawn, Op, between, colour_of, sometimes, uniform
from pipelines.lazy import tf

Outside: TypeAlias = "str | Sequence[float] | np.ndarray | tf.Tensor"

MODES = {"edge": "NEAREST", "reflect": "REFLECT"}

Fill = Annotated[
    Literal["mean", "edge", "reflect"],
    Setting("outside the image: training mean, edge, reflect"),
]

geometric = partial(augmentation, first=("fill", "probability"))


@augmentation(drawn_apart=True, keeps_range=True, before_resize=True)
def horizontal_flip(probability: Probability = 0.5) -> tuple[Drawn, Op]:
    """Mirror left and right with this probability. Shape, range and dtype stay as they are."""
    return _mirrored(probability), _mirror(1)


@augmentation(drawn_apart=True, keeps_range=True, before_resize=True)
def vertical_flip(probability: Probability = 0.5) -> tuple[Drawn, Op]:
    """Mirror top and bottom with this probability. Shape, range and dtype stay as they are."""
    return _mirrored(probability), _mirror(0)


def _mirrored(probability: float) -> Drawn:
    """drawn(key) -> bool [...]: whether a flip of this probability mirrors the image."""
    return lambda key: uniform([], key) < probability


def _mirror(axis: int) -> Op:
    """op(image [h, w, c], wanted): the image, turned round along axis 0 or 1 where `wanted`."""

    def op(image: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        flipped = tf.cond(wanted, lambda: tf.reverse(image, [axis]), lambda: tf.identity(image))
        return tf.ensure_shape(flipped, image.shape)

    return op


@augmentation()
def right_angles(
    probability: Annotated[float, Setting("of 90, 180 or 270 degrees", ge=0, le=1)] = 0.75,
) -> Op:
    """Turn by 90, 180 or 270 degrees, each as likely, with this probability; pixels are only moved.

    At 3/4 all four positions are as likely. uint8 or float32 in, float32 out.
    Raises ValueError for images that are not square.
    """

    def change(image: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
        if image.shape[0] != image.shape[1] or image.shape[0] is None:
            raise ValueError(
                f"right_angles: expected square images, received {tuple(image.shape)}; "
                "remove right_angles from augment or set data.image_size to a square"
            )
        across = tf.transpose(image, [1, 0, 2])
        quarter = tf.minimum(tf.cast(u[0] * 3.0, tf.int32), 2)
        return tf.switch_case(
            quarter,
            [
                lambda: tf.reverse(across, [0]),
                lambda: tf.reverse(image, [0, 1]),
                lambda: tf.reverse(across, [1]),
            ],
        )

    return sometimes(change, draws=1, probability=probability)


@geometric()
def translate(
    fraction: Annotated[float, Setting("of height and width, at most", ge=0, le=1)] = 0.1,
    fill: Fill = "reflect",
    probability: Probability = 1.0,
) -> Op:
    """Shift by a part in -fraction..fraction of the height, and of the width; not whole pixels."""

    def change(image: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
        dy, dx = tf.unstack(between(u, -fraction, fraction) * _sides(image))
        return _affine(image, _rows(1.0, 0.0, 0.0, 1.0), fill, (-dx, -dy))

    return sometimes(change, draws=2, probability=probability)


@geometric()
def rotate(
    degrees: Annotated[float, Setting(ge=0, le=180)] = 15.0,
    fill: Fill = "reflect",
    probability: Probability = 1.0,
) -> Op:
    """Turn about the centre by an angle in -degrees..degrees, counter-clockwise above zero."""
    most = math.radians(degrees)

    def change(image: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
        angle = between(u[0], -most, most)
        cosine, sine = tf.cos(angle), tf.sin(angle)
        return _affine(image, _rows(cosine, -sine, sine, cosine), fill)

    return sometimes(change, draws=1, probability=probability)


@geometric()
def stretch(
    factor: Annotated[tuple[float, float], Setting("of height and of width, drawn apart", gt=0)] = (
        0.8,
        1.25,
    ),
    fill: Fill = "reflect",
    probability: Probability = 1.0,
) -> Op:
    """Scale what is seen about the centre, height and width by a factor each.

    The logarithms of the two factors are uniform and independent: the picture's proportions change.
    """
    low, high = math.log(factor[0]), math.log(factor[1])

    def change(image: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
        y, x = tf.unstack(tf.exp(-between(u, low, high)))
        return _affine(image, _rows(x, 0.0, 0.0, y), fill)

    return sometimes(change, draws=2, probability=probability)


@geometric()
def shear(
    degrees: Annotated[float, Setting(ge=0, lt=90)] = 10.0,
    fill: Fill = "reflect",
    probability: Probability = 1.0,
) -> Op:
    """Slant by an angle a in -degrees..degrees: x + tan(a) * y, or y + tan(a) * x, each as likely.

    x and y count from the centre.
    """
    most = math.radians(degrees)

    def change(image: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
        slope = tf.tan(between(u[0], -most, most))
        along_x = u[1] < 0.5
        x, y = tf.where(along_x, slope, 0.0), tf.where(along_x, 0.0, slope)
        return _affine(image, _rows(1.0, -x, -y, 1.0), fill)

    return sometimes(change, draws=2, probability=probability)


@geometric()
def lens_distortion(
    strength: Annotated[
        float,
        Setting(
            "k of r * (1 + k * r * r), r 1 at the corners",
            ge=0,
            lt=1 / 3,
            expected="a number from 0 to below 1/3",
        ),
    ] = 0.2,
    fill: Fill = "reflect",
    probability: Probability = 1.0,
) -> Op:
    """Radial distortion: what is seen at radius r comes from radius r * (1 + k * r * r).

    r is 1 at the corners, k uniform in -strength..strength; k > 0 is a barrel (more is seen),
    k < 0 a pincushion. First radial term of Brown 1966 (Decentering distortion of lenses).
    Raises ValueError for a strength that folds the picture (1/3 or more).
    """
    if not 0.0 <= strength < 1 / 3:
        raise ValueError(f"strength: expected from 0 to below 1/3, received {strength!r}")

    def change(image: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
        k = between(u[0], -strength, strength)
        sides = tf.shape(image)[:2]
        centre = (_sides(image) - 1.0) / 2.0
        y = tf.cast(tf.range(sides[0]), tf.float32)[:, None] - centre[0]
        x = tf.cast(tf.range(sides[1]), tf.float32)[None, :] - centre[1]
        # An image of one pixel has its corner at its centre.
        corner = tf.maximum(tf.reduce_sum(centre**2), 1e-6)
        bend = 1.0 + k * (y**2 + x**2) / corner
        return sample(image, y * bend + centre[0], x * bend + centre[1], fill)

    return sometimes(change, draws=1, probability=probability)


def sample(image: tf.Tensor, y: tf.Tensor, x: tf.Tensor, fill: Outside) -> tf.Tensor:
    """Bilinear values of an image [h, w, c] at float coordinates y, x [rows, columns]."""
    colour = _colour(fill, image)
    if colour is not None:
        # A border of the colour, beyond which nothing else is met.
        image = tf.pad(image - colour, [[1, 1], [1, 1], [0, 0]]) + colour
        y, x = y + 1.0, x + 1.0
    tall, wide = tf.unstack(_sides(image))
    y, x = _inside(y, tall, fill), _inside(x, wide, fill)
    top = tf.clip_by_value(tf.floor(y), 0.0, tf.maximum(tall - 2.0, 0.0))
    left = tf.clip_by_value(tf.floor(x), 0.0, tf.maximum(wide - 2.0, 0.0))
    dy, dx = (y - top)[..., None], (x - left)[..., None]
    above = tf.cast(top * wide + left, tf.int32)
    down = tf.where(tall > 1.0, tf.cast(wide, tf.int32), 0)
    right = tf.where(wide > 1.0, 1, 0)
    pixels = tf.reshape(image, [-1, image.shape[-1]])
    upper = _mix(tf.gather(pixels, above), tf.gather(pixels, above + right), dx)
    lower = _mix(tf.gather(pixels, above + down), tf.gather(pixels, above + down + right), dx)
    return _mix(upper, lower, dy)


def _affine(
    image: tf.Tensor,
    rows: tuple[tuple[tf.Tensor, ...], ...],
    fill: Outside,
    shift: tuple[tf.Tensor, tf.Tensor] | tuple[float, float] = (0.0, 0.0),
) -> tf.Tensor:
    """What is seen at p comes from rows @ (p - centre) + centre + shift, in (x, y)."""
    cy, cx = tf.unstack((_sides(image) - 1.0) / 2.0)
    (a, b), (c, d) = rows
    transform = tf.stack(
        [
            *(a, b, cx - a * cx - b * cy + shift[0]),
            *(c, d, cy - c * cx - d * cy + shift[1]),
            *(tf.zeros([]), tf.zeros([])),
        ]
    )
    colour = _colour(fill, image)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=(image if colour is None else image - colour)[None],
        transforms=transform[None],
        output_shape=tf.shape(image)[:2],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode=MODES[fill] if isinstance(fill, str) else "CONSTANT",
    )[0]
    return moved if colour is None else moved + colour


def _rows(
    a: float | tf.Tensor, b: float | tf.Tensor, c: float | tf.Tensor, d: float | tf.Tensor
) -> tuple[tuple[tf.Tensor, ...], ...]:
    a, b, c, d = (tf.cast(value, tf.float32) for value in (a, b, c, d))
    return (a, b), (c, d)


def _sides(image: tf.Tensor) -> tf.Tensor:
    """Height and width, float32 [2]."""
    return tf.cast(tf.shape(image)[:2], tf.float32)


def _colour(fill: Outside, image: tf.Tensor) -> np.ndarray | tf.Tensor | None:
    """The constant colour [c], or None for edge and reflect."""
    if isinstance(fill, str):
        if fill not in MODES:
            raise ValueError(f"fill: expected edge, reflect or a colour, received {fill!r}")
        return None
    colour = colour_of(fill)
    if colour.shape[0] != image.shape[-1]:
        raise ValueError(
            f"fill: expected a colour of {image.shape[-1]} value(s), received {colour.shape[0]}"
        )
    return colour


def _inside(at: tf.Tensor, side: tf.Tensor, fill: Outside) -> tf.Tensor:
    """Coordinates brought into 0..side - 1."""
    if isinstance(fill, str) and fill == "reflect":
        around = tf.math.floormod(at + 0.5, 2.0 * side)
        at = tf.minimum(around, 2.0 * side - around) - 0.5
    return tf.clip_by_value(at, 0.0, side - 1.0)


def _mix(a: tf.Tensor, b: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
    return a + part * (b - a)
