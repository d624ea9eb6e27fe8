"""Residual and plain networks: counts, stages, shortcuts, strides."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest
from outlines import counted

import models
from models.errors import InvalidOption

# Trainable parameters and MACs of one 224 x 224 (CIFAR: 32 x 32) image, from the layer lists.
COUNTS = [
    ("resnet18", {}, 11_689_512, 1_814_073_344),
    ("resnet18", {"shortcut": "A"}, 11_515_688, 1_794_805_760),
    ("resnet18", {"shortcut": "C"}, 12_043_816, 1_878_298_624),
    ("resnet34", {}, 21_797_672, 3_663_761_408),
    ("resnet34", {"shortcut": "A"}, 21_623_848, 3_644_493_824),
    ("resnet34", {"shortcut": "C"}, 22_716_840, 3_830_747_136),
    ("plain18", {}, 11_515_688, 1_794_805_760),
    ("plain34", {}, 21_623_848, 3_644_493_824),
    ("resnet50", {}, 25_557_032, 3_857_973_248),
    ("resnet101", {}, 44_549_160, 7_570_194_432),
    ("resnet152", {}, 60_192_808, 11_282_415_616),
    ("resnet50_v1_5", {}, 25_557_032, 4_089_184_256),
    ("resnet101_v1_5", {}, 44_549_160, 7_801_405_440),
    ("resnet152_v1_5", {}, 60_192_808, 11_513_626_624),
    ("resnet50_v2", {}, 25_568_360, 3_482_255_360),
    ("resnet101_v2", {}, 44_577_896, 7_194_476_544),
    ("resnet152_v2", {}, 60_236_904, 10_906_697_728),
    ("resnet50_v2", {"layout": "paper"}, 25_549_480, 4_089_184_256),
    ("resnet101_v2", {"layout": "paper"}, 44_541_608, 7_801_405_440),
    ("resnet152_v2", {"layout": "paper"}, 60_185_256, 11_513_626_624),
    ("resnet20_cifar", {}, 269_722, 40_551_040),
    ("resnet32_cifar", {}, 464_154, 68_862_592),
    ("resnet44_cifar", {}, 658_586, 97_174_144),
    ("resnet56_cifar", {}, 853_018, 125_485_696),
    ("resnet110_cifar", {}, 1_727_962, 252_887_680),
    ("resnet20_cifar", {"shortcut": "B"}, 272_474, 40_813_184),
    ("resnet32_cifar", {"shortcut": "B"}, 466_906, 69_124_736),
    ("resnet44_cifar", {"shortcut": "B"}, 661_338, 97_436_288),
    ("resnet56_cifar", {"shortcut": "B"}, 855_770, 125_747_840),
    ("resnet110_cifar", {"shortcut": "B"}, 1_730_714, 253_149_824),
    ("plain20_cifar", {}, 269_722, 40_551_040),
    ("plain56_cifar", {}, 853_018, 125_485_696),
]

# Keras's own totals, moving statistics included.
TOTALS = {
    "resnet50_v2": 25_613_800,
    "resnet101_v2": 44_675_560,
    "resnet152_v2": 60_380_648,
}

# Stage: (output shape, parameters, MACs).
STEM = {"conv1": ((112, 112, 64), 9_536, 118_013_952), "pool1": ((56, 56, 64), 0, 0)}
STAGES: dict[str, dict[str, tuple[tuple[int, ...], int, int]]] = {
    "resnet18": {
        **STEM,
        "conv2": ((56, 56, 64), 147_968, 462_422_016),
        "conv3": ((28, 28, 128), 525_568, 411_041_792),
        "conv4": ((14, 14, 256), 2_099_712, 411_041_792),
        "conv5": ((7, 7, 512), 8_393_728, 411_041_792),
        "fc": ((1000,), 513_000, 512_000),
    },
    "resnet34": {
        **STEM,
        "conv2": ((56, 56, 64), 221_952, 693_633_024),
        "conv3": ((28, 28, 128), 1_116_416, 873_463_808),
        "conv4": ((14, 14, 256), 6_822_400, 1_335_885_824),
        "conv5": ((7, 7, 512), 13_114_368, 642_252_800),
        "fc": ((1000,), 513_000, 512_000),
    },
    "plain34": {
        **STEM,
        "conv2": ((56, 56, 64), 221_952, 693_633_024),
        "conv3": ((28, 28, 128), 1_107_968, 867_041_280),
        "conv4": ((14, 14, 256), 6_789_120, 1_329_463_296),
        "conv5": ((7, 7, 512), 12_982_272, 635_830_272),
        "fc": ((1000,), 513_000, 512_000),
    },
    "resnet50": {
        **STEM,
        "conv2": ((56, 56, 256), 215_808, 667_942_912),
        "conv3": ((28, 28, 512), 1_219_584, 950_534_144),
        "conv4": ((14, 14, 1024), 7_098_368, 1_387_266_048),
        "conv5": ((7, 7, 2048), 14_964_736, 732_168_192),
        "fc": ((1000,), 2_049_000, 2_048_000),
    },
    "resnet101": {
        **STEM,
        "conv2": ((56, 56, 256), 215_808, 667_942_912),
        "conv3": ((28, 28, 512), 1_219_584, 950_534_144),
        "conv4": ((14, 14, 1024), 26_090_496, 5_099_487_232),
        "conv5": ((7, 7, 2048), 14_964_736, 732_168_192),
        "fc": ((1000,), 2_049_000, 2_048_000),
    },
    "resnet152": {
        **STEM,
        "conv2": ((56, 56, 256), 215_808, 667_942_912),
        "conv3": ((28, 28, 512), 2_339_840, 1_823_997_952),
        "conv4": ((14, 14, 1024), 40_613_888, 7_938_244_608),
        "conv5": ((7, 7, 2048), 14_964_736, 732_168_192),
        "fc": ((1000,), 2_049_000, 2_048_000),
    },
    # Stages end with their stride, hence half the sides.
    "resnet50_v2": {
        "conv1": ((112, 112, 64), 9_472, 118_013_952),
        "pool1": ((56, 56, 64), 0, 0),
        "conv2": ((28, 28, 256), 215_936, 542_703_616),
        "conv3": ((14, 14, 512), 1_220_608, 825_294_848),
        "conv4": ((7, 7, 1024), 7_102_464, 1_262_026_752),
        "conv5": ((7, 7, 2048), 14_966_784, 732_168_192),
        "post": ((7, 7, 2048), 4_096, 0),
        "fc": ((1000,), 2_049_000, 2_048_000),
    },
    "resnet152_v2": {
        "conv1": ((112, 112, 64), 9_472, 118_013_952),
        "pool1": ((56, 56, 64), 0, 0),
        "conv2": ((28, 28, 256), 215_936, 542_703_616),
        "conv3": ((14, 14, 512), 2_342_912, 1_698_758_656),
        "conv4": ((7, 7, 1024), 40_648_704, 7_813_005_312),
        "conv5": ((7, 7, 2048), 14_966_784, 732_168_192),
        "post": ((7, 7, 2048), 4_096, 0),
        "fc": ((1000,), 2_049_000, 2_048_000),
    },
    "resnet56_cifar": {
        "conv1": ((32, 32, 16), 464, 442_368),
        "conv2": ((32, 32, 16), 42_048, 42_467_328),
        "conv3": ((16, 16, 32), 162_432, 41_287_680),
        "conv4": ((8, 8, 64), 647_424, 41_287_680),
        "fc": ((10,), 650, 640),
    },
    "resnet110_cifar": {
        "conv1": ((32, 32, 16), 464, 442_368),
        "conv2": ((32, 32, 16), 84_096, 84_934_656),
        "conv3": ((16, 16, 32), 329_472, 83_755_008),
        "conv4": ((8, 8, 64), 1_313_280, 83_755_008),
        "fc": ((10,), 650, 640),
    },
}


@functools.cache
def _outline(name: str, **options: Any) -> keras.Model:
    return models.outline(name, **options)


@pytest.mark.parametrize(("name", "options", "params", "macs"), COUNTS)
def test_counts(name: str, options: dict[str, Any], params: int, macs: int) -> None:
    cost = counted(name, **options).cost

    assert (cost.params, cost.macs) == (params, macs)
    if name in TOTALS and not options:
        assert cost.params_total == TOTALS[name]


@pytest.mark.parametrize("name", STAGES)
def test_stages(name: str) -> None:
    """What stands in a table of the paper under conv1, conv2_x, ...: from the layers' names."""
    stages: dict[str, tuple[tuple[int, ...], int, int]] = {}
    for row in counted(name).cost.layers:
        stage = row.name.split("_")[0]
        _, params, macs = stages.get(stage, ((), 0, 0))
        stages[stage] = (row.output_shape, params + row.params, macs + row.macs)

    assert {stage: stages[stage] for stage in STAGES[name]} == STAGES[name]


def _strides(name: str, ending: str, **options: Any) -> dict[str, tuple[int, int]]:
    """The units whose convolution `ending` is strided, and by how much."""
    layers = _outline(name, **options).layers
    return {
        layer.name.removesuffix(ending): layer.strides
        for layer in layers
        if layer.name.endswith(ending) and layer.strides != (1, 1)
    }


def test_where_a_bottleneck_has_its_stride() -> None:
    """The parameters are the same, the accuracy is not."""
    first = {f"conv{stage}_block1": (2, 2) for stage in (3, 4, 5)}
    last = {"conv2_block3": (2, 2), "conv3_block4": (2, 2), "conv4_block6": (2, 2)}

    assert _strides("resnet50", "_1_conv") == first
    assert _strides("resnet50", "_2_conv") == {}
    assert _strides("resnet50_v1_5", "_1_conv") == {}
    assert _strides("resnet50_v1_5", "_2_conv") == first
    assert _strides("resnet50_v2", "_1_conv") == {}
    assert _strides("resnet50_v2", "_2_conv") == last
    assert _strides("resnet50_v2", "_2_conv", layout="paper") == first


@pytest.mark.parametrize(
    ("shortcut", "projected", "padded"), [("A", 0, 3), ("B", 3, 0), ("C", 8, 0)]
)
def test_shortcuts_of_resnet18(shortcut: str, projected: int, padded: int) -> None:
    names = [layer.name for layer in _outline("resnet18", shortcut=shortcut).layers]

    assert sum(name.endswith("_0_conv") for name in names) == projected
    assert sum(name.endswith("_shortcut") for name in names) == padded
    assert sum(name.endswith("_add") for name in names) == 8


def test_plain_networks_are_residual_ones_without_sums() -> None:
    """Same convolutions in the same places: the comparison of Figure 4."""

    def convolutions(name: str, **options: Any) -> list[tuple[str, Any, Any]]:
        layers = _outline(name, **options).layers
        kept = [layer for layer in layers if isinstance(layer, keras.layers.Conv2D)]
        return [(layer.name, layer.kernel.shape, layer.strides) for layer in kept]

    assert convolutions("plain34") == convolutions("resnet34", shortcut="A")
    assert convolutions("plain56_cifar") == convolutions("resnet56_cifar")
    for name in ("plain18", "plain34", "plain20_cifar", "plain56_cifar"):
        layers = _outline(name).layers
        assert not [layer for layer in layers if isinstance(layer, keras.layers.Add)]


def test_shortcuts_carry_their_input_unchanged() -> None:
    """With no residual, v2 units are the identity, those of v1 an activation that changes nothing.

    Signs are mixed in v2, where nothing acts after the sum.
    """
    images = np.random.default_rng(2).normal(size=(2, 16, 16, 3)).astype("float32")
    for name, last, before, after in (
        ("resnet18", "_2_bn", "conv2_block1_out", "conv2_block2_out"),
        ("resnet50_v2", "_3_conv", "conv2_block1_add", "conv2_block2_add"),
    ):
        model = models.build(name, input_shape=(16, 16, 3), classes=3)
        for layer in model.layers:
            if layer.name.endswith(last):
                for weight in layer.weights:
                    weight.assign(np.zeros(weight.shape))
        ends = keras.Model(model.input, [model.get_layer(end).output for end in (before, after)])

        early, late = (keras.ops.convert_to_numpy(y) for y in ends(images))

        np.testing.assert_array_equal(early, late)
        assert early.std() > 0
        assert (early.min() < 0) == (name == "resnet50_v2")


def test_first_pooling_pads_zeros_in_the_released_v2_alone() -> None:
    """Its input is not activated: a negative edge shows what the padding is worth."""
    images = np.zeros((1, 16, 16, 3), "float32")
    for name, expected in (("resnet50_v2", 0.0), ("resnet18", None)):
        model = models.build(name, input_shape=(16, 16, 3), classes=2, activation="leaky_relu")
        stem = model.get_layer("conv1_conv")
        if stem.use_bias:
            stem.bias.assign(np.full(64, -1.0))
        else:
            model.get_layer("conv1_bn").beta.assign(np.full(64, -1.0))
        pooled = keras.Model(model.input, model.get_layer("pool1").output)(images)
        corner, middle = np.asarray(pooled)[0, 0, 0, 0], np.asarray(pooled)[0, 1, 1, 0]
        assert middle < 0
        assert corner == (middle if expected is None else expected)


def test_normalisation_of_v2_comes_first_and_last() -> None:
    model = _outline("resnet50_v2")
    added = model.get_layer("conv3_block2_add")

    assert model.get_layer("conv3_block3_preact_bn").input is added.output
    assert model.get_layer("post_bn").input is model.get_layer("conv5_block3_add").output
    assert model.get_layer("gap").input is model.get_layer("post_act").output
    # Projections see the activated map, identities the one before.
    assert (
        model.get_layer("conv3_block1_0_conv").input
        is model.get_layer("conv3_block1_preact_act").output
    )


@pytest.mark.parametrize(
    ("name", "option", "value", "known"),
    [
        ("resnet18", "shortcut", "D", "A, B, C"),
        ("resnet56_cifar", "shortcut", "D", "A, B, C"),
        ("resnet50_v2", "layout", "keras", "released, paper"),
    ],
)
def test_options_are_checked(name: str, option: str, value: str, known: str) -> None:
    with pytest.raises(InvalidOption, match=f"{option} must be one of {known}. Received: "):
        models.outline(name, **{option: value})


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet50_v2", "plain18"])
def test_choices_reach_every_layer(name: str) -> None:
    model = models.outline(
        name,
        input_shape=(40, 33, 3),
        classes=5,
        width=0.3,
        normalization="group",
        activation="swish",
        pooling="average",
    )
    kinds = [type(layer).__name__ for layer in model.layers]
    functions = {getattr(layer, "activation", None) for layer in model.layers}

    assert model.output_shape == (None, 5)
    assert model.get_layer("conv1_conv").filters == 19
    assert model.get_layer("gap").output.shape[-1] == (614 if "50" in name else 154)
    assert "GroupNormalization" in kinds
    assert "BatchNormalization" not in kinds
    assert {function.__name__ for function in functions if function} == {"silu", "linear"}
    pool = model.get_layer("pool1")
    assert isinstance(pool, keras.layers.AveragePooling2D) or pool.mode == "average"
    # The subsampling of v2's shortcuts is no pooling: its windows are of one.
    assert kinds.count("MaxPooling2D") == (3 if name == "resnet50_v2" else 0)
