"""The lectures' networks: their sizes, their worked example, and autoencoders."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import models
from models.errors import InvalidOption
from pipelines.sources.open import open_source

# Lecture 8, "Backward propagation of CNN" (6/8): the fully connected layer of the direction net,
# one row a class (none, vertical, horizontal, diagonal), before and after one update with eta 0.5.
POOLED = np.array([0.06, 0.76, 0.00, 0.00])
TARGET = 1  # vertical
OLD_WEIGHTS = np.array([
    [-0.78, 0.41, 0.15, -0.27],
    [0.69, 0.58, -0.42, -0.88],
    [0.04, -0.34, -0.47, 0.89],
    [0.22, 0.83, 0.78, 0.31],
])  # fmt: skip
OLD_BIASES = np.array([-0.05, -0.02, -0.01, -0.04])
PREDICTION = [0.23, 0.29, 0.14, 0.34]
DELTA = [0.23, -0.71, 0.14, 0.34]
NEW_WEIGHTS = np.array([
    [-0.79, 0.32, 0.15, -0.27],
    [0.71, 0.85, -0.42, -0.88],
    [0.04, -0.39, -0.47, 0.89],
    [0.21, 0.70, 0.78, 0.31],
])  # fmt: skip
NEW_BIASES = [-0.16, 0.33, -0.08, -0.21]
ETA = 0.5


def _example() -> tuple[Any, np.ndarray, np.ndarray]:
    """The direction net with the slide's last layer, and an image that pools to the slide's z.

    The slide's filter is in a lost figure: ours passes its centre on.
    """
    model = models.build("direction")
    filter_ = np.zeros((3, 3, 1, 1))
    filter_[1, 1] = 1
    model.get_layer("conv").set_weights([filter_, np.zeros(1)])
    model.get_layer("output").set_weights([OLD_WEIGHTS.T, OLD_BIASES])
    image = np.zeros((1, 4, 4, 1), "float32")
    image[0, 1, 0], image[0, 0, 3], image[0, 3, 3] = POOLED[0], POOLED[1], -0.5
    return model, image, np.array([TARGET])


def _printed(values: Any) -> np.ndarray:
    """To the two decimals of the slides."""
    return np.asarray(values, "float64").round(2)


def _compiled(model: Any) -> Any:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(ETA), loss)
    return model


def test_worked_example_forward() -> None:
    model, image, _ = _example()
    pooled = keras.Model(model.input, model.get_layer("flatten").output)(image)

    probabilities = np.array(keras.ops.softmax(model(image)))[0]

    np.testing.assert_allclose(pooled[0], POOLED, atol=1e-7)
    np.testing.assert_array_equal(_printed(probabilities), PREDICTION)


def test_worked_example_delta() -> None:
    """The gradient at the logits, p - t; it is that of the biases."""
    import tensorflow as tf

    model, image, label = _example()
    biases = model.get_layer("output").bias.value
    with tf.GradientTape() as tape:
        tape.watch(biases)
        logits = model(image)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(label, logits)

    at_logits, at_biases = tape.gradient(loss, [logits, biases])

    np.testing.assert_array_equal(_printed(at_logits)[0], DELTA)
    np.testing.assert_allclose(at_biases, np.array(at_logits)[0], rtol=1e-6)


def test_worked_example_update() -> None:
    """One step of Keras's train step: all 16 weights and 4 biases of the slide."""
    model, image, label = _example()

    loss = _compiled(model).train_on_batch(image, label)

    kernel, biases = model.get_layer("output").get_weights()
    np.testing.assert_array_equal(_printed(kernel).T, NEW_WEIGHTS)
    np.testing.assert_array_equal(_printed(biases), NEW_BIASES)
    assert loss == pytest.approx(1.2285, abs=1e-4)
    # The filter's update, by hand: W_old^T delta = (-0.5864, -0.0845, ...) where z is above 0.
    centre = 1 + ETA * (0.06 * 0.5864 + 0.76 * 0.0845)
    filter_, bias = model.get_layer("conv").get_weights()
    assert filter_[1, 1, 0, 0] == pytest.approx(centre, abs=1e-4)
    assert bias[0] == pytest.approx(ETA * (0.5864 + 0.0845), abs=1e-4)


def test_worked_example_loss_after_the_update_of_the_last_layer_alone() -> None:
    """Worked out by hand from the slide: 0.7533, or 0.7548 with the weights as it prints them."""
    model, image, label = _example()
    model.get_layer("conv").trainable = False
    _compiled(model).train_on_batch(image, label)

    assert model.evaluate(image, label, verbose=0) == pytest.approx(0.7533, abs=1e-4)

    model.get_layer("output").set_weights([NEW_WEIGHTS.T, np.array(NEW_BIASES)])
    printed = np.array(keras.ops.softmax(model(image)))[0]
    np.testing.assert_allclose(printed, [0.176, 0.470, 0.117, 0.237], atol=5e-4)
    assert model.evaluate(image, label, verbose=0) == pytest.approx(0.7548, abs=1e-4)


def test_direction_learns_its_task_better_than_a_linear_classifier() -> None:
    source = open_source("directions:examples=1200")
    assert source.array is not None
    images = (source.array / 255.0 - 0.3) / 0.25
    keras.utils.set_random_seed(1)
    model = models.build("direction")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
    model.fit(images[:900], source.labels[:900], batch_size=32, epochs=15, verbose=0)
    assert model.evaluate(images[900:], source.labels[900:], verbose=0)[1] > 0.7


@pytest.mark.parametrize(
    ("name", "params", "macs", "code"),
    [
        ("direction", 30, 160, None),
        ("mlp", 79_510, 79_400, None),
        ("autoencoder_undercomplete", 2_633, 169_344, ("encode2_conv", (7, 7, 8))),
        ("autoencoder_overcomplete", 37_569, 29_352_960, ("encode2_conv", (28, 28, 64))),
    ],
)
def test_counts(name: str, params: int, macs: int, code: Any) -> None:
    cost = models.profile(models.outline(name))

    assert (cost.params, cost.params_total, cost.macs) == (params, params, macs)
    if code:
        assert code in {(row.name, row.output_shape) for row in cost.layers}
        assert cost.layers[-1].output_shape == (28, 28, 1)


def test_codes_are_smaller_and_larger_than_the_image() -> None:
    assert 7 * 7 * 8 < 28 * 28 < 28 * 28 * 64  # what the two names promise, at test_counts' sizes
    fields = {
        name: {row.name: row for row in models.profile(models.outline(name)).layers}
        for name in ("autoencoder_undercomplete", "autoencoder_overcomplete")
    }
    under, over = fields.values()
    names = ("encode1_conv", "encode2_conv", "decode1_conv", "decode2_conv")
    seen = [(under[name].receptive_field, under[name].jump) for name in names]
    assert seen == [(3, 2), (7, 4), (11, 2), (13, 1)]
    seen = [(over[name].receptive_field, over[name].jump) for name in names]
    assert seen == [(3, 1), (5, 1), (7, 1), (9, 1)]


@pytest.mark.parametrize("name", ["autoencoder_undercomplete", "autoencoder_overcomplete"])
@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 8, 1), (29, 30, 3), (5, 7, 2), (1, 1, 1)])
def test_reconstructions_have_the_size_of_their_images(
    name: str, shape: tuple[int, int, int]
) -> None:
    model = models.build(name, input_shape=shape)
    images = np.random.default_rng(1).uniform(size=(2, *shape)).astype("float32")

    received = model(images)

    assert received.shape == images.shape
    assert received.dtype == "float32"
    assert 0 < float(keras.ops.min(received)) < float(keras.ops.max(received)) < 1 or shape == (
        1, 1, 1
    )  # fmt: skip


def test_decoder_puts_positions_where_the_encoder_took_them() -> None:
    """With filters that pass their centre on, what is at 0, 4, 8, ... comes back there."""
    model = models.build("autoencoder_undercomplete", input_shape=(13, 16, 1))
    for layer in model.layers:
        if layer.weights:
            kernel = np.zeros(layer.kernel.shape)
            kernel[1, 1, 0, 0] = 1
            layer.set_weights([kernel, np.zeros(layer.bias.shape)])
    images = np.random.default_rng(1).uniform(0.5, 1, (1, 13, 16, 1)).astype("float32")

    linear = keras.Model(model.input, model.get_layer("decode2_crop").output)
    received = np.array(linear(images))

    np.testing.assert_allclose(received[:, ::4, ::4], images[:, ::4, ::4], rtol=1e-6)
    assert (received != 0).sum() == 4 * 4


@pytest.mark.parametrize("name", ["autoencoder_undercomplete", "autoencoder_overcomplete"])
def test_autoencoders_learn_to_reconstruct(name: str) -> None:
    keras.utils.set_random_seed(1)
    source = open_source("digits")
    assert source.array is not None
    images = source.array[:256] / 255.0
    model = models.build(name, input_shape=(8, 8, 1))
    model.compile(keras.optimizers.Adam(0.01), "mse")

    model.fit(images, images, batch_size=32, epochs=8, verbose=0)

    assert model.evaluate(images, images, verbose=0) < 0.6 * images.var()


def test_noise_is_for_training_only() -> None:
    model = models.build("autoencoder_overcomplete", input_shape=(8, 8, 1), noise=0.5)
    images = np.full((1, 8, 8, 1), 0.5, "float32")

    first, second = (np.array(model(images, training=True)) for _ in range(2))

    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(model(images), model(images))
    none = models.build("autoencoder_overcomplete", input_shape=(8, 8, 1), noise=0)
    assert "noise" not in [layer.name for layer in none.layers]
    assert model.get_layer("noise").stddev == 0.5


@pytest.mark.parametrize("noise", [-0.1, "some", True])
def test_noise_that_is_refused(noise: Any) -> None:
    with pytest.raises(InvalidOption, match="noise must be a number above 0"):
        models.outline("autoencoder_overcomplete", noise=noise)


def test_choices_act_on_transposed_convolutions() -> None:
    name = "autoencoder_undercomplete"
    model = models.build(name, width=0.5, max_norm=0.1, normalization="batch", activation="elu")
    layer = model.get_layer("decode1_conv")

    assert layer.kernel.shape == (3, 3, 8, 4)
    bounded = np.array(layer.kernel_constraint(np.ones(layer.kernel.shape, "float32")))
    np.testing.assert_allclose((bounded**2).sum(axis=(0, 1, 3)) ** 0.5, 0.1, rtol=1e-4)
    assert not layer.use_bias
    names = [layer.name for layer in model.layers]
    assert {"decode1_bn", "decode1_act"} <= set(names)
    assert not {"decode2_bn", "decode2_act"} & set(names)
    assert model.output_shape == (None, 28, 28, 1)
