"""BN-Inception, Inception v2, v3 and v4 against layer lists counted apart from this code."""

from __future__ import annotations

import functools
import re
from typing import Any

import keras
import numpy as np
import pytest

from models.architectures.blocks import Blocks
from models.architectures.branches import AVERAGE, Conv, stems
from models.architectures.branches import module as inception_module
from models.choices import PAPER
from models.cost import LayerProfile, profile
from models.errors import InputTooSmall, InvalidOption
from models.registry import assemble
from models.weights.keras_applications import inception_v3_stems

MODULES = {
    "bn_inception": "models.architectures.bn_inception",
    "inception_v2": "models.architectures.inception",
    "inception_v3": "models.architectures.inception",
    "inception_v4": "models.architectures.inception_v4",
}

# Stage: output, trainable parameters, multiply-accumulates. Gammas, betas and biases included.
BN_INCEPTION = {
    "conv1": ((112, 112, 64), 9_600, 118_013_952),
    "pool1": ((56, 56, 64), 0, 0),
    "conv2": ((56, 56, 192), 115_456, 359_661_568),
    "pool2": ((28, 28, 192), 0, 0),
    "inception_3a": ((28, 28, 256), 219_552, 170_999_808),
    "inception_3b": ((28, 28, 320), 260_704, 203_112_448),
    "inception_3c": ((14, 14, 576), 385_632, 143_904_768),
    "inception_4a": ((14, 14, 576), 610_848, 119_218_176),
    "inception_4b": ((14, 14, 576), 666_240, 130_056_192),
    "inception_4c": ((14, 14, 608), 915_456, 178_827_264),
    "inception_4d": ((14, 14, 608), 1_144_000, 223_584_256),
    "inception_4e": ((7, 7, 1056), 1_451_008, 164_577_280),
    "inception_5a": ((7, 7, 1024), 2_210_496, 108_079_104),
    "inception_5b": ((7, 7, 1024), 2_281_248, 111_541_248),
    "fc": ((1000,), 1_025_000, 1_024_000),
}
V3_TOP = {
    "mixed_5c": ((35, 35, 288), 277_472, 338_688_000),
    "mixed_5d": ((35, 35, 288), 285_152, 348_096_000),
    "mixed_6a": ((17, 17, 768), 1_153_280, 401_937_408),
    "mixed_6b": ((17, 17, 768), 1_297_408, 374_063_104),
    "mixed_6c": ((17, 17, 768), 1_691_008, 487_702_528),
    "mixed_6d": ((17, 17, 768), 1_691_008, 487_702_528),
    "mixed_6e": ((17, 17, 768), 2_141_952, 617_914_368),
    "mixed_7a": ((8, 8, 1280), 1_698_304, 291_004_416),
    "mixed_7b": ((8, 8, 2048), 5_044_608, 322_437_120),
    "mixed_7c": ((8, 8, 2048), 6_076_800, 388_497_408),
    "fc": ((1000,), 2_049_000, 2_048_000),
}
INCEPTION_V2 = {
    "stem": ((35, 35, 288), 711_872, 1_627_898_976),
    "mixed_5b": ((35, 35, 288), 285_152, 348_096_000),
    **V3_TOP,
    "mixed_5c": ((35, 35, 288), 285_152, 348_096_000),
}
INCEPTION_V3 = {
    "stem": ((35, 35, 192), 172_672, 1_340_779_616),
    "mixed_5b": ((35, 35, 256), 255_904, 312_345_600),
    **V3_TOP,
}
INCEPTION_V4 = {
    "stem": ((35, 35, 384), 605_728, 2_289_943_648),
    **{f"mixed_5{n}": ((35, 35, 384), 317_632, 387_609_600) for n in "bcde"},
    "mixed_6a": ((17, 17, 1024), 2_306_112, 1_097_164_800),
    **{f"mixed_6{n}": ((17, 17, 1024), 2_936_256, 847_264_768) for n in "bcdefgh"},
    "mixed_7a": ((8, 8, 1536), 2_747_392, 511_098_880),
    **{f"mixed_7{n}": ((8, 8, 1536), 4_553_088, 290_979_840) for n in "bcd"},
    "fc": ((1000,), 1_537_000, 1_536_000),
}


@functools.lru_cache(None, typed=True)  # auxiliary: 1 is refused, True is not
def _outline(name: str, shape: tuple[int, ...], classes: int = 1000, **options: Any) -> keras.Model:
    height, width = shape
    return assemble(
        name, MODULES[name], (height, width, 3), classes, options, draw_weights=False
    )  # fmt: skip


def _stages(layers: list[LayerProfile], stages: dict[str, Any]) -> dict[str, Any]:
    """Rows summed by the stage that begins their name; what begins none is the stem."""
    received: dict[str, Any] = dict.fromkeys(stages, (None, 0, 0))
    for row in layers:
        if row.name in ("images", "gap", "drop") or row.name.startswith("auxiliary"):
            continue
        name = next((stage for stage in stages if re.match(rf"{stage}(_|$)", row.name)), "stem")
        _, params, macs = received[name]
        received[name] = (row.output_shape, params + row.params, macs + row.macs)
    return received


@pytest.mark.parametrize(
    ("name", "side", "stages", "params", "macs"),
    [
        ("bn_inception", 224, BN_INCEPTION, 11_295_240, 2_032_600_064),
        ("inception_v2", 299, INCEPTION_V2, 24_410_696, 6_045_493_856),
        ("inception_v3", 299, INCEPTION_V3, 23_834_568, 5_713_216_096),
        ("inception_v4", 299, INCEPTION_V4, 42_679_816, 12_253_974_624),
    ],
)
def test_stages(name: str, side: int, stages: dict[str, Any], params: int, macs: int) -> None:
    cost = profile(_outline(name, (side, side)))

    assert _stages(cost.layers, stages) == stages
    assert (cost.params, cost.macs) == (params, macs)


@pytest.mark.parametrize(
    ("name", "maps"),
    [
        (
            "inception_v2",
            {"conv2d_1a_3x3_conv": (149, 32), "conv2d_2a_3x3_conv": (147, 32),
             "conv2d_2b_3x3_conv": (147, 64), "pool1": (73, 64), "conv2d_3b_3x3_conv": (71, 80),
             "conv2d_4a_3x3_conv": (35, 192), "conv2d_4b_3x3_conv": (35, 288)},
        ),
        (
            "inception_v3",
            {"conv2d_1a_3x3_conv": (149, 32), "conv2d_2a_3x3_conv": (147, 32),
             "conv2d_2b_3x3_conv": (147, 64), "pool1": (73, 64), "conv2d_3b_1x1_conv": (73, 80),
             "conv2d_4a_3x3_conv": (71, 192), "pool2": (35, 192)},
        ),
        (
            "inception_v4",
            {"conv2d_1a_3x3_conv": (149, 32), "conv2d_2a_3x3_conv": (147, 32),
             "conv2d_2b_3x3_conv": (147, 64), "mixed_3a": (73, 160), "mixed_4a": (71, 192),
             "mixed_5a": (35, 384)},
        ),
    ],
)  # fmt: skip
def test_stem_as_in_the_figures(name: str, maps: dict[str, tuple[int, int]]) -> None:
    model = _outline(name, (299, 299))

    for layer, (side, channels) in maps.items():
        assert model.get_layer(layer).output.shape == (None, side, side, channels), layer


def test_auxiliary_classifier_of_v3() -> None:
    model = _outline("inception_v3", (299, 299), auxiliary=True)
    cost = profile(model)

    rows = [row for row in cost.layers if row.name.startswith("auxiliary_1")]
    assert sum(row.params for row in rows) == 3_326_696
    assert sum(row.macs for row in rows) == 5_683_200
    assert cost.params == 27_161_264
    assert _stages(cost.layers, INCEPTION_V3) == INCEPTION_V3
    assert set(model.output) == {"logits", "auxiliary_1"}
    assert {(v.shape, v.dtype) for v in model.output.values()} == {((None, 1000), "float32")}
    assert model.get_layer("auxiliary_1_pool").input is model.get_layer("mixed_6e").output
    assert model.get_layer("auxiliary_1_conv0_conv").output.shape == (None, 5, 5, 128)
    assert model.get_layer("auxiliary_1_conv1_conv").output.shape == (None, 1, 1, 768)


def test_larger_images_keep_the_auxiliary_classifiers_weights() -> None:
    model = _outline("inception_v3", (400, 350), auxiliary=True)

    assert profile(model).params == 27_161_264


def test_auxiliary_classifier_needs_its_map() -> None:
    with pytest.raises(
        InputTooSmall, match=r"17x17 or larger. Received: 12x17; .*auxiliary: false"
    ):
        _outline("inception_v3", (224, 299), auxiliary=True)
    with pytest.raises(InvalidOption, match=r"auxiliary must be true or false. Received: 1"):
        _outline("inception_v3", (299, 299), auxiliary=1)


@pytest.mark.parametrize(
    ("name", "smallest"),
    [("bn_inception", 7), ("inception_v2", 75), ("inception_v3", 75), ("inception_v4", 75)],
)
def test_smaller_images(name: str, smallest: int) -> None:
    assert _outline(name, (smallest, smallest), classes=7).output_shape == (None, 7)
    with pytest.raises(ValueError, match=r"small|negative"):
        _outline(name, (smallest - 1, smallest - 1))


@pytest.mark.parametrize("side", [33, 47, 64, 65, 97, 223, 225])
def test_branches_of_bn_inception_meet_at_any_size(side: int) -> None:
    """From maps of odd sides, too, where rounding up makes one window less than padding."""
    model = _outline("bn_inception", (side, 100), classes=7)

    assert model.output_shape == (None, 7)


def test_reductions_of_bn_inception_pool_as_caffe_does() -> None:
    model = _outline("bn_inception", (224, 224))

    for name in ("inception_3c_pool", "inception_4e_pool"):
        pool = model.get_layer(name)
        assert (pool.mode, pool.padding, pool.ceil) == ("max", 0, True)
    modes = {n: model.get_layer(f"inception_{n}_pool").mode for n in ("3a", "4d", "5a", "5b")}
    assert modes == {"3a": "average", "4d": "average", "5a": "average", "5b": "max"}


@pytest.mark.parametrize(
    ("name", "count", "epsilon", "biased"),
    [
        ("bn_inception", 69, 1e-5, True),
        ("inception_v2", 95, 1e-3, False),
        ("inception_v3", 94, 1e-3, False),
        ("inception_v4", 149, 1e-3, False),
    ],
)
def test_every_convolution_is_normalised(
    name: str, count: int, epsilon: float, biased: bool
) -> None:
    layers = _outline(name, (107, 107)).layers
    norms = [n for n in layers if isinstance(n, keras.layers.BatchNormalization)]
    convolutions = [n for n in layers if isinstance(n, keras.layers.Conv2D)]

    assert len(norms) == len(convolutions) == count
    assert {norm.epsilon for norm in norms} == {epsilon}
    assert {norm.scale for norm in norms} == {True}
    assert {convolution.use_bias for convolution in convolutions} == {biased}


@pytest.mark.parametrize("name", ["inception_v2", "inception_v3", "inception_v4"])
def test_dropout(name: str) -> None:
    assert _outline(name, (107, 107)).get_layer("drop").rate == 0.2
    assert _outline(name, (107, 107), dropout=0.5).get_layer("drop").rate == 0.5


def test_v3_is_listed_in_the_order_of_keras() -> None:
    reference = keras.applications.InceptionV3(weights=None, input_shape=(75, 75, 3))
    numbered = [
        (int(layer.name.removeprefix("conv2d").removeprefix("_") or 0), layer.kernel.shape)
        for layer in reference.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    ours = _outline("inception_v3", (75, 75))

    stems = inception_v3_stems()

    received = [tuple(ours.get_layer(f"{stem}_conv").kernel.shape) for stem in stems]
    assert received == [tuple(shape) for _, shape in sorted(numbered)]
    convolutions = {n.name for n in ours.layers if isinstance(n, keras.layers.Conv2D)}
    assert {f"{stem}_conv" for stem in stems} == convolutions
    assert all(ours.get_layer(f"{stem}_bn") for stem in stems)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("mixed_4a_branch1_1", (1, 7, 64, 64)),
        ("mixed_4a_branch1_2", (7, 1, 64, 64)),
        ("mixed_5e_branch3_1", (1, 1, 384, 96)),
        ("mixed_6b_branch1_1", (1, 7, 192, 224)),
        ("mixed_6h_branch2_1", (7, 1, 192, 192)),
        ("mixed_6h_branch2_4", (1, 7, 224, 256)),
        ("mixed_7a_branch1_1", (1, 7, 256, 256)),
        ("mixed_7b_branch1_1a", (1, 3, 384, 256)),
        ("mixed_7d_branch2_1", (3, 1, 384, 448)),
        ("mixed_7d_branch2_3b", (3, 1, 512, 256)),
    ],
)
def test_one_sided_windows_of_v4_as_released(layer: str, shape: tuple[int, ...]) -> None:
    kernel = _outline("inception_v4", (107, 107)).get_layer(f"{layer}_conv").kernel

    assert tuple(kernel.shape) == shape


def test_branches_stand_in_the_order_of_their_table() -> None:
    for name, module in (("inception_v3", "mixed_7c"), ("inception_v4", "mixed_7d")):
        concat = _outline(name, (107, 107)).get_layer(module)

        received = [tensor._keras_history.operation.name for tensor in concat.input]

        assert received == [
            f"{module}_{branch}_act"
            for branch in {
                "inception_v3": ("branch1x1", "branch3x3_2a", "branch3x3_2b", "branch3x3dbl_3a",
                                 "branch3x3dbl_3b", "branch_pool"),
                "inception_v4": ("branch0", "branch1_1a", "branch1_1b", "branch2_3a",
                                 "branch2_3b", "branch3_1"),
            }[name]
        ]  # fmt: skip


def test_a_branch_numbers_its_convolutions_and_not_its_pool() -> None:
    branches = {"branch": (AVERAGE, Conv(4), Conv(4, 3)), "other": (Conv(2, 3),)}
    images = keras.Input((8, 8, 3))

    model = keras.Model(images, inception_module(Blocks(PAPER), images, branches, name="mixed"))

    convolutions = [n.name for n in model.layers if isinstance(n, keras.layers.Conv2D)]
    expected = ["mixed_branch_1", "mixed_branch_2", "mixed_other"]
    assert sorted(convolutions) == [f"{stem}_conv" for stem in expected]
    assert stems(branches, name="mixed") == expected


def test_average_pooling_leaves_the_padding_out() -> None:
    """As Keras does: torchvision's zeros would lower the corners to 4/9."""
    pool = _outline("inception_v3", (107, 107)).get_layer("mixed_5b_pool")

    received = keras.ops.convert_to_numpy(pool(np.ones((1, 10, 10, 192), "float32")))

    np.testing.assert_allclose(received, 1.0, rtol=1e-6)


@pytest.mark.parametrize("name", list(MODULES))
def test_choices_act_on_every_layer(name: str) -> None:
    model = _outline(name, (107, 107), width=0.5, activation="elu", normalization="none")

    kinds = {type(layer).__name__ for layer in model.layers}
    assert "BatchNormalization" not in kinds
    convolutions = [n for n in model.layers if isinstance(n, keras.layers.Conv2D)]
    assert {n.activation.__name__ for n in convolutions} == {"elu"}
    assert all(n.use_bias for n in convolutions)
    full = _outline(name, (107, 107))
    assert model.get_layer("gap").output.shape[-1] * 2 == full.get_layer("gap").output.shape[-1]
