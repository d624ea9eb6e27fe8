"""ZFNet, against Figure 3 of its paper and a layer list counted apart from this code."""

from __future__ import annotations

from typing import Any

import keras
import pytest

import models

DENSE = {
    "fc6": (37_752_832, 37_748_736),
    "fc7": (16_781_312, 16_777_216),
    "fc8": (4_097_000, 4_096_000),
}


def test_counts_layer_by_layer() -> None:
    cost = models.profile(models.outline("zfnet"))

    assert (cost.params, cost.params_total, cost.macs) == (62_357_608, 62_357_608, 1_168_032_896)
    assert {row.name: (row.params, row.macs) for row in cost.layers if row.macs} == {
        "conv1": (14_208, 170_755_200),
        "conv2": (614_656, 415_334_400),
        "conv3": (885_120, 149_520_384),
        "conv4": (1_327_488, 224_280_576),
        "conv5": (884_992, 149_520_384),
        **DENSE,
    }


def test_maps_of_figure_3() -> None:
    model = models.outline("zfnet")

    shapes = {
        "conv1": (110, 110, 96),
        "pool1": (55, 55, 96),
        "conv2": (26, 26, 256),
        "pool2": (13, 13, 256),
        "conv3": (13, 13, 384),
        "conv4": (13, 13, 384),
        "conv5": (13, 13, 256),
        "pool5": (6, 6, 256),
        "fc6": (4096,),
        "fc8": (1000,),
    }
    assert {name: model.get_layer(name).output.shape[1:] for name in shapes} == shapes


def test_wide_is_the_second_network_of_table_2() -> None:
    cost = models.profile(models.outline("zfnet", wide=True))

    assert (cost.params, cost.macs) == (107_627_624, 2_476_704_896)


# conv1 to conv5 have 3,726,464; then 9,216 h + h, h h + h and 1,000 h + 1,000 of h units.
@pytest.mark.parametrize(("units", "params"), [(2048, 28_848_232), (8192, 154_542_184)])
def test_dense_layers_of_table_3(units: int, params: int) -> None:
    assert params == 3_726_464 + (9_216 + 1 + units + 1 + 1_000) * units + 1_000

    model = models.outline("zfnet", hidden=[units, units])

    assert models.profile(model).params == params
    assert model.get_layer("fc7").output.shape == (None, units)


@pytest.mark.parametrize("value", [1, "true", None])
def test_wide_must_be_a_flag(value: Any) -> None:
    with pytest.raises(models.InvalidOption, match="wide must be true or false"):
        models.outline("zfnet", wide=value)


def test_pools_before_it_normalises() -> None:
    names = [layer.name for layer in models.outline("zfnet").layers]

    assert [n for n in names if n.startswith(("pool", "norm"))] == [
        "pool1", "norm1", "pool2", "norm2", "pool5",
    ]  # fmt: skip
    assert names[-5:] == ["fc6", "drop6", "fc7", "drop7", "fc8"]


def test_starts_small_with_zero_biases() -> None:
    keras.utils.set_random_seed(4)
    model = models.build("zfnet", input_shape=(64, 64, 3), classes=3)

    for name in ("conv1", "conv5", "fc7"):
        layer = model.get_layer(name)
        assert keras.ops.convert_to_numpy(layer.kernel).std() == pytest.approx(0.01, rel=0.02)
        assert not keras.ops.convert_to_numpy(layer.bias).any()
