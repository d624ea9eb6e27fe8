"""Activations and dropout against values worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.layers.activations import Dice, MonteCarloDropout, scaled_tanh


def test_scaled_tanh_keeps_one_and_minus_one() -> None:
    received = np.array(scaled_tanh(np.array([-1.0, 0.0, 1.0, 100.0], "float32")))

    np.testing.assert_allclose(received, [-1, 0, 1, 1.7159], atol=1e-3)
    assert received[1] == 0


def test_scaled_tanh_bends_most_at_one() -> None:
    """LeCun et al. 1998, appendix A: the second derivative is extreme at +-1."""
    x = np.linspace(0.5, 1.5, 1001)
    second = np.diff(1.7159 * np.tanh(x * 2 / 3), 2)

    assert x[1:-1][np.abs(second).argmax()] == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(scaled_tanh(x), 1.7159 * np.tanh(x * 2 / 3), rtol=1e-6)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_dice_in_training() -> None:
    """One channel of -1, 0, 4: mean 1, variance 14/3, so p = sigmoid(-0.926), (-0.463), (1.389)."""
    layer = Dice()
    layer.build((None, 1))
    layer.alpha.assign([0.25])

    received = np.array(layer(np.array([[-1.0], [0.0], [4.0]], "float32"), training=True))[:, 0]

    deviation = math.sqrt(14 / 3)
    expected = []
    for x in (-1.0, 0.0, 4.0):
        p = _sigmoid((x - 1) / deviation)
        expected.append(p * x + (1 - p) * 0.25 * x)
    np.testing.assert_allclose(received, expected, rtol=1e-5)
    np.testing.assert_allclose(received, [-0.4629, 0.0, 3.4010], atol=1e-3)
    np.testing.assert_allclose(layer.moving_mean, [0.1], rtol=1e-5)  # momentum 0.9
    np.testing.assert_allclose(layer.moving_variance, [0.9 + 0.1 * 14 / 3], rtol=1e-5)


def test_dice_at_inference() -> None:
    layer = Dice()
    layer.build((None, 2, 2, 2))
    layer.alpha.assign([0.0, -0.5])
    layer.moving_mean.assign([1.0, -2.0])
    layer.moving_variance.assign([4.0, 0.25])
    images = np.random.default_rng(1).normal(size=(3, 2, 2, 2)).astype("float32")

    received = layer(images, training=False)

    p = 1 / (1 + np.exp(-(images - [1.0, -2.0]) / [2.0, 0.5]))
    np.testing.assert_allclose(received, images * (p + (1 - p) * [0.0, -0.5]), rtol=1e-4)
    np.testing.assert_array_equal(layer.moving_mean, [1.0, -2.0])


def test_dice_takes_statistics_of_each_channel_over_images_and_positions() -> None:
    images = np.random.default_rng(1).normal([1, -3], [2, 5], (6, 4, 4, 2)).astype("float32")
    layer = Dice(momentum=0.0)
    layer(images, training=True)

    np.testing.assert_allclose(layer.moving_mean, images.mean(axis=(0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, images.var(axis=(0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_dice_of_a_constant_channel_is_finite(policy: str) -> None:
    images = tf.Variable(np.full((8, 3), 5.0, "float32"))
    layer = Dice(dtype=policy)
    with tf.GradientTape() as tape:
        out = layer(images, training=True)
        total = tf.reduce_sum(tf.cast(out, "float32"))

    assert np.isfinite(tape.gradient(total, images)).all()
    np.testing.assert_allclose(tf.cast(out, "float32"), 2.5, rtol=1e-3)  # p = 1/2, alpha = 0
    assert out.dtype == layer.compute_dtype


def test_dice_learns_alpha_only() -> None:
    layer = Dice()
    layer.build((None, 4, 4, 3))

    assert [weight.name for weight in layer.trainable_weights] == ["alpha"]
    assert [weight.name for weight in layer.non_trainable_weights] == list(layer.fixed_weights)
    layer.trainable = False
    layer(np.ones((2, 4, 4, 3), "float32"), training=True)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(3))


def _model(layer: Any) -> Any:
    inputs = keras.Input((200,))
    return keras.Model(inputs, layer(inputs))


def test_monte_carlo_dropout_draws_at_inference() -> None:
    model = _model(MonteCarloDropout(0.25, seed=1))
    images = np.ones((50, 200), "float32")

    first, second = (np.array(model(images, training=False)) for _ in range(2))

    assert (first != second).mean() == pytest.approx(2 * 0.25 * 0.75, abs=0.03)
    assert (first == 0).mean() == pytest.approx(0.25, abs=0.03)
    np.testing.assert_allclose(np.unique(first), [0, 1 / 0.75], rtol=1e-6)
    assert (model.predict(images, verbose=0) != model.predict(images, verbose=0)).any()
    mean = np.mean([np.array(model(images)) for _ in range(100)])
    assert mean == pytest.approx(1, abs=0.01)


def test_ordinary_dropout_does_not() -> None:
    model = _model(keras.layers.Dropout(0.25))

    np.testing.assert_array_equal(model(np.ones((5, 200))), np.ones((5, 200)))


@pytest.mark.parametrize(
    "layer", [Dice(0.8, 1e-6, name="layer"), MonteCarloDropout(0.5, name="layer")], ids=str
)
def test_save_and_load(layer: Any, tmp_path: Path) -> None:
    model = _model(layer)
    model(np.random.default_rng(1).normal(size=(4, 200)), training=True)
    model.save(tmp_path / "model.keras")

    loaded = keras.saving.load_model(tmp_path / "model.keras")

    assert type(loaded.get_layer("layer")) is type(layer)
    assert loaded.get_layer("layer").get_config() == layer.get_config()
    for ours, theirs in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_scaled_tanh_saves_by_name(tmp_path: Path) -> None:
    model = _model(keras.layers.Activation(scaled_tanh))
    model.save(tmp_path / "model.keras")

    loaded = keras.saving.load_model(tmp_path / "model.keras")

    images = np.random.default_rng(1).normal(size=(4, 200))
    np.testing.assert_array_equal(loaded(images), model(images))
