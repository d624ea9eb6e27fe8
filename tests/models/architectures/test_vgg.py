"""VGG, against Table 1 of its paper and the lectures' memory table of VGG-16."""

from __future__ import annotations

import keras
import pytest

import models

FIGURES = {  # parameters, MACs, kernel sides by stage
    "vgg_a": (132_863_336, 7_609_090_048, "3 3 33 33 33"),
    "vgg_a_lrn": (132_863_336, 7_609_090_048, "3 3 33 33 33"),
    "vgg_b": (133_047_848, 11_308_466_176, "33 33 33 33 33"),
    "vgg_c": (133_638_952, 11_770_888_192, "33 33 331 331 331"),
    "vgg16": (138_357_544, 15_470_264_320, "33 33 333 333 333"),
    "vgg19": (143_667_240, 19_632_062_464, "33 33 3333 3333 3333"),
}

# Parameters and MACs of every kind of row there is, by name.
ROWS = {
    "conv1_1": (1_792, 86_704_128),
    "conv1_2": (36_928, 1_849_688_064),
    "conv2_1": (73_856, 924_844_032),
    "conv2_2": (147_584, 1_849_688_064),
    "conv3_1": (295_168, 924_844_032),
    "conv3_2": (590_080, 1_849_688_064),
    "conv3_3": (590_080, 1_849_688_064),
    "conv3_4": (590_080, 1_849_688_064),
    "conv4_1": (1_180_160, 924_844_032),
    "conv4_2": (2_359_808, 1_849_688_064),
    "conv4_3": (2_359_808, 1_849_688_064),
    "conv4_4": (2_359_808, 1_849_688_064),
    "conv5_1": (2_359_808, 462_422_016),
    "conv5_2": (2_359_808, 462_422_016),
    "conv5_3": (2_359_808, 462_422_016),
    "conv5_4": (2_359_808, 462_422_016),
    "fc6": (102_764_544, 102_760_448),
    "fc7": (16_781_312, 16_777_216),
    "fc8": (4_097_000, 4_096_000),
}
POINTWISE = {
    "conv3_3": (65_792, 205_520_896),
    "conv4_3": (262_656, 205_520_896),
    "conv5_3": (262_656, 51_380_224),
}

# The lectures' table of VGG-16: values in memory, one image.
MEMORY = {
    "images": 150_528,
    "conv1_1": 3_211_264, "conv1_2": 3_211_264, "pool1": 802_816,
    "conv2_1": 1_605_632, "conv2_2": 1_605_632, "pool2": 401_408,
    "conv3_1": 802_816, "conv3_2": 802_816, "conv3_3": 802_816, "pool3": 200_704,
    "conv4_1": 401_408, "conv4_2": 401_408, "conv4_3": 401_408, "pool4": 100_352,
    "conv5_1": 100_352, "conv5_2": 100_352, "conv5_3": 100_352, "pool5": 25_088,
    "fc6": 4_096, "fc7": 4_096, "fc8": 1_000,
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_counts_layer_by_layer(name: str) -> None:
    params, macs, stages = FIGURES[name]
    cost = models.profile(models.outline(name))

    assert (cost.params, cost.params_total, cost.macs) == (params, params, macs)
    expected = {
        f"conv{stage}_{number}": POINTWISE[f"conv{stage}_{number}"]
        if kernel == "1"
        else ROWS[f"conv{stage}_{number}"]
        for stage, kernels in enumerate(stages.split(), start=1)
        for number, kernel in enumerate(kernels, start=1)
    }
    counted = {row.name: (row.params, row.macs) for row in cost.layers if row.macs}
    assert counted == {**expected, **{name: ROWS[name] for name in ("fc6", "fc7", "fc8")}}


def test_memory_of_vgg16() -> None:
    rows = models.profile(models.outline("vgg16")).layers

    values = {
        row.name: row.activation_bytes // 4
        for row in rows
        if row.kind not in ("Flatten", "Dropout")  # the same values once more
    }
    assert values == MEMORY
    assert sum(values.values()) == 15_237_608


def test_stage_shapes_of_vgg19() -> None:
    model = models.outline("vgg19")

    shapes = {
        "conv1_2": (224, 224, 64),
        "pool1": (112, 112, 64),
        "pool2": (56, 56, 128),
        "conv3_4": (56, 56, 256),
        "pool3": (28, 28, 256),
        "pool4": (14, 14, 512),
        "conv5_4": (14, 14, 512),
        "pool5": (7, 7, 512),
        "flatten": (25_088,),
        "fc8": (1000,),
    }
    assert {name: model.get_layer(name).output.shape[1:] for name in shapes} == shapes


def test_response_normalisation_in_one_only() -> None:
    kinds = {
        name: [layer.name for layer in models.outline(name).layers if layer.name == "norm1"]
        for name in FIGURES
    }
    names = [layer.name for layer in models.outline("vgg_a_lrn").layers]

    assert {name for name, found in kinds.items() if found} == {"vgg_a_lrn"}
    assert names[1:4] == ["conv1_1", "norm1", "pool1"]


def test_response_normalisation_has_the_constants_of_alexnet() -> None:
    norm = models.outline("vgg_a_lrn").get_layer("norm1")

    assert (norm.depth_radius, norm.bias, norm.alpha, norm.beta) == (2, 2.0, 1e-4, 0.75)


@pytest.mark.parametrize(
    ("hidden", "params"),
    [
        ([], 14_714_688 + 5_130),
        ([64], 14_714_688 + 32_832 + 650),
        ((64, 32, 16), 14_714_688 + 32_832 + 2_080 + 528 + 170),
    ],
)
def test_hidden_layers(hidden: list[int], params: int) -> None:
    model = models.outline("vgg16", input_shape=(32, 32, 3), classes=10, hidden=hidden)

    assert models.profile(model).params == params
    dense = [x.name for x in model.layers if isinstance(x, keras.layers.Dense)]
    assert dense == [f"fc{number}" for number in range(6, 7 + len(hidden))]
    dropped = [x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)]
    assert dropped == [0.5] * len(hidden)


@pytest.mark.parametrize("hidden", [64, [0], ["64"], "64"])
def test_hidden_layers_must_be_counts(hidden: object) -> None:
    with pytest.raises(models.InvalidOption, match="hidden must be a list of positive integers"):
        models.outline("vgg16", hidden=hidden)


def test_with_batch_normalisation() -> None:
    """138,365,992 in torchvision's vgg16_bn, which keeps 4,224 biases that do nothing."""
    cost = models.profile(models.outline("vgg16", normalization="batch"))

    assert cost.params == 138_365_992 - 4_224
    assert cost.params_total - cost.params == 2 * 4_224


@pytest.mark.parametrize("name", FIGURES)
def test_smallest_image_is_32(name: str) -> None:
    model = models.outline(name, input_shape=(32, 32, 3), classes=10)

    assert model.get_layer("pool5").output.shape[1:] == (1, 1, 512)
    with pytest.raises(models.InputTooSmall):
        models.outline(name, input_shape=(31, 32, 3))
