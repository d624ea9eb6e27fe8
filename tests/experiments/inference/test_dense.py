"""A classifier at any image size: equal to windows that slide, where it must be, and refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import models
from experiments.errors import BadInput
from experiments.inference import layerwise
from experiments.inference.dense import Dense, grouped, windows
from models.layers.normalizations import Normalise


def nested(name, shape, classes=4, **options):
    """As it is saved: the network inside a model of pixels, behind its Normalise layer."""
    network = models.build(name, input_shape=shape, classes=classes, **options)
    pixels = keras.Input(shape)
    normalise = Normalise()
    model = keras.Model(pixels, network(normalise(pixels)), name=name)
    normalise.mean.assign([100.0] * shape[-1])
    normalise.scale.assign([50.0] * shape[-1])
    return model


def images(count, *shape):
    pixels = np.random.default_rng(3).uniform(0, 255, (count, *shape))
    return pixels.astype(np.float32)


def test_dense_is_the_mean_of_sliding_windows_where_nothing_is_padded():
    """lenet5 has valid windows only and strides of 4 together: crops at every fourth pixel."""
    model = nested("lenet5", (20, 20, 1))
    larger = images(2, 28, 24, 1)
    assert Dense(model).window == (2, 2)
    slid = [np.asarray(model(larger[:, y : y + 20, x : x + 20])) for y in (0, 4, 8) for x in (0, 4)]
    np.testing.assert_allclose(Dense(model).logits(larger), np.mean(slid, axis=0), atol=1e-5)
    assert np.ptp(slid, axis=0).min() > 1e-4  # the windows do differ


def test_a_network_that_pools_globally_averages_class_scores_over_the_larger_map():
    model = nested("resnet20_cifar", (16, 16, 3), width=0.25)
    larger = images(2, 24, 32, 3)
    maps = []

    def watch(layer, arguments, keywords):
        if layer.name == "gap":
            maps.append(np.asarray(arguments[0]))
        return layer(*arguments, **keywords)

    layerwise.forward(model, [keras.ops.convert_to_tensor(larger)], watch)
    kernel, bias = (np.asarray(w) for w in model.layers[-1].get_layer("fc").get_weights())
    assert maps[0].shape[1:3] == (6, 8)
    scores = maps[0] @ kernel + bias  # at every position, as a 1x1 convolution
    np.testing.assert_allclose(Dense(model).logits(larger), scores.mean(axis=(1, 2)), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("lenet5", (16, 16, 1), {"normalization": "batch"}),
        ("vgg_a", (32, 32, 3), {"width": 0.03}),
        ("nin_cifar", (20, 20, 3), {"width": 0.1}),
        ("alexnet", (67, 67, 3), {"width": 0.05}),
    ],
)
def test_at_its_own_size_dense_is_the_network_itself_and_costs_the_same(name, shape, options):
    model, pixels = nested(name, shape, **options), images(2, *shape)
    dense = Dense(model)
    np.testing.assert_allclose(dense.logits(pixels), np.asarray(model(pixels)), atol=1e-5)
    assert dense.macs(*shape[:2]) == models.profile(model).macs


def test_the_cost_counts_the_classifier_at_every_window():
    """lenet5 on 20 x 20: 2 x 2 x 16 into 120, 84 and 4; on 28 x 24 at 3 x 2 windows."""
    model = nested("lenet5", (20, 20, 1))
    first, second = 24 * 20 * 6 * 25, 8 * 6 * 16 * 6 * 25
    classifier = 64 * 120 + 120 * 84 + 84 * 4
    assert Dense(model).macs(28, 24) == first + second + 6 * classifier


def test_windows_come_in_the_order_of_flatten():
    maps = np.arange(2 * 3 * 3 * 2, dtype=np.float32).reshape(2, 3, 3, 2)
    found = np.asarray(windows(keras.ops.convert_to_tensor(maps), 2, 2)).reshape(2, 2, 2, 8)
    np.testing.assert_array_equal(found[1, 1, 0], maps[1, 1:3, 0:2].ravel())


def test_groups_one_after_another_are_the_convolution():
    layer = keras.layers.Conv2D(6, 3, strides=2, padding="same", groups=2, activation="relu")
    pixels = images(1, 9, 8, 4)
    whole = np.asarray(layer(pixels))
    np.testing.assert_allclose(np.asarray(grouped(layer, pixels)), whole, rtol=1e-5, atol=1e-4)


def test_networks_without_maps_or_with_a_fixed_size_are_refused_by_name():
    with pytest.raises(BadInput, match=r"mlp has no convolutions before its layer flatten"):
        Dense(nested("mlp", (8, 8, 1)))
    pixels = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3)(pixels)
    x = keras.layers.Reshape((72,), name="fixed")(x)
    with pytest.raises(BadInput, match=r"layer fixed of stiff, a Reshape"):
        Dense(keras.Model(pixels, keras.layers.Dense(3)(x), name="stiff"))
