from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from pipelines.augment.draws import Op
from pipelines.augment.erasing import random_erasing

N = 1500


def many(op: Op, image: np.ndarray) -> np.ndarray:
    keys = np.stack([np.ones(N, np.int64), np.arange(N)], axis=1)
    data = tf.data.Dataset.from_tensor_slices(keys).map(
        lambda key: op(tf.constant(image), key), num_parallel_calls=2
    )
    return np.stack([result.numpy() for result in data])


def box(changed: np.ndarray) -> tuple[int, int, int, int]:
    """y, x, height, width of what changed, which must be one full rectangle."""
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    y, x = rows[0], columns[0]
    height, width = rows[-1] - y + 1, columns[-1] - x + 1
    assert changed[y : y + height, x : x + width].all()
    assert changed.sum() == height * width
    return int(y), int(x), int(height), int(width)


def reference(rng: np.random.Generator, tall: int, wide: int) -> tuple[int, int, int, int]:
    """Algorithm 1 of the paper, positions as in the authors' code."""
    while True:
        area, aspect = rng.uniform(0.02, 0.4) * tall * wide, rng.uniform(0.3, 1 / 0.3)
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if h <= tall and w <= wide:
            return int(rng.integers(tall - h + 1)), int(rng.integers(wide - w + 1)), h, w


def test_rectangles_are_distributed_as_the_reference_sampler_says() -> None:
    from scipy.stats import ks_2samp

    image = np.full((32, 40, 3), 7, np.uint8)
    results = many(random_erasing(fill=(1.0, 2.0, 3.0), probability=1.0), image)
    boxes = np.array([box((result != 7).all(axis=-1)) for result in results])
    rng = np.random.default_rng(0)
    wanted = np.array([reference(rng, 32, 40) for _ in range(N)])
    for column in range(4):
        assert ks_2samp(boxes[:, column], wanted[:, column]).pvalue > 1e-4
    inside = results != 7
    assert np.array_equal(
        results[inside].reshape(-1, 3), np.tile([1, 2, 3], (inside.sum() // 3, 1))
    )


def test_noise_is_uniform_and_differs_from_pixel_to_pixel() -> None:
    from scipy.stats import kstest

    image = np.full((16, 16, 3), -1, np.float32)
    results = many(random_erasing(probability=1.0), image)
    noise = results[results != -1]
    assert noise.min() >= 0
    assert noise.max() < 255
    assert kstest(noise[:20000] / 255.0, "uniform").pvalue > 1e-4
    assert len(np.unique(noise[:1000])) > 950
    for result in results[:50]:
        box((result != -1).all(axis=-1))


def test_probability_and_same_key_same_image() -> None:
    image = np.full((16, 16, 1), 7, np.uint8)
    op = random_erasing(fill=(0.0,))
    results = many(op, image)
    erased = np.array([(result != 7).any() for result in results])
    assert abs(erased.mean() - 0.5) < 6 * math.sqrt(0.25 / N)
    assert np.all(results[~erased] == 7)
    for i in range(20):
        eager = op(tf.constant(image), tf.constant([1, i], tf.int64))
        assert eager.dtype == tf.float32
        np.testing.assert_array_equal(eager, results[i])
    noise = random_erasing(probability=1.0)
    keys = [tf.constant([1, i], tf.int64) for i in (3, 3, 4)]
    first, again, other = (noise(tf.constant(image), key).numpy() for key in keys)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_cannot_fit_leaves_the_image() -> None:
    image = np.full((4, 400, 1), 7, np.uint8)
    op = random_erasing((0.9, 0.9), (1.0, 1.0), probability=1.0)
    assert np.all(op(tf.constant(image), tf.constant([1, 2], tf.int64)).numpy() == 7)


@pytest.mark.parametrize("side", [1, 2])
def test_images_of_a_few_pixels(side: int) -> None:
    image = np.full((side, side, 1), 7, np.uint8)
    result = random_erasing(probability=1.0)(tf.constant(image), tf.constant([1, 2], tf.int64))
    assert result.shape == image.shape
