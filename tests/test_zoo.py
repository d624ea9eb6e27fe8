"""Every registered network, against the figures of its paper and what all networks promise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import models

# Trainable parameters, all parameters, MACs, at the card's input and classes: from the layer lists
# of the papers, counted apart from this code.
FIGURES = {
    "lenet5": ((32, 32, 1), 10, 61_706, 61_706, 416_520),
    "alexnet": ((227, 227, 3), 1000, 60_965_224, 60_965_224, 724_406_816),
    "nin_cifar": ((32, 32, 3), 10, 966_986, 966_986, 222_486_528),
    "resnet20_cifar": ((32, 32, 3), 10, 269_722, 271_098, 40_551_040),
    "plain20_cifar": ((32, 32, 3), 10, 269_722, 271_098, 40_551_040),
    "mlp": ((28, 28, 1), 10, 79_510, 79_510, 79_400),
}
# One size that no card has: oblong, three classes, two channels; small, to be quick.
SIZES = {"alexnet": (67, 71, 2), "lenet5": (17, 20, 2)}
NAMES = models.list_models()


def _images(shape: tuple[int, ...], batch: int = 2) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(batch, *shape)).astype("float32")


def _array(tensor: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


@pytest.fixture(scope="module")
def built() -> dict[str, keras.Model]:
    """Every network once, at a small oblong size with three classes."""
    keras.utils.set_random_seed(1)
    return {
        name: models.build(name, input_shape=SIZES.get(name, (10, 13, 2)), classes=3)
        for name in NAMES
    }


@pytest.fixture
def policy() -> Iterator[None]:
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("name", NAMES)
def test_counts(name: str) -> None:
    shape, classes, params, params_total, macs = FIGURES[name]

    model = models.outline(name)
    cost = models.profile(model)

    assert model.name == name
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, classes)
    assert (cost.params, cost.params_total, cost.macs) == (params, params_total, macs)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        (
            "lenet5",
            {"c1": (28, 28, 6), "s2": (14, 14, 6), "c3": (10, 10, 16), "s4": (5, 5, 16),
             "flatten": (400,), "c5": (120,), "f6": (84,), "output": (10,)},
        ),
        (
            "alexnet",
            {"conv1": (55, 55, 96), "norm1": (55, 55, 96), "pool1": (27, 27, 96),
             "conv2": (27, 27, 256), "norm2": (27, 27, 256), "pool2": (13, 13, 256),
             "conv3": (13, 13, 384), "conv4": (13, 13, 384), "conv5": (13, 13, 256),
             "pool5": (6, 6, 256), "fc6": (4096,), "fc7": (4096,), "fc8": (1000,)},
        ),
        (
            "nin_cifar",
            {"mlpconv1_1_conv": (32, 32, 192), "mlpconv1_2_conv": (32, 32, 160),
             "mlpconv1_3_conv": (32, 32, 96), "pool1": (16, 16, 96),
             "mlpconv2_3_conv": (16, 16, 192), "pool2": (8, 8, 192),
             "mlpconv3_1_conv": (8, 8, 192), "mlpconv3_3_conv": (8, 8, 10), "gap": (10,)},
        ),
        (
            "resnet20_cifar",
            {"conv1_conv": (32, 32, 16), "conv2_block3_out": (32, 32, 16),
             "conv3_block1_1_conv": (16, 16, 32), "conv3_block3_out": (16, 16, 32),
             "conv4_block3_out": (8, 8, 64), "gap": (64,), "fc": (10,)},
        ),
    ],
)  # fmt: skip
def test_stage_shapes(name: str, layers: dict[str, tuple[int, ...]]) -> None:
    model = models.outline(name)

    assert {layer: model.get_layer(layer).output.shape[1:] for layer in layers} == layers


def test_alexnet_layer_by_layer() -> None:
    rows = {row.name: row for row in models.profile(models.outline("alexnet")).layers}

    # params, MACs of the two-GPU network: conv2, conv4 and conv5 see half of the maps before them
    expected = {
        "conv1": (34_944, 105_415_200),
        "conv2": (307_456, 223_948_800),
        "conv3": (885_120, 149_520_384),
        "conv4": (663_936, 112_140_288),
        "conv5": (442_624, 74_760_192),
        "fc6": (37_752_832, 37_748_736),
        "fc7": (16_781_312, 16_777_216),
        "fc8": (4_097_000, 4_096_000),
    }
    counted = {name: (row.params, row.macs) for name, row in rows.items() if row.macs}
    assert counted == expected


def test_resnet20_stages() -> None:
    rows = models.profile(models.outline("resnet20_cifar")).layers

    stages = {
        prefix: (
            sum(row.params for row in rows if row.name.startswith(prefix)),
            sum(row.macs for row in rows if row.name.startswith(prefix)),
        )
        for prefix in ("conv1", "conv2", "conv3", "conv4", "fc")
    }
    assert stages == {
        "conv1": (464, 442_368),
        "conv2": (14_016, 14_155_776),
        "conv3": (51_072, 12_976_128),
        "conv4": (203_520, 12_976_128),
        "fc": (650, 640),
    }


@pytest.mark.parametrize("name", NAMES)
def test_forward_gives_float32_logits(name: str, built: dict[str, keras.Model]) -> None:
    model = built[name]

    logits = _array(model(_images(model.input_shape[1:])))

    assert logits.shape == (2, 3)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert not np.allclose(logits.sum(axis=1), 1, atol=1e-3)  # not probabilities
    assert not np.allclose(logits[0], logits[1], atol=0, rtol=0)  # they depend on the image


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("half", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.usefixtures("policy")
def test_logits_are_float32_in_half_precision(name: str, half: str) -> None:
    keras.config.set_dtype_policy(half)

    model = models.outline(name)

    assert model.output.dtype == "float32"
    assert model.layers[1].compute_dtype == half.removeprefix("mixed_")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "alexnet"])
@pytest.mark.usefixtures("policy")
def test_half_precision_agrees_with_full(name: str, built: dict[str, keras.Model]) -> None:
    images = _images(built[name].input_shape[1:])
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = models.build(name, input_shape=images.shape[1:], classes=3)
    model.set_weights(built[name].get_weights())

    logits, expected = _array(model(images)), _array(built[name](images))

    assert logits.dtype == np.float32
    # bfloat16 has 8 bits: the error of 20 layers stays within a few per cent of the spread
    assert np.abs(logits - expected).max() < 0.05 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
def test_save_and_load(name: str, built: dict[str, keras.Model], tmp_path: Path) -> None:
    images = _images(built[name].input_shape[1:])
    built[name].save(tmp_path / "network.keras")

    loaded = keras.saving.load_model(tmp_path / "network.keras")

    np.testing.assert_array_equal(_array(loaded(images)), _array(built[name](images)))


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_can_be_drawn_again(name: str, built: dict[str, keras.Model]) -> None:
    """The trainer draws weight NAME of a layer from its attribute NAME_initializer."""
    found = 0
    for layer in built[name].layers:
        for weight in layer.weights:
            initializer = getattr(layer, f"{weight.name}_initializer")
            assert isinstance(initializer, keras.initializers.Initializer)
            if len(weight.shape) > 1:  # kernels are random, and each has its own seed
                assert isinstance(initializer.seed, int)
                np.testing.assert_array_equal(
                    _array(initializer(weight.shape, weight.dtype)), _array(weight)
                )
            found += 1
    assert found == len(built[name].weights) > 0


@pytest.mark.parametrize("name", NAMES)
def test_no_two_layers_share_their_seed(name: str, built: dict[str, keras.Model]) -> None:
    seeds = [
        layer.kernel_initializer.seed for layer in built[name].layers if hasattr(layer, "kernel")
    ]

    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "alexnet"])
def test_training_moves_every_weight(name: str) -> None:
    keras.utils.set_random_seed(3)
    shape = SIZES.get(name, (10, 13, 2))
    model = models.build(name, input_shape=shape, classes=3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
    before = model.get_weights()

    model.train_on_batch(_images(shape, batch=6), np.array([0, 1, 2] * 2))

    for weight, old in zip(model.weights, before, strict=True):
        assert np.isfinite(_array(weight)).all(), weight.path
        assert (_array(weight) != old).any(), weight.path


@pytest.mark.parametrize("name", ["alexnet", "nin_cifar"])
def test_dropout_acts_in_training_only(name: str, built: dict[str, keras.Model]) -> None:
    model, images = built[name], _images(built[name].input_shape[1:])

    still = [_array(model(images, training=False)) for _ in range(2)]
    moving = [_array(model(images, training=True)) for _ in range(2)]

    np.testing.assert_array_equal(still[0], still[1])
    assert (moving[0] != moving[1]).any()


@pytest.mark.parametrize("name", ["alexnet", "nin_cifar"])
def test_dropout_rate(name: str) -> None:
    rates = [
        [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
        for model in (models.outline(name), models.outline(name, dropout=0.25))
    ]

    assert rates == [[0.5, 0.5], [0.25, 0.25]]


def test_alexnet_starts_as_in_the_paper(built: dict[str, keras.Model]) -> None:
    model = built["alexnet"]

    ones = {"conv2", "conv4", "conv5", "fc6", "fc7"}
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"):
        layer = model.get_layer(name)
        assert set(_array(layer.bias)) == {1.0 if name in ones else 0.0}
        if layer.kernel.shape[-1] > 3:
            assert _array(layer.kernel).std() == pytest.approx(0.01, rel=0.02)
    normalisation = model.get_layer("norm1")
    constants = (normalisation.depth_radius, normalisation.bias, normalisation.alpha)
    assert (*constants, normalisation.beta) == (2, 2.0, 1e-4, 0.75)


def test_alexnet_normalises_before_it_pools() -> None:
    names = [layer.name for layer in models.outline("alexnet").layers]

    assert names[1:7] == ["conv1", "norm1", "pool1", "conv2", "norm2", "pool2"]


def test_final_relu_of_nin_is_an_option() -> None:
    images = _images((8, 8, 3), batch=8)
    linear = models.build("nin_cifar", input_shape=(8, 8, 3))
    rectified = models.build("nin_cifar", input_shape=(8, 8, 3), final_relu=True)
    rectified.set_weights(linear.get_weights())
    maps = keras.Model(linear.input, linear.get_layer("mlpconv3_3_conv").output)

    expected = np.maximum(_array(maps(images)), 0).mean(axis=(1, 2))

    np.testing.assert_allclose(_array(rectified(images)), expected, atol=1e-6)
    assert _array(linear(images)).min() < 0


def test_nin_pools_by_maximum_then_average() -> None:
    model = models.outline("nin_cifar")

    assert [model.get_layer(name).mode for name in ("pool1", "pool2")] == ["max", "average"]


def test_projection_shortcuts_of_resnet20() -> None:
    assert models.profile(models.outline("resnet20_cifar", shortcut="B")).params == 272_474


def test_resnet20_without_residuals_is_the_shortcut_path(built: dict[str, keras.Model]) -> None:
    """With every residual branch at zero, a block passes on its (non-negative) input."""
    model = models.build("resnet20_cifar", input_shape=(12, 12, 3))
    for layer in model.layers:
        if layer.name.endswith("_2_bn"):
            layer.gamma.assign(np.zeros(layer.gamma.shape))
    ends = [model.get_layer(name).output for name in ("conv1_act", "conv4_block3_out")]

    stem, last = map(_array, keras.Model(model.input, ends)(_images((12, 12, 3))))

    np.testing.assert_array_equal(last[..., :16], stem[:, ::4, ::4, :])
    np.testing.assert_array_equal(last[..., 16:], 0)


def test_residual_networks_normalise_as_in_the_paper() -> None:
    for name in ("resnet20_cifar", "plain20_cifar"):
        kinds = [type(layer) for layer in models.outline(name).layers]
        norms = [
            layer
            for layer in models.outline(name).layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        assert len(norms) == 19
        assert {(layer.momentum, layer.epsilon) for layer in norms} == {(0.9, 1e-5)}
        assert kinds.count(keras.layers.Add) == (9 if name == "resnet20_cifar" else 0)


@pytest.mark.parametrize(
    ("hidden", "params"), [((100,), 79_510), ([300, 100], 266_610), ([], 7_850)]
)
def test_hidden_layers_of_mlp(hidden: Any, params: int) -> None:
    assert models.profile(models.outline("mlp", hidden=hidden)).params == params


@pytest.mark.parametrize("name", ["lenet5", "mlp"])
def test_activation_option(name: str) -> None:
    model = models.outline(name, activation="sigmoid")

    used = {layer.activation.__name__ for layer in model.layers if hasattr(layer, "activation")}
    assert used == {"sigmoid", "linear"}
