from __future__ import annotations

import colorsys

import numpy as np
import pytest
import tensorflow as tf

from pipelines.augment import colour

PICTURE = np.random.default_rng(1).integers(0, 256, (6, 5, 3)).astype(np.uint8)
GREY = PICTURE[..., :1]
KEYS = [[3, i] for i in range(12)]


def drawn(key: list[int], low: float, high: float) -> float:
    u = tf.random.stateless_uniform([2], tf.constant(key, tf.int64), alg="philox").numpy()
    return float(low + u[0] * (high - low))


def luma(image: np.ndarray) -> np.ndarray:
    if image.shape[-1] == 1:
        return image.astype(np.float64)
    return (image @ np.array([0.299, 0.587, 0.114]))[..., None]


def brighter(x: np.ndarray, f: float) -> np.ndarray:
    return np.clip(f * x, 0, 255)


def contrasted(x: np.ndarray, f: float) -> np.ndarray:
    mean = luma(x).mean()
    return np.clip(mean + f * (x - mean), 0, 255)


def saturated(x: np.ndarray, f: float) -> np.ndarray:
    return np.clip(luma(x) + f * (x - luma(x)), 0, 255)


def turned(x: np.ndarray, shift: float) -> np.ndarray:
    def one(pixel: np.ndarray) -> list[float]:
        h, s, v = colorsys.rgb_to_hsv(*(pixel / 255.0))
        return [255.0 * value for value in colorsys.hsv_to_rgb((h + shift) % 1.0, s, v)]

    return np.array([[one(pixel) for pixel in row] for row in x])


CASES = {
    "brightness": (colour.brightness((0.4, 1.9)), brighter, (0.4, 1.9), PICTURE),
    "brightness of grey": (colour.brightness(), brighter, (0.5, 1.5), GREY),
    "contrast": (colour.contrast((0.2, 2.5)), contrasted, (0.2, 2.5), PICTURE),
    "contrast of grey": (colour.contrast(), contrasted, (0.5, 1.5), GREY),
    "saturation": (colour.saturation((0.0, 3.0)), saturated, (0.0, 3.0), PICTURE),
    "hue": (colour.hue(0.5), turned, (-0.5, 0.5), PICTURE),
}


@pytest.mark.parametrize("name", CASES)
def test_formula_eagerly_and_in_tf_data(name: str) -> None:
    op, formula, limits, image = CASES[name]
    data = tf.data.Dataset.from_tensor_slices(np.array(KEYS, np.int64)).map(
        lambda key: op(tf.constant(image), key), num_parallel_calls=2
    )
    expected = [formula(image, drawn(key, *limits)) for key in KEYS]
    for key, inside, wanted in zip(KEYS, data, expected, strict=True):
        eager = op(tf.constant(image), tf.constant(key, tf.int64)).numpy()
        assert eager.dtype == np.float32
        np.testing.assert_allclose(eager, wanted, atol=2e-3)
        np.testing.assert_allclose(inside, wanted, atol=2e-3)
    assert np.std([wanted.mean() for wanted in expected]) > 0.1  # the draws differ


@pytest.mark.parametrize("name", CASES)
def test_results_are_clipped_to_the_range(name: str) -> None:
    op, _, _, image = CASES[name]
    wild = image.astype(np.float32) * 2 - 120  # as after a colour jitter
    for key in KEYS:
        result = op(tf.constant(wild), tf.constant(key, tf.int64)).numpy()
        assert result.min() >= 0.0
        assert result.max() <= 255.0


def test_the_factor_one_and_the_shift_none_leave_the_image() -> None:
    key = tf.constant([1, 2], tf.int64)
    ops = (colour.brightness, colour.contrast, colour.saturation)
    for op in (*(make((1.0, 1.0)) for make in ops), colour.hue(0.0)):
        np.testing.assert_allclose(op(tf.constant(PICTURE), key), PICTURE, atol=1e-3)


def test_the_formulas_are_those_of_the_image_library() -> None:
    """PIL's ImageEnhance, which rounds to whole grey levels and its mean grey as well."""
    from PIL import Image, ImageEnhance

    picture = Image.fromarray(PICTURE)
    key = tf.constant([1, 2], tf.int64)
    for make, theirs in (
        (colour.brightness, ImageEnhance.Brightness),
        (colour.contrast, ImageEnhance.Contrast),
        (colour.saturation, ImageEnhance.Color),
    ):
        for factor in (0.6, 1.4):
            ours = make((factor, factor))(tf.constant(PICTURE), key).numpy()
            wanted = np.asarray(theirs(picture).enhance(factor)).astype(float)
            assert np.abs(ours - wanted).max() <= 2.0


def test_probability() -> None:
    op = colour.brightness((0.5, 0.5), probability=0.25)
    keys = np.stack([np.zeros(2000, np.int64), np.arange(2000)], axis=1)
    data = tf.data.Dataset.from_tensor_slices(keys).map(lambda k: op(tf.constant(PICTURE), k))
    seen = np.stack([image.numpy() for image in data])
    changed = np.array([not np.array_equal(image, PICTURE) for image in seen])
    assert abs(changed.mean() - 0.25) < 6 * (0.25 * 0.75 / 2000) ** 0.5
    np.testing.assert_allclose(seen[changed], np.stack([PICTURE * 0.5] * changed.sum()))


@pytest.mark.parametrize("make", [colour.saturation, colour.hue])
def test_grey_images_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match=r"expected RGB images, received 1.*data\.channels"):
        make()(tf.constant(GREY), tf.constant([1, 2], tf.int64))  # type: ignore[operator]
