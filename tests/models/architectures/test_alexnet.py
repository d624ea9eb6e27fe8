"""AlexNet and its two later forms, against layer lists counted apart from this code."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import models

FIGURES = {  # side, parameters, MACs
    "alexnet": (227, 60_965_224, 724_406_816),
    "alexnet_ungrouped": (227, 62_378_344, 1_135_256_096),
    "alexnet_owt": (224, 61_100_840, 714_188_480),
}
DENSE = {
    "fc6": (37_752_832, 37_748_736),
    "fc7": (16_781_312, 16_777_216),
    "fc8": (4_097_000, 4_096_000),
}
LAYERS = {
    "alexnet": {
        "conv1": (34_944, 105_415_200),
        "conv2": (307_456, 223_948_800),
        "conv3": (885_120, 149_520_384),
        "conv4": (663_936, 112_140_288),
        "conv5": (442_624, 74_760_192),
    },
    "alexnet_ungrouped": {
        "conv1": (34_944, 105_415_200),
        "conv2": (614_656, 447_897_600),
        "conv3": (885_120, 149_520_384),
        "conv4": (1_327_488, 224_280_576),
        "conv5": (884_992, 149_520_384),
    },
    "alexnet_owt": {
        "conv1": (23_296, 70_276_800),
        "conv2": (307_392, 223_948_800),
        "conv3": (663_936, 112_140_288),
        "conv4": (884_992, 149_520_384),
        "conv5": (590_080, 99_680_256),
    },
}
SHAPES = {
    "alexnet": {"conv1": 96, "conv2": 256, "conv3": 384, "conv4": 384, "conv5": 256},
    "alexnet_ungrouped": {"conv1": 96, "conv2": 256, "conv3": 384, "conv4": 384, "conv5": 256},
    "alexnet_owt": {"conv1": 64, "conv2": 192, "conv3": 384, "conv4": 256, "conv5": 256},
}
SIDES = {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "conv3": 13, "conv4": 13, "conv5": 13}


@pytest.mark.parametrize("name", FIGURES)
def test_counts_layer_by_layer(name: str) -> None:
    side, params, macs = FIGURES[name]
    model = models.outline(name)

    cost = models.profile(model)

    assert model.input_shape == (None, side, side, 3)
    assert (cost.params, cost.params_total, cost.macs) == (params, params, macs)
    counted = {row.name: (row.params, row.macs) for row in cost.layers if row.macs}
    assert counted == {**LAYERS[name], **DENSE}


@pytest.mark.parametrize("name", FIGURES)
def test_maps(name: str) -> None:
    model = models.outline(name)

    for layer, side in SIDES.items():
        channels = SHAPES[name][layer.replace("pool", "conv")]
        assert model.get_layer(layer).output.shape[1:] == (side, side, channels), layer
    assert model.get_layer("pool5").output.shape[1:] == (6, 6, 256)


@pytest.mark.parametrize(
    ("name", "normalised", "dropped"),
    [
        ("alexnet", ["norm1", "norm2"], ["fc6", "drop6", "fc7", "drop7", "fc8"]),
        ("alexnet_ungrouped", ["norm1", "norm2"], ["fc6", "drop6", "fc7", "drop7", "fc8"]),
        ("alexnet_owt", [], ["drop6", "fc6", "drop7", "fc7", "fc8"]),
    ],
)
def test_normalisation_and_place_of_dropout(
    name: str, normalised: list[str], dropped: list[str]
) -> None:
    names = [layer.name for layer in models.outline(name).layers]

    assert [layer for layer in names if layer.startswith("norm")] == normalised
    assert names[-5:] == dropped


def test_only_the_paper_form_has_groups() -> None:
    groups = {
        name: [models.outline(name).get_layer(f"conv{i}").groups for i in range(1, 6)]
        for name in FIGURES
    }

    assert groups == {
        "alexnet": [1, 2, 1, 2, 2],
        "alexnet_ungrouped": [1, 1, 1, 1, 1],
        "alexnet_owt": [1, 1, 1, 1, 1],
    }


def test_one_weird_trick_starts_as_pytorch_does() -> None:
    keras.utils.set_random_seed(4)
    model = models.build("alexnet_owt", input_shape=(67, 67, 3), classes=3)

    for name, fan_in in (("conv1", 363), ("conv3", 1728), ("fc7", 4096)):
        layer = model.get_layer(name)
        kernel, bias = (keras.ops.convert_to_numpy(w) for w in (layer.kernel, layer.bias))
        assert np.abs(kernel).max() == pytest.approx(fan_in**-0.5, rel=1e-3)
        assert kernel.std() == pytest.approx((3 * fan_in) ** -0.5, rel=0.02)
        assert not bias.any()


def test_ungrouped_starts_as_the_paper_does() -> None:
    model = models.build("alexnet_ungrouped", input_shape=(67, 67, 3), classes=3)

    for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"):
        layer = model.get_layer(name)
        ones = name in ("conv2", "conv4", "conv5", "fc6", "fc7")
        assert set(keras.ops.convert_to_numpy(layer.bias)) == {float(ones)}


@pytest.mark.parametrize("name", FIGURES)
def test_width_and_batch_normalisation(name: str) -> None:
    model = models.outline(name, width=0.5, normalization="batch")

    assert model.get_layer("conv3").output.shape[-1] == 192
    assert model.get_layer("fc6").units == 2048
    assert sum(isinstance(x, keras.layers.BatchNormalization) for x in model.layers) == 5
    assert not [layer for layer in model.layers if layer.name in ("norm1", "norm2")]
