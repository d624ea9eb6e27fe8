"""Pooling windows against plain NumPy, window by window."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.layers.pooling import Pooling2D

REDUCE: dict[str, Any] = {
    "max": np.max,
    "average": np.mean,
    "l2": lambda x, axis: np.sqrt((x**2).mean(axis=axis)),
}


def _images(*shape: int, low: float = -9, high: float = -1) -> np.ndarray:
    """All below zero, so that padding with zeros would be the maximum."""
    return np.random.default_rng(1).uniform(low, high, shape).astype("float32")


def _apply(layer: Any, images: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(layer(images))


def _pooled(
    x: np.ndarray, size: int, stride: int, mode: str, padding: int = 0, ceil: bool = True
) -> np.ndarray:
    """Windows cut off at the edges of the image, one by one."""
    round_ = math.ceil if ceil else math.floor
    height, width = (round_((n + 2 * padding - size) / stride) + 1 for n in x.shape[1:3])
    columns = []
    for i in range(height):
        for j in range(width):
            top, left = i * stride - padding, j * stride - padding
            window = x[:, max(0, top) : top + size, max(0, left) : left + size]
            columns.append(REDUCE[mode](window.astype("float64"), axis=(1, 2)))
    return np.stack(columns, axis=1).reshape(x.shape[0], height, width, x.shape[3])


@pytest.mark.parametrize("mode", ["max", "average", "l2"])
@pytest.mark.parametrize("sides", [(32, 32), (7, 8), (9, 6), (2, 3)])
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (2, 2), (3, 1)])
def test_ceil_pooling(mode: str, sides: tuple[int, int], size: int, stride: int) -> None:
    if min(math.ceil((n - size) / stride) + 1 for n in sides) < 1:
        with pytest.raises(ValueError, match="too small to pool"):
            Pooling2D(size, stride, mode, ceil=True)(_images(2, *sides, 4))
        return
    images = _images(2, *sides, 4)
    layer = Pooling2D(size, stride, mode, ceil=True)

    received = _apply(layer, images)

    np.testing.assert_allclose(received, _pooled(images, size, stride, mode), rtol=1e-5)
    assert received.shape == layer.compute_output_shape(images.shape)


@pytest.mark.parametrize("mode", ["max", "average", "l2"])
@pytest.mark.parametrize("sides", [(8, 8), (7, 10), (3, 4)])
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (3, 1), (2, 2)])
def test_padding_takes_no_part(mode: str, sides: tuple[int, int], size: int, stride: int) -> None:
    images = _images(2, *sides, 3)
    layer = Pooling2D(size, stride, mode, padding=1)

    received = _apply(layer, images)

    expected = _pooled(images, size, stride, mode, padding=1, ceil=False)
    np.testing.assert_allclose(received, expected, rtol=1e-5)
    assert received.shape == layer.compute_output_shape(images.shape)


@pytest.mark.parametrize("mode", ["average", "l2"])
def test_means_of_a_constant_are_the_constant_to_the_corners(mode: str) -> None:
    images = np.full((1, 6, 7, 2), 5.0, "float32")

    received = _apply(Pooling2D(3, 2, mode, padding=1, ceil=True), images)

    np.testing.assert_allclose(received, 5.0, rtol=1e-6)


def test_no_window_starts_in_the_padding_after_the_image() -> None:
    """Windows begin at -1, 1 and 3; rounded up, there would be one at 5, past five cells."""
    layer = Pooling2D(2, 2, "max", padding=1, ceil=True)

    assert layer.compute_output_shape((1, 5, 4, 1)) == (1, 3, 3, 1)
    assert np.isfinite(_apply(layer, _images(1, 5, 4, 1))).all()


def test_modes_on_one_window() -> None:
    images = np.array([3.0, -4.0, 0.0, 12.0], "float32").reshape(1, 2, 2, 1)

    received = {mode: _apply(Pooling2D(2, 2, mode), images).item() for mode in REDUCE}

    expected = {"max": 12.0, "average": 2.75, "l2": math.sqrt(169 / 4)}
    assert received == pytest.approx(expected)


@pytest.mark.parametrize("mode", ["max", "average", "l2"])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_gradients_are_finite_where_everything_is_zero(mode: str, policy: str) -> None:
    images = tf.Variable(np.zeros((1, 5, 5, 2), "float32"))
    layer = Pooling2D(3, 2, mode, padding=1, dtype=policy)
    with tf.GradientTape() as tape:
        out = layer(images)
        total = tf.reduce_sum(tf.cast(out, "float32"))

    assert np.isfinite(tape.gradient(total, images)).all()
    assert out.dtype == layer.compute_dtype
    np.testing.assert_allclose(tf.cast(out, "float32"), 0, atol=1e-5)


def test_l2_gradient_is_that_of_the_root() -> None:
    values = np.array([3.0, -4.0, 0.0, 12.0], "float32").reshape(1, 2, 2, 1)
    images = tf.Variable(values)
    with tf.GradientTape() as tape:
        out = Pooling2D(2, 2, "l2")(images)

    np.testing.assert_allclose(tape.gradient(out, images), values / 4 / 6.5, rtol=1e-5)


def test_l2_squares_in_full_precision() -> None:
    layer = Pooling2D(2, 2, "l2", dtype="mixed_float16")

    received = layer(np.full((1, 2, 2, 1), 1000.0, "float32"))  # 1000 ** 2 is too much for float16

    assert float(received[0, 0, 0, 0]) == pytest.approx(1000, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"mode": "median"}, "one of max, average, l2. Received: 'median'"),
        ({"pool_size": 2, "strides": 3}, "windows outside the image"),
        ({"pool_size": 0}, "positive integers. Received: 0"),
        ({"pool_size": (2, 2, 2)}, "positive integers"),
        ({"pool_size": 3, "padding": 3}, "below pool_size. Received: pool_size=.3, 3., padding=3"),
        ({"padding": -1}, "padding must be 0 or more"),
    ],
)
def test_pooling_refuses(arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Pooling2D(**arguments)


def test_pooling_needs_fixed_sides() -> None:
    with pytest.raises(ValueError, match="fixed sides"):
        Pooling2D()(keras.Input((None, None, 3)))
