"""Inception-ResNet v1 and v2: counts, stages, the scaled sum."""

from __future__ import annotations

import functools
import inspect

import keras
import numpy as np
import pytest
from outlines import counted

import models
from models.architectures import inception_resnet
from models.errors import InvalidOption

# Trainable parameters and MACs of one 299 x 299 image, from the layer lists.
COUNTS = [
    ("inception_resnet_v1", "paper", 22_756_328, 6_206_361_696),
    ("inception_resnet_v1", "released", 24_357_096, 6_308_597_856),
    ("inception_resnet_v2", "released", 55_843_464, 13_155_794_016),
    ("inception_resnet_v2", "paper", 32_433_928, 9_257_953_632),
]
DEFAULT = {"inception_resnet_v1": "paper", "inception_resnet_v2": "released"}

# Stage: (output shape, parameters, MACs).
STAGES: dict[str, dict[str, tuple[tuple[int, ...], int, int]]] = {
    "inception_resnet_v1": {
        "stem": ((35, 35, 256), 615_552, 1_882_680_416),
        "block35": ((35, 35, 256), 387_200, 470_400_000),
        "mixed_6a": ((17, 17, 896), 1_710_080, 850_169_856),
        "block17": ((17, 17, 896), 6_900_480, 1_988_689_920),
        "mixed_7a": ((8, 8, 1792), 3_346_176, 501_448_704),
        "block8": ((8, 8, 1792), 8_003_840, 511_180_800),
        "fc": ((1000,), 1_793_000, 1_792_000),
    },
    "inception_resnet_v2": {
        "stem": ((35, 35, 192), 172_672, 1_340_779_616),
        "mixed_5b": ((35, 35, 320), 268_320, 327_398_400),
        "block35": ((35, 35, 320), 1_231_680, 1_499_008_000),
        "mixed_6a": ((17, 17, 1088), 2_664_960, 1_398_185_984),
        "block17": ((17, 17, 1088), 22_535_680, 6_498_754_560),
        "mixed_7a": ((8, 8, 2080), 3_880_960, 585_424_896),
        "block8": ((8, 8, 2080), 20_354_240, 1_300_234_240),
        "conv2d_7b": ((8, 8, 1536), 3_197_952, 204_472_320),
        "fc": ((1000,), 1_537_000, 1_536_000),
    },
}
UNITS = {
    ("inception_resnet_v1", "paper"): (5, 10, 5),
    ("inception_resnet_v1", "released"): (5, 10, 6),
    ("inception_resnet_v2", "released"): (10, 20, 10),
    ("inception_resnet_v2", "paper"): (5, 10, 5),
}


@functools.cache
def _outline(name: str, layout: str) -> keras.Model:
    return models.outline(name, layout=layout)


@pytest.mark.parametrize(("name", "layout", "params", "macs"), COUNTS)
def test_counts(name: str, layout: str, params: int, macs: int) -> None:
    cost = counted(name, layout=layout).cost

    assert (cost.params, cost.macs) == (params, macs)


def test_layouts_by_default() -> None:
    assert {row[:2] for row in COUNTS} >= set(DEFAULT.items())
    for name, layout in DEFAULT.items():
        network = getattr(inception_resnet, name)
        assert inspect.signature(network).parameters["layout"].default == layout


def _stage(layer: str) -> str:
    first, *rest = layer.split("_")
    if first in ("conv2d", "pool1", "pool2") and rest[:1] != ["7b"]:
        return "stem"
    return f"{first}_{rest[0]}" if first in ("mixed", "conv2d") else first


@pytest.mark.parametrize("name", STAGES)
def test_stages(name: str) -> None:
    found: dict[str, tuple[tuple[int, ...], int, int]] = {}
    for row in counted(name, layout=DEFAULT[name]).cost.layers:
        _, params, macs = found.get(_stage(row.name), ((), 0, 0))
        found[_stage(row.name)] = (row.output_shape, params + row.params, macs + row.macs)

    assert {stage: found[stage] for stage in STAGES[name]} == STAGES[name]


def test_widths_of_the_papers_v2() -> None:
    """Its figures print 1154 and 2048; the concatenations before them are 1152 and 2144 wide."""
    layers = {row.name: row for row in counted("inception_resnet_v2", layout="paper").cost.layers}

    assert layers["mixed_3a"].output_shape == (73, 73, 160)
    assert layers["mixed_4a"].output_shape == (71, 71, 192)
    assert layers["mixed_5a"].output_shape == (35, 35, 384)
    assert layers["mixed_6a"].output_shape == (17, 17, 1152)
    assert layers["mixed_7a"].output_shape == (8, 8, 2144)
    assert layers["gap"].output_shape == (2144,)


@pytest.mark.parametrize(("name", "layout"), UNITS)
def test_units_and_their_scales(name: str, layout: str) -> None:
    model = _outline(name, layout)
    names = [layer.name for layer in model.layers]
    for kind, scale, count in zip(
        ("block35", "block17", "block8"), (0.17, 0.10, 0.20), UNITS[name, layout], strict=True
    ):
        linear = layout == "released" and kind == "block8"  # the last unit: not scaled, no relu
        kept = range(1, count + (0 if linear else 1))
        assert sum(n.startswith(f"{kind}_") and n.endswith("_add") for n in names) == count
        scales = [model.get_layer(f"{kind}_{number}_scale").scale for number in kept]
        assert scales == [scale] * len(kept)
        assert (f"{kind}_{count}_scale" not in names) == linear
        assert (f"{kind}_{count}_out" not in names) == linear


def test_a_unit_adds_its_scaled_branches() -> None:
    """out = relu(x + 0.17 * expansion), and the expansion is linear: no normalisation after it."""
    model = models.build("inception_resnet_v1", input_shape=(75, 75, 3), classes=2)
    images = np.random.default_rng(3).normal(size=(1, 75, 75, 3)).astype("float32")
    names = ("block35_1_out", "block35_2_conv", "block35_2_out")
    outputs = [model.get_layer(name).output for name in names]

    before, expansion, after = (
        keras.ops.convert_to_numpy(y) for y in keras.Model(model.input, outputs)(images)
    )

    np.testing.assert_allclose(after, np.maximum(before + 0.17 * expansion, 0), atol=1e-6)
    assert expansion.min() < 0 < expansion.max()
    assert "block35_2_bn" not in {layer.name for layer in model.layers}


def test_dropout_of_the_paper_before_the_last_layer() -> None:
    for name in STAGES:
        model = _outline(name, DEFAULT[name])
        assert model.get_layer("drop").rate == 0.2  # keep 0.8, section 3
        assert model.get_layer("fc").input is model.get_layer("drop").output


def test_layout_is_checked() -> None:
    with pytest.raises(InvalidOption, match=r"one of released, paper\. Received: 'k'"):
        models.outline("inception_resnet_v2", layout="k")


@pytest.mark.parametrize("name", STAGES)
def test_choices_reach_every_layer(name: str) -> None:
    model = models.outline(
        name,
        input_shape=(80, 99, 3),
        classes=5,
        width=0.5,
        normalization="group",
        activation="elu",
        pooling="average",
    )
    kinds = {type(layer).__name__ for layer in model.layers}
    activations = {
        layer.activation.__name__ for layer in model.layers if hasattr(layer, "activation")
    }

    assert model.output_shape == (None, 5)
    assert "GroupNormalization" in kinds
    assert not kinds & {"BatchNormalization", "MaxPooling2D"}
    assert activations == {"elu", "linear"}
    assert model.get_layer("conv2d_1a_3x3_conv").filters == 16
    # The expansion follows the width of what it is added to.
    assert model.get_layer("block8_1_conv").filters == model.get_layer("mixed_7a").output.shape[-1]
