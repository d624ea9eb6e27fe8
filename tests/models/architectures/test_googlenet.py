"""GoogLeNet against its Table 1, counted apart from this code, and its options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from models.architectures.blocks import Blocks
from models.architectures.googlenet import Inception, module
from models.choices import PAPER
from models.cost import Profile, profile
from models.errors import InputTooSmall, InvalidOption
from models.registry import assemble

# Layer or module: output, trainable parameters with biases, multiply-accumulates.
STAGES = {
    "conv1": ((112, 112, 64), 9_472, 118_013_952),
    "pool1": ((56, 56, 64), 0, 0),
    "conv2": ((56, 56, 192), 114_944, 359_661_568),
    "pool2": ((28, 28, 192), 0, 0),
    "inception_3a": ((28, 28, 256), 163_696, 128_049_152),
    "inception_3b": ((28, 28, 480), 388_736, 304_267_264),
    "pool3": ((14, 14, 480), 0, 0),
    "inception_4a": ((14, 14, 512), 376_176, 73_608_192),
    "inception_4b": ((14, 14, 512), 449_160, 87_908_352),
    "inception_4c": ((14, 14, 512), 510_104, 99_850_240),
    "inception_4d": ((14, 14, 528), 605_376, 118_515_712),
    "inception_4e": ((14, 14, 832), 868_352, 169_996_288),
    "pool4": ((7, 7, 832), 0, 0),
    "inception_5a": ((7, 7, 832), 1_043_456, 51_079_168),
    "inception_5b": ((7, 7, 1024), 1_444_080, 70_697_984),
    "gap": ((1024,), 0, 0),
    "fc": ((1000,), 1_025_000, 1_024_000),
}
AUXILIARY = {
    "auxiliary_1": ((1000,), 3_188_840, 4_169_728),
    "auxiliary_2": ((1000,), 3_190_888, 4_202_496),
}


def _outline(side: int = 224, classes: int = 1000, **options: Any) -> keras.Model:
    shape = (side, side, 3)
    return assemble(
        "googlenet", "models.architectures.googlenet", shape, classes, options, draw_weights=False
    )


def _stage(cost: Profile, name: str) -> tuple[Any, int, int]:
    rows = [row for row in cost.layers if row.name == name or row.name.startswith(f"{name}_")]
    params, macs = sum(row.params for row in rows), sum(row.macs for row in rows)
    return rows[-1].output_shape, params, macs


def test_stages() -> None:
    cost = profile(_outline())

    assert {name: _stage(cost, name) for name in STAGES} == STAGES
    assert cost.params == cost.params_total == 6_998_552
    assert cost.macs == 1_582_671_872


def test_auxiliary_classifiers() -> None:
    model = _outline(auxiliary=True)
    cost = profile(model)

    assert {name: _stage(cost, name) for name in STAGES | AUXILIARY} == STAGES | AUXILIARY
    assert (cost.params, cost.macs) == (13_378_280, 1_591_044_096)
    assert set(model.output) == {"logits", "auxiliary_1", "auxiliary_2"}
    assert {tuple(logits.shape) for logits in model.output.values()} == {(None, 1000)}
    for name, on in (("auxiliary_1", "inception_4a"), ("auxiliary_2", "inception_4d")):
        assert model.get_layer(f"{name}_pool").input is model.get_layer(on).output
        assert model.get_layer(f"{name}_pool").output.shape[1:3] == (4, 4)
        assert model.get_layer(f"{name}_flatten").output.shape == (None, 2048)


def test_dropout() -> None:
    def rates(**options: Any) -> dict[str, float]:
        layers = _outline(auxiliary=True, **options).layers
        return {layer.name: layer.rate for layer in layers if hasattr(layer, "rate")}

    assert rates() == {"auxiliary_1_drop": 0.7, "auxiliary_2_drop": 0.7, "drop": 0.4}
    assert set(rates(dropout=0.1).values()) == {0.1}
    assert rates(dropout=0.0) == {}


@pytest.mark.parametrize(
    ("naive", "channels", "params", "macs"),
    [(True, 672, 1_089_952, 854_196_224), (False, 480, 346_720, 271_351_808)],
)
def test_one_module_of_the_lectures(naive: bool, channels: int, params: int, macs: int) -> None:
    images = keras.Input((28, 28, 256))
    row = Inception(128, 64, 192, 64, 96, 64)

    output = module(Blocks(PAPER), images, row, naive=naive, name="inception")

    cost = profile(keras.Model(images, output))
    assert output.shape == (None, 28, 28, channels)
    assert (cost.params, cost.macs) == (params, macs)


def test_naive_pool_passes_all_channels_on() -> None:
    images = keras.Input((5, 6, 7))
    row = Inception(1, 0, 2, 0, 3, 0)
    model = keras.Model(images, module(Blocks(PAPER), images, row, naive=True, name="inception"))
    x = np.random.default_rng(1).normal(size=(2, 5, 6, 7)).astype("float32")

    received = keras.ops.convert_to_numpy(model(x))[..., 6:]

    edged = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-np.inf)
    windows = [edged[:, i : i + 5, j : j + 6] for i in range(3) for j in range(3)]
    np.testing.assert_array_equal(received, np.max(windows, axis=0))


def test_naive_network_grows_with_every_module() -> None:
    model = _outline(inception="naive")

    received = [model.get_layer(f"inception_{n}").output.shape[-1] for n in ("3a", "3b", "4a")]

    assert received == [416, 832, 1280]  # 64 + 128 + 32 + 192; 128 + 192 + 96 + 416; ...
    assert (
        model.get_layer("inception_5b").output.shape[-1] == 192 + 4752
    )  # the input, and 1x1, 3x3, 5x5 of all nine
    assert not any("_reduce" in n.name for n in model.layers if n.name != "conv2_reduce")
    assert not any("proj" in layer.name for layer in model.layers)


def test_response_norm_has_caffes_constants() -> None:
    norms = [_outline().get_layer(name) for name in ("norm1", "norm2")]

    for norm in norms:
        config = norm.get_config()
        received = [config[key] for key in ("depth_radius", "bias", "alpha", "beta")]
        assert received == pytest.approx([2, 1.0, 2e-5, 0.75])
    assert norms[0].output.shape[1:3] == (56, 56)  # after pool1, before pool2
    assert norms[1].output.shape[1:3] == (56, 56)


def test_kernels_and_biases_are_drawn_as_bvlcs() -> None:
    keras.utils.set_random_seed(1)
    model = assemble("googlenet", "models.architectures.googlenet", (64, 64, 3), 5, {})

    layer = model.get_layer("inception_4e_3x3")  # fan-in 1440
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    limit = (3 / 1440) ** 0.5
    assert limit * 0.999 < np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx((1 / 1440) ** 0.5, rel=0.01)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer.bias), np.float32(0.2))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model.get_layer("fc").bias), 0.0)


@pytest.fixture
def half_precision() -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.usefixtures("half_precision")
def test_all_logits_are_float32() -> None:
    model = _outline(auxiliary=True)

    assert {logits.dtype for logits in model.output.values()} == {"float32"}
    assert model.get_layer("inception_5b").output.dtype == "bfloat16"


def test_smaller_images() -> None:
    smallest = _outline(31, classes=7)
    assert smallest.output_shape == (None, 7)
    with pytest.raises(ValueError, match="too small"):
        _outline(30)

    assert set(_outline(79, auxiliary=True).output) == {"logits", "auxiliary_1", "auxiliary_2"}
    with pytest.raises(InputTooSmall, match=r"5x5 or larger. Received: 4x4; .*auxiliary: false"):
        _outline(78, auxiliary=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"auxiliary": "yes"}, "auxiliary must be true or false. Received: 'yes'"),
        ({"inception": "bottleneck"}, "inception must be one of reduced, naive. Received: 'bot"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        _outline(**options)


def test_choices_act_on_modules_and_classifiers() -> None:
    half = _outline(width=0.5, normalization="batch", pooling="average", auxiliary=True)

    assert half.get_layer("inception_5b").output.shape[-1] == 512
    assert half.get_layer("auxiliary_2_fc").output.shape[-1] == 512
    assert half.output["auxiliary_2"].shape[-1] == 1000
    kinds = [type(layer).__name__ for layer in half.layers]
    assert kinds.count("BatchNormalization") == 59  # 57 convolutions, 2 in the classifiers
    assert "LocalResponseNormalization" not in kinds
    assert half.get_layer("inception_3a_pool").mode == "average"
