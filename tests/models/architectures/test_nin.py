"""Network in Network, against layer lists of the authors' released networks."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import models

FIGURES = {
    "nin_cifar": (966_986, 222_486_528),
    "nin": (7_595_176, 1_100_188_800),
}
STAGES = {
    "nin_cifar": {
        "mlpconv1": (60_928, 61_931_520),
        "mlpconv2": (535_104, 136_839_168),
        "mlpconv3": (370_954, 23_715_840),
    },
    "nin": {
        "mlpconv1": (53_568, 155_364_480),
        "mlpconv2": (746_240, 543_449_088),
        "mlpconv3": (1_180_800, 199_360_512),
        "mlpconv4": (5_614_568, 202_014_720),
    },
}
SHAPES = {
    "nin_cifar": {
        "mlpconv1_3_conv": (32, 32, 96),
        "pool1": (16, 16, 96),
        "mlpconv2_3_conv": (16, 16, 192),
        "pool2": (8, 8, 192),
        "mlpconv3_3_conv": (8, 8, 10),
        "gap": (10,),
    },
    "nin": {
        "mlpconv1_3_conv": (54, 54, 96),
        "pool1": (27, 27, 96),
        "mlpconv2_3_conv": (27, 27, 256),
        "pool2": (13, 13, 256),
        "mlpconv3_3_conv": (13, 13, 384),
        "pool3": (6, 6, 384),
        "mlpconv4_2_conv": (6, 6, 1024),
        "mlpconv4_3_conv": (6, 6, 1000),
        "gap": (1000,),
    },
}


@pytest.mark.parametrize("name", FIGURES)
def test_counts_by_stage(name: str) -> None:
    cost = models.profile(models.outline(name))

    assert (cost.params, cost.macs) == FIGURES[name]
    stages = {
        stage: (
            sum(row.params for row in cost.layers if row.name.startswith(stage)),
            sum(row.macs for row in cost.layers if row.name.startswith(stage)),
        )
        for stage in STAGES[name]
    }
    assert stages == STAGES[name]


@pytest.mark.parametrize("name", FIGURES)
def test_maps(name: str) -> None:
    model = models.outline(name)

    shapes = SHAPES[name]
    assert {layer: model.get_layer(layer).output.shape[1:] for layer in shapes} == shapes


@pytest.mark.parametrize(
    ("name", "dropped", "modes"),
    [
        ("nin_cifar", ["drop1", "drop2"], ["max", "average"]),
        ("nin", ["drop3"], ["max", "max", "max"]),
    ],
)
def test_poolings_and_dropout(name: str, dropped: list[str], modes: list[str]) -> None:
    found = models.outline(name).layers

    assert [x.name for x in found if isinstance(x, keras.layers.Dropout)] == dropped
    assert [x.mode for x in found if x.name.startswith("pool")] == modes


def test_kernels_of_the_imagenet_network_start_as_released() -> None:
    keras.utils.set_random_seed(4)
    model = models.build("nin", input_shape=(64, 64, 3), classes=7)

    small = {"mlpconv1_1_conv", "mlpconv3_1_conv", "mlpconv4_3_conv"}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            expected = 0.01 if layer.name in small else 0.05
            spread = keras.ops.convert_to_numpy(layer.kernel).std()
            assert spread == pytest.approx(expected, rel=0.05), layer.name


@pytest.mark.parametrize("name", FIGURES)
def test_final_relu_is_an_option(name: str) -> None:
    images = np.random.default_rng(7).normal(size=(4, 64, 64, 3)).astype("float32") * 100
    linear = models.build(name, input_shape=(64, 64, 3), classes=7)
    rectified = models.build(name, input_shape=(64, 64, 3), classes=7, final_relu=True)
    rectified.set_weights(linear.get_weights())
    maps = keras.Model(linear.input, linear.get_layer("gap").input)

    expected = np.maximum(keras.ops.convert_to_numpy(maps(images)), 0).mean(axis=(1, 2))

    logits = keras.ops.convert_to_numpy(linear(images))
    assert logits.min() < 0
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(rectified(images)),
        expected,
        rtol=1e-4,
        atol=1e-5 * np.abs(logits).max(),
    )
