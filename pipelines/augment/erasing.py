"""Random erasing: a rectangle of the image is overwritten."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np

from pipelines.augment.declaration import Probability, Setting, augmentation
from pipelines.augment.draws import Op, between, colour_of, position, sometimes, uniform
from pipelines.lazy import tf

ATTEMPTS = 10  # rectangles drawn until one fits; on a square 4 in 100 do not
NOISE = 0x2545F4914F6CDD1D  # turned into the seed word: the noise has a Philox stream of its own


@augmentation()
def random_erasing(
    area: Annotated[tuple[float, float], Setting(gt=0, le=1)] = (0.02, 0.4),
    ratio: Annotated[tuple[float, float], Setting(gt=0)] = (0.3, 1 / 0.3),
    fill: Literal["random", "mean"] = "random",
    probability: Probability = 0.5,
) -> Op:
    """Overwrite one rectangle inside the image. uint8 or float32 0..255 in, float32 out.

    area    of the rectangle over that of the image, uniform
    ratio   height over width, uniform (not its logarithm: as in the paper)
    fill    random: each value of each pixel uniform in 0..255; or a colour [c] on 0..255, which is
            the training mean where a recipe says mean
    The first of 10 rectangles that fits, at any whole position inside; if none fits, the image
    stays. Zhong et al. 2017 (1708.04896), algorithm 1, with the values of its experiments.
    Positions as in the authors' code: the paper draws them anywhere and rejects what sticks out,
    which favours small rectangles.
    """
    colour = None if isinstance(fill, str) else colour_of(fill)

    def change(image: tf.Tensor, u: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        sides = tf.shape(image)[:2]
        whole = tf.cast(sides, tf.float32)
        wanted = between(u[:ATTEMPTS], *area) * tf.reduce_prod(whole)
        aspect = between(u[ATTEMPTS : 2 * ATTEMPTS], *ratio)
        hw = tf.round(tf.sqrt(tf.stack([wanted * aspect, wanted / aspect], axis=1)))
        fits = tf.reduce_all((hw >= 1) & (hw <= whole), axis=1)
        chosen = tf.cast(hw[tf.argmax(fits)], tf.int32)
        chosen = tf.where(tf.reduce_any(fits), chosen, tf.zeros_like(chosen))
        start = position(u[2 * ATTEMPTS :], sides - chosen)
        before = tf.concat([start, [0]], 0)
        after = tf.concat([sides - chosen - start, [0]], 0)
        around = tf.stack([before, after], axis=1)
        keep = tf.pad(tf.zeros([chosen[0], chosen[1], 1]), around, constant_values=1.0)
        if colour is not None:
            return tf.where(keep > 0, image, colour)
        noise_key = tf.bitwise.bitwise_xor(key, np.array([NOISE, 0], np.int64))
        noise = 255.0 * uniform(tf.concat([chosen, tf.shape(image)[2:]], 0), noise_key)
        return tf.where(keep > 0, image, tf.pad(noise, around))

    def op(image: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        keyed = sometimes(lambda im, u: change(im, u, key), 2 * ATTEMPTS + 2, probability)
        return keyed(image, key)

    return op
