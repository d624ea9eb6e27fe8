"""Decorrelated batch normalisation against the covariance of its outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.layers.normalizations import DecorrelatedBatchNormalization, IdentityMatrices


def _correlated(*shape: int, independent: float = 0.1, seed: int = 1) -> np.ndarray:
    """Each channel is one common value and a tenth of its own, at scales and offsets of 1 to 3."""
    random = np.random.default_rng(seed)
    channels = shape[-1]
    common = random.normal(size=(*shape[:-1], 1)) + independent * random.normal(size=shape)
    scales = np.random.default_rng(9).uniform(1, 3, (2, channels))
    return (common * scales[0] + scales[1]).astype("float32")


def _covariance(x: Any) -> np.ndarray:
    rows = np.asarray(x, "float64").reshape(-1, x.shape[-1])
    return np.cov(rows.T, bias=True)


def test_batch_is_strongly_correlated() -> None:
    correlation = np.corrcoef(_correlated(512, 8).T)

    assert correlation.min() > 0.98


@pytest.mark.parametrize("shape", [(512, 16), (512, 8), (8, 9, 10, 16), (16, 8, 8, 5)])
def test_outputs_of_training_are_white(shape: tuple[int, ...]) -> None:
    received = DecorrelatedBatchNormalization()(_correlated(*shape), training=True)

    assert received.shape == shape
    np.testing.assert_allclose(_covariance(received), np.eye(shape[-1]), atol=1e-2)
    np.testing.assert_allclose(np.mean(received, axis=tuple(range(len(shape) - 1))), 0, atol=1e-2)


@pytest.mark.parametrize("independent", [1.0, 0.3, 0.1])
def test_root_does_not_depend_on_how_strong_the_correlation_is(independent: float) -> None:
    """The iteration as printed in arXiv:1904.03441 is unstable: it overflowed at 0.3."""
    images = _correlated(2048, 16, independent=independent)
    layer = DecorrelatedBatchNormalization(epsilon=1e-7)

    received = layer(images, training=True)

    np.testing.assert_allclose(_covariance(received), np.eye(16), atol=1e-2)


def test_whitening_is_by_the_symmetric_root() -> None:
    images = _correlated(256, 6, independent=0.5)
    layer = DecorrelatedBatchNormalization(epsilon=1e-3)

    received = layer(images, training=True)

    values, vectors = np.linalg.eigh(_covariance(images) + 1e-3 * np.eye(6))
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    expected = (images - images.mean(axis=0, dtype="float64")) @ root
    np.testing.assert_allclose(received, expected, atol=2e-3)


def test_inference_is_white_once_the_moving_statistics_have_converged() -> None:
    layer = DecorrelatedBatchNormalization(momentum=0.8)
    for step in range(60):
        layer(_correlated(512, 8, seed=step), training=True)
    images = _correlated(8192, 8, seed=99)

    received = layer(images, training=False)

    np.testing.assert_allclose(_covariance(received), np.eye(8), atol=0.1)
    same = _correlated(512, 8, seed=1)
    still = DecorrelatedBatchNormalization(momentum=0.5)
    for _ in range(40):
        still(same, training=True)
    np.testing.assert_allclose(_covariance(still(same)), np.eye(8), atol=1e-2)
    np.testing.assert_allclose(still(same), still(same, training=True), atol=1e-3)


def test_moving_statistics_follow_the_momentum() -> None:
    images = _correlated(128, 4)
    layer = DecorrelatedBatchNormalization(momentum=0.75)
    layer(images, training=True)

    mean = images.mean(axis=0)
    np.testing.assert_allclose(layer.moving_mean, 0.25 * mean, rtol=1e-4)
    expected = 0.75 * np.eye(4) + 0.25 * _covariance(images)
    np.testing.assert_allclose(layer.moving_covariance[0], expected, rtol=1e-4)


def test_inference_before_any_training_passes_images_on() -> None:
    images = _correlated(32, 4)

    np.testing.assert_allclose(DecorrelatedBatchNormalization()(images), images, rtol=1e-4)


def test_frozen_layer_keeps_and_uses_its_moving_statistics() -> None:
    images = _correlated(64, 4)
    layer = DecorrelatedBatchNormalization()
    layer.build(images.shape)
    layer.trainable = False

    np.testing.assert_allclose(layer(images, training=True), layer(images), atol=0)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(4))


def test_gamma_and_beta_scale_and_shift() -> None:
    images = _correlated(256, 3)
    layer = DecorrelatedBatchNormalization()
    white = np.array(layer(images, training=True))
    layer.gamma.assign([1.0, -2.0, 0.5])
    layer.beta.assign([0.0, 1.0, -1.0])

    received = layer(images, training=True)

    np.testing.assert_allclose(received, white * [1, -2, 0.5] + [0, 1, -1], atol=1e-4)


@pytest.mark.parametrize(
    ("channels", "group_size", "groups"),
    [(32, 16, 2), (12, 8, 2), (16, 4, 4), (7, 4, 7), (5, 9, 1)],
)
def test_groups_divide_the_channels(channels: int, group_size: int, groups: int) -> None:
    images = _correlated(1024, channels)
    layer = DecorrelatedBatchNormalization(group_size)

    received = layer(images, training=True)

    size = channels // groups
    assert layer.moving_covariance.shape == (groups, size, size)
    assert layer.moving_covariance.shape[1] <= group_size
    covariance = _covariance(received)
    for start in range(0, channels, size):
        block = covariance[start : start + size, start : start + size]
        np.testing.assert_allclose(block, np.eye(size), atol=1e-2)
    if groups > 1:  # channels of different groups stay as alike as they were
        assert abs(covariance[0, size]) > 0.02


def test_one_channel_a_group_is_batch_normalisation() -> None:
    images = _correlated(16, 4, 4, 5)
    ours = DecorrelatedBatchNormalization(1, epsilon=1e-3)
    keras_own = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3)

    for training in (True, False):
        expected = keras_own(images, training=training)
        np.testing.assert_allclose(ours(images, training=training), expected, atol=1e-3)


@pytest.mark.parametrize("case", ["random", "constant channel", "equal channels", "all constant"])
def test_gradients_are_finite(case: str) -> None:
    images = np.random.default_rng(1).normal(size=(32, 6)).astype("float32")
    if case == "constant channel":
        images[:, 2] = 3.0
    if case == "equal channels":
        images[:, 1] = images[:, 0]
    if case == "all constant":
        images[:] = 2.0
    x = tf.Variable(images)
    layer = DecorrelatedBatchNormalization()
    with tf.GradientTape() as tape:
        out = layer(x, training=True)
        loss = tf.reduce_sum(out * np.random.default_rng(2).normal(size=out.shape))

    for gradient in tape.gradient(loss, [x, layer.gamma.value, layer.beta.value]):
        assert np.isfinite(gradient).all()
    assert np.isfinite(out).all()


def test_gradient_is_that_of_finite_differences() -> None:
    images = np.random.default_rng(1).normal(size=(24, 4)).astype("float32")
    direction = np.random.default_rng(2).normal(size=images.shape).astype("float32")
    weights = np.random.default_rng(3).normal(size=images.shape)
    layer = DecorrelatedBatchNormalization(epsilon=1e-2)

    def loss(x: Any) -> Any:
        return tf.reduce_sum(tf.cast(layer(x, training=True), "float64") * weights)

    x = tf.Variable(images)
    with tf.GradientTape() as tape:
        value = loss(x)
    slope = float(tf.reduce_sum(tape.gradient(value, x) * direction))

    step = 1e-2
    numeric = float(loss(images + step * direction) - loss(images - step * direction)) / (2 * step)
    assert slope == pytest.approx(numeric, rel=0.02, abs=0.02)


def test_half_precision_computes_in_float32() -> None:
    layer = DecorrelatedBatchNormalization(dtype="mixed_bfloat16")

    received = layer(_correlated(512, 8, independent=0.5), training=True)

    assert received.dtype == "bfloat16"
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    np.testing.assert_allclose(
        _covariance(np.asarray(received, "float32")), np.eye(8), atol=0.02
    )  # rounding of the outputs alone


def test_save_and_load(tmp_path: Path) -> None:
    images = _correlated(64, 5, 5, 6)
    inputs = keras.Input(images.shape[1:])
    layer = DecorrelatedBatchNormalization(3, 0.8, 1e-4, 12, name="white")
    model = keras.Model(inputs, layer(inputs))
    model(images, training=True)
    model.save(tmp_path / "model.keras")

    loaded = keras.saving.load_model(tmp_path / "model.keras")

    assert loaded.get_layer("white").get_config() == layer.get_config()
    np.testing.assert_array_equal(loaded(images), model(images))
    assert isinstance(layer.moving_covariance_initializer, IdentityMatrices)


@pytest.mark.parametrize("arguments", [{"group_size": 0}, {"iterations": 0}])
def test_refuses(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        DecorrelatedBatchNormalization(**arguments)
