"""Counting: conventions, graphs of every form, and what profile refuses to guess."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import models
from models.layers.normalizations import Normalise


def _model(*stack: Any, shape: tuple[int, ...] = (16, 16, 4)) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *stack])


@pytest.mark.parametrize(
    ("layer", "params", "macs"),
    [
        (layers.Conv2D(8, 3), 8 * (9 * 4 + 1), 14 * 14 * 9 * 4 * 8),
        (layers.Conv2D(8, 3, strides=2, padding="same"), 8 * (9 * 4 + 1), 8 * 8 * 9 * 4 * 8),
        (layers.Conv2D(8, 3, groups=2), 8 * (9 * 2 + 1), 14 * 14 * 9 * 2 * 8),
        (layers.Conv2D(8, 3, dilation_rate=2), 8 * (9 * 4 + 1), 12 * 12 * 9 * 4 * 8),
        (layers.Conv2D(8, (1, 7), use_bias=False), 7 * 4 * 8, 16 * 10 * 7 * 4 * 8),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), 8 * (9 + 1), 14 * 14 * 9 * 8),
        (layers.SeparableConv2D(6, 3), 36 + 4 * 6 + 6, 14 * 14 * (36 + 4 * 6)),
        # transposed: every weight works once a position of the input
        (layers.Conv2DTranspose(8, 3), 8 * 9 * 4 + 8, 16 * 16 * 9 * 4 * 8),
        (layers.Dense(5), 4 * 5 + 5, 16 * 16 * 4 * 5),  # on the last axis, at every position
        (layers.BatchNormalization(), 8, 0),
        (layers.PReLU(), 16 * 16 * 4, 0),
        (layers.MaxPooling2D(2), 0, 0),
    ],
)
def test_layer_counts(layer: Any, params: int, macs: int) -> None:
    cost = models.profile(_model(layer))

    assert (cost.params, cost.macs) == (params, macs)
    assert cost.layers[-1].kind == type(layer).__name__


def test_totals_are_the_sums_of_the_rows() -> None:
    cost = models.profile(models.outline("resnet20_cifar"))

    assert cost.params == sum(row.params for row in cost.layers)
    assert cost.macs == sum(row.macs for row in cost.layers)
    assert cost.activation_bytes == sum(row.activation_bytes for row in cost.layers)


def test_activation_bytes_are_float32_and_include_the_input() -> None:
    cost = models.profile(models.outline("mlp"))

    assert [row.activation_bytes for row in cost.layers] == [3136, 0, 400, 40]
    assert cost.activation_bytes == 4 * (784 + 100 + 10)


def test_counts_do_not_depend_on_the_dtype_policy() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = models.profile(models.outline("lenet5"))
    finally:
        keras.config.set_dtype_policy(before)

    assert half == models.profile(models.outline("lenet5"))


def test_freezing_changes_nothing() -> None:
    model = models.build("resnet20_cifar", input_shape=(8, 8, 3))
    free = models.profile(model)
    model.get_layer("conv1_bn").trainable = False
    partly = models.profile(model)
    model.trainable = False

    assert models.profile(model) == partly == free
    assert free.params == 269_722


def test_statistics_and_seeds_are_not_parameters() -> None:
    cost = models.profile(_model(Normalise(), layers.BatchNormalization(), layers.Dropout(0.5)))

    assert (cost.params, cost.params_total, cost.macs) == (8, 8 + 8 + 8, 0)


def test_receptive_field_of_lenet5() -> None:
    rows = {row.name: row for row in models.profile(models.outline("lenet5")).layers}

    fields = {name: (rows[name].receptive_field, rows[name].jump) for name in rows}
    assert fields["images"] == (1, 1)
    assert fields["c1"] == (5, 1)
    assert fields["s2"] == (6, 2)
    assert fields["c3"] == (14, 2)
    assert fields["s4"] == (16, 4)
    assert fields["c5"] == (32, 4)  # all of the image


def test_receptive_field_of_alexnet() -> None:
    rows = {row.name: row for row in models.profile(models.outline("alexnet")).layers}

    names = ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")
    fields = [(rows[name].receptive_field, rows[name].jump) for name in names]
    assert fields == [
        (11, 4), (19, 8), (51, 8), (67, 16), (99, 16), (131, 16), (163, 16), (195, 32)
    ]  # fmt: skip


def test_receptive_field_through_shortcuts_is_that_of_the_longer_path() -> None:
    rows = {row.name: row for row in models.profile(models.outline("resnet20_cifar")).layers}

    names = ("conv1_conv", "conv2_block3_out", "conv3_block1_shortcut", "conv3_block1_out")
    fields = [(rows[name].receptive_field, rows[name].jump) for name in names]
    # 3 + 6 layers of 3x3; the shortcut only skips positions; 15 + 2 + 2 * 2
    assert fields == [(3, 1), (15, 1), (15, 2), (21, 2)]


def test_receptive_field_of_dilated_and_oblong_windows() -> None:
    cost = models.profile(
        _model(layers.Conv2D(2, 3, dilation_rate=2), layers.Conv2D(2, (1, 7)), layers.Conv2D(2, 3))
    )

    assert [row.receptive_field for row in cost.layers[-3:]] == [5, 11, 13]


@pytest.mark.parametrize(
    ("layer", "field", "macs"),
    [
        (layers.UpSampling2D(2), 5, 0),  # repeats what it saw
        (layers.UpSampling2D(2, interpolation="bilinear"), 5 + 4, 0),
        (layers.Conv2DTranspose(5, 2, strides=2, padding="same"), 5, 4 * 4 * 4 * 4 * 5),
        (layers.Conv2DTranspose(5, 3, strides=2, padding="same"), 5 + 4, 4 * 4 * 9 * 4 * 5),
        (layers.Conv2DTranspose(5, 4, strides=2), 5 + 4, 4 * 4 * 16 * 4 * 5),
        (layers.Conv2DTranspose(5, 5, strides=2), 5 + 8, 4 * 4 * 25 * 4 * 5),
        (layers.Conv2DTranspose(5, 3), 5 + 8, 4 * 4 * 9 * 4 * 5),
    ],
)
def test_enlarging_layers(layer: Any, field: int, macs: int) -> None:
    """Behind windows of 5 pixels every 4: the rule, and the pixels that gradients reach."""
    stem = (layers.Conv2D(4, 3, strides=2, padding="same"), layers.Conv2D(4, 2, strides=2))
    model = _model(*stem, layer, shape=(16, 16, 1))

    row = models.profile(model).layers[-1]

    assert (row.receptive_field, row.macs) == (field, macs)
    assert row.jump == (4 if getattr(layer, "strides", None) == (1, 1) else 2)
    assert _widest_reach(model) == field


def _widest_reach(model: keras.Model) -> int:
    """The most rows of the image that one output of a linear network depends on."""
    import tensorflow as tf

    for weight in model.weights:
        weight.assign(np.ones(weight.shape))  # nothing cancels
    images = tf.Variable(np.ones((1, *model.input_shape[1:]), "float32"))
    reaches = []
    for position in range(model.output_shape[1]):
        with tf.GradientTape() as tape:
            out = model(images)[0, position, 4, 0]
        rows = np.flatnonzero(np.asarray(tape.gradient(out, images))[0].any(axis=(1, 2)))
        reaches.append(int(rows[-1] - rows[0] + 1))
    return max(reaches)


def test_branches_join_at_the_larger_field() -> None:
    images = keras.Input((16, 16, 3))
    branches = [layers.Conv2D(4, size, padding="same")(images) for size in (1, 3, 5)]
    model = keras.Model(images, layers.Concatenate(name="join")(branches))

    cost = models.profile(model)

    assert cost.layers[-1].receptive_field == 5
    assert cost.layers[-1].output_shape == (16, 16, 12)
    assert cost.macs == 16 * 16 * 3 * 4 * (1 + 9 + 25)


def test_wrapped_network_costs_what_it_costs_bare() -> None:
    bare = models.build("lenet5")
    images = keras.Input((32, 32, 1), dtype="uint8", name="pixels")
    wrapped = models.profile(keras.Model(images, bare(Normalise(name="normalise")(images))))
    cost = models.profile(bare)

    assert (wrapped.params, wrapped.macs) == (cost.params, cost.macs)
    assert wrapped.params_total == cost.params_total + 2  # mean and scale
    assert wrapped.activation_bytes == cost.activation_bytes + 4 * 32 * 32
    assert [row.name for row in wrapped.layers[:3]] == ["pixels", "normalise", "lenet5/c1"]
    assert wrapped.layers[-1].receptive_field == cost.layers[-1].receptive_field
    # calling a network from another model leaves its own graph as it was
    assert models.profile(bare) == cost


def test_layer_applied_twice_works_twice_but_has_its_weights_once() -> None:
    images = keras.Input((8, 8, 4))
    shared = layers.Conv2D(4, 3, padding="same", use_bias=False)

    cost = models.profile(keras.Model(images, shared(shared(images))))

    assert cost.params == 9 * 4 * 4
    assert cost.macs == 2 * 8 * 8 * 9 * 4 * 4
    assert [row.receptive_field for row in cost.layers] == [1, 3, 5]


def test_a_layer_may_bring_its_own_rule() -> None:
    class Outer(layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.kernel = self.add_weight(name="kernel", shape=(4, 4))

        def call(self, inputs: Any) -> Any:
            return inputs @ self.kernel

        def count_macs(self, before: tuple[int, ...], after: tuple[int, ...]) -> int:
            return before[0] * before[1] * 16

    assert models.profile(_model(Outer())).macs == 16 * 16 * 16


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            lambda: _model(layers.EinsumDense("abcd,de->abce", (16, 16, 5))),
            "no MAC rule for Einsum",
        ),
        (lambda: _model(layers.TimeDistributed(layers.Dense(2))), "no MAC rule for TimeDistrib"),
        (lambda: _model(layers.UpSampling2D(2)), "whole pixels apart"),
        (
            lambda: _model(layers.Conv2D(2, 3, strides=2), layers.Conv2DTranspose(2, 3, strides=3)),
            "positions 2 apart by 3",
        ),
        (
            lambda: _model(layers.MaxPooling2D(2), layers.UpSampling2D(2, interpolation="bicubic")),
            "repeats or is bilinear",
        ),
        (lambda: _model(layers.Resizing(8, 8)), "resized by any ratio"),
        (lambda: _model(layers.ReLU(), shape=(None, None, 3)), "fixed input shape"),
        (lambda: keras.Sequential([layers.Dense(2)], name="open"), "functional model"),
    ],
)
def test_refuses_what_it_cannot_count(model: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        models.profile(model())


def test_refuses_products_outside_layers() -> None:
    images = keras.Input((4, 4))
    model = keras.Model(images, keras.ops.matmul(images, images))

    with pytest.raises(ValueError, match="no MAC rule for Matmul"):
        models.profile(model)
