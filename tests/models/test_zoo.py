"""Every registered network, against the figures of its paper and what all networks promise."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from outlines import counted, marked

import models
from models import choices

# Input, classes, trainable parameters, MACs: from the layer lists of the papers and the released
# networks, counted apart from this code.
FIGURES = {
    "lenet5_1998": ((32, 32, 1), 10, 60_000, 328_096),
    "lenet5": ((32, 32, 1), 10, 61_706, 416_520),
    "alexnet": ((227, 227, 3), 1000, 60_965_224, 724_406_816),
    "alexnet_ungrouped": ((227, 227, 3), 1000, 62_378_344, 1_135_256_096),
    "alexnet_owt": ((224, 224, 3), 1000, 61_100_840, 714_188_480),
    "zfnet": ((224, 224, 3), 1000, 62_357_608, 1_168_032_896),
    "vgg_a": ((224, 224, 3), 1000, 132_863_336, 7_609_090_048),
    "vgg_a_lrn": ((224, 224, 3), 1000, 132_863_336, 7_609_090_048),
    "vgg_b": ((224, 224, 3), 1000, 133_047_848, 11_308_466_176),
    "vgg_c": ((224, 224, 3), 1000, 133_638_952, 11_770_888_192),
    "vgg16": ((224, 224, 3), 1000, 138_357_544, 15_470_264_320),
    "vgg19": ((224, 224, 3), 1000, 143_667_240, 19_632_062_464),
    "nin_cifar": ((32, 32, 3), 10, 966_986, 222_486_528),
    "nin": ((224, 224, 3), 1000, 7_595_176, 1_100_188_800),
    "googlenet": ((224, 224, 3), 1000, 6_998_552, 1_582_671_872),
    "bn_inception": ((224, 224, 3), 1000, 11_295_240, 2_032_600_064),
    "inception_v2": ((299, 299, 3), 1000, 24_410_696, 6_045_493_856),
    "inception_v3": ((299, 299, 3), 1000, 23_834_568, 5_713_216_096),
    "inception_v4": ((299, 299, 3), 1000, 42_679_816, 12_253_974_624),
    "inception_resnet_v1": ((299, 299, 3), 1000, 22_756_328, 6_206_361_696),
    "inception_resnet_v2": ((299, 299, 3), 1000, 55_843_464, 13_155_794_016),
    "resnet18": ((224, 224, 3), 1000, 11_689_512, 1_814_073_344),
    "resnet34": ((224, 224, 3), 1000, 21_797_672, 3_663_761_408),
    "resnet50": ((224, 224, 3), 1000, 25_557_032, 3_857_973_248),
    "resnet101": ((224, 224, 3), 1000, 44_549_160, 7_570_194_432),
    "resnet152": ((224, 224, 3), 1000, 60_192_808, 11_282_415_616),
    "resnet50_v1_5": ((224, 224, 3), 1000, 25_557_032, 4_089_184_256),
    "resnet101_v1_5": ((224, 224, 3), 1000, 44_549_160, 7_801_405_440),
    "resnet152_v1_5": ((224, 224, 3), 1000, 60_192_808, 11_513_626_624),
    "plain18": ((224, 224, 3), 1000, 11_515_688, 1_794_805_760),
    "plain34": ((224, 224, 3), 1000, 21_623_848, 3_644_493_824),
    "resnet50_v2": ((224, 224, 3), 1000, 25_568_360, 3_482_255_360),
    "resnet101_v2": ((224, 224, 3), 1000, 44_577_896, 7_194_476_544),
    "resnet152_v2": ((224, 224, 3), 1000, 60_236_904, 10_906_697_728),
    "resnet20_cifar": ((32, 32, 3), 10, 269_722, 40_551_040),
    "resnet32_cifar": ((32, 32, 3), 10, 464_154, 68_862_592),
    "resnet44_cifar": ((32, 32, 3), 10, 658_586, 97_174_144),
    "resnet56_cifar": ((32, 32, 3), 10, 853_018, 125_485_696),
    "resnet110_cifar": ((32, 32, 3), 10, 1_727_962, 252_887_680),
    "plain20_cifar": ((32, 32, 3), 10, 269_722, 40_551_040),
    "plain56_cifar": ((32, 32, 3), 10, 853_018, 125_485_696),
    "mlp": ((28, 28, 1), 10, 79_510, 79_400),
    "direction": ((4, 4, 1), 4, 30, 160),
    "autoencoder_undercomplete": ((28, 28, 1), 10, 2_633, 169_344),
    "autoencoder_overcomplete": ((28, 28, 1), 10, 37_569, 29_352_960),
}

# Made for comparisons of one idea: no paper has their figures. test_ablations.py counts them.
OURS = {"stack_of_3x3", "single_7x7", "convolutional", "fully_connected"}

NAMES = models.list_models()

# A quarter of the papers' channels: what is tested does not depend on their number.
FIXED_WIDTH = {"lenet5_1998", "direction"}
WIDTHS = {name: {} if name in FIXED_WIDTH else {"width": 0.25} for name in NAMES}


def _shape(name: str) -> tuple[int, int, int]:
    """Oblong, two channels, a little above the smallest that the network takes."""
    height, width = models.card(name).smallest_input
    return height, width + 3, 2


def _images(shape: tuple[int, ...], batch: int = 2) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(batch, *shape)).astype("float32")


def _array(tensor: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


@functools.cache
def _built(name: str) -> keras.Model:
    """The network, narrow, at a small oblong size with three classes."""
    keras.utils.set_random_seed(1)
    return models.build(name, input_shape=_shape(name), classes=3, **WIDTHS[name])


def _train_step(model: keras.Model, name: str, images: np.ndarray) -> float:
    """One eager update; returns the loss before it."""
    # Adam, for its steps do not shrink with the slopes of small first weights.
    model.compile(keras.optimizers.Adam(1e-3, epsilon=1e-12), _loss(name), run_eagerly=True)
    target = images if models.card(name).task == "reconstruction" else np.arange(len(images)) % 3
    return float(model.train_on_batch(images, target))


def _loss(name: str) -> keras.losses.Loss:
    if models.card(name).task == "reconstruction":
        return keras.losses.MeanSquaredError()
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def policy() -> Iterator[None]:
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


def test_every_network_has_its_figures() -> None:
    assert set(NAMES) == {*FIGURES, *OURS}
    assert not OURS & FIGURES.keys()


@pytest.mark.parametrize("name", FIGURES)
def test_counts(name: str) -> None:
    shape, classes, params, macs = FIGURES[name]

    network = counted(name)

    assert network.name == name
    assert network.input_shape == (None, *shape)
    if models.card(name).task == "classification":
        assert network.output_shape == (None, classes)
    else:
        assert network.output_shape == network.input_shape
    assert (network.cost.params, network.cost.macs) == (params, macs)


@pytest.mark.parametrize("name", NAMES)
def test_total_adds_what_training_never_moves(name: str) -> None:
    network = counted(name)

    codes = 840 if name == "lenet5_1998" else 0  # the fixed bitmaps of its output
    assert network.cost.params_total - network.cost.params == network.statistics + codes


@pytest.mark.parametrize("name", marked(NAMES))
@pytest.mark.parametrize("half", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.usefixtures("policy")
def test_outputs_are_float32_in_half_precision(name: str, half: str) -> None:
    keras.config.set_dtype_policy(half)

    model = models.outline(name, input_shape=_shape(name), **WIDTHS[name])

    assert model.output.dtype == "float32"
    assert model.layers[1].compute_dtype == half.removeprefix("mixed_")


@pytest.mark.parametrize("name", ["lenet5", "nin_cifar", "resnet20_cifar", "mlp"])
@pytest.mark.usefixtures("policy")
def test_half_precision_agrees_with_full(name: str) -> None:
    full = _built(name)
    images = _images(full.input_shape[1:])
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = models.build(name, input_shape=images.shape[1:], classes=3, **WIDTHS[name])
    model.set_weights(full.get_weights())

    logits, expected = _array(model(images)), _array(full(images))

    assert logits.dtype == np.float32
    # bfloat16 has 8 bits: the error of 20 layers stays within a few per cent of the spread
    assert np.abs(logits - expected).max() < 0.05 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("name", marked(NAMES))
def test_draws_runs_trains_and_saves(name: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    model = models.build(name, input_shape=_shape(name), classes=3, **WIDTHS[name])
    images = _images(model.input_shape[1:], batch=4)

    _can_be_drawn_again(model)
    _gives_float32_outputs(model, name, images)
    _training_moves_every_weight(model, name, images)
    _file_gives_the_same_outputs(model, images, tmp_path / "network.keras")


def _can_be_drawn_again(model: keras.Model) -> None:
    """The trainer draws weight NAME of a layer from its attribute NAME_initializer."""
    seeds, weights = [], 0
    for layer in model.layers:
        for weight in layer.weights:
            initializer = getattr(layer, f"{weight.name}_initializer")
            assert isinstance(initializer, keras.initializers.Initializer)
            weights += 1
            if hasattr(initializer, "seed"):
                seeds.append(initializer.seed)
                np.testing.assert_array_equal(
                    _array(initializer(weight.shape, weight.dtype)), _array(weight)
                )
    assert weights == len(model.weights) > 0
    assert all(isinstance(seed, int) for seed in seeds)
    assert len(set(seeds)) == len(seeds) > 0  # every layer its own


def _gives_float32_outputs(model: keras.Model, name: str, images: np.ndarray) -> None:
    outputs = _array(model(images))

    assert outputs.dtype == np.float32
    assert np.isfinite(outputs).all()
    assert not np.array_equal(outputs[0], outputs[1])  # they depend on the image
    if models.card(name).task == "reconstruction":
        assert outputs.shape == images.shape
    else:
        assert outputs.shape == (len(images), 3)
        assert not np.allclose(outputs.sum(axis=1), 1, atol=1e-3)  # not probabilities


def _training_moves_every_weight(model: keras.Model, name: str, images: np.ndarray) -> None:
    before = {weight.path: _array(weight) for weight in model.trainable_weights}

    loss = _train_step(model, name, images)

    assert math.isfinite(loss)
    for weight in model.trainable_weights:
        assert np.isfinite(_array(weight)).all(), weight.path
        assert (_array(weight) != before[weight.path]).any(), weight.path


def _file_gives_the_same_outputs(model: keras.Model, images: np.ndarray, path: Path) -> None:
    model.save(path)

    loaded = keras.saving.load_model(path, safe_mode=True)

    np.testing.assert_array_equal(_array(loaded(images)), _array(model(images)))


def test_projection_shortcuts_of_resnet20() -> None:
    assert models.profile(models.outline("resnet20_cifar", shortcut="B")).params == 272_474


# ------------------------------------------------------------------------- choices on any network

CHOICES = [
    *({"activation": value} for value in choices.ACTIVATIONS),
    *({"normalization": value} for value in choices.NORMALIZATIONS),
    *({"initializer": value} for value in choices.INITIALIZERS),
    {"dropout": 0.3},
    {"dropout": 0.3, "monte_carlo": True},
    *({"kernel_regularizer": value} for value in choices.REGULARIZERS),
    {"max_norm": 1.0},
    {"width": 0.5},
    *({"pooling": value} for value in choices.POOLINGS),
]


REFUSED = {
    ("lenet5_1998", "width", 0.5),
    ("mlp", "normalization", "instance"),  # it has no maps
    ("fully_connected", "normalization", "instance"),
    *(("lenet5_1998", "pooling", value) for value in choices.POOLINGS),
}


def _id(options: dict[str, Any]) -> str:
    return ",".join(f"{k}={v}" for k, v in options.items())


def _try(name: str, options: dict[str, Any]) -> None:
    """Forward and one training step under a choice; or the network says why it cannot take it."""
    keras.utils.set_random_seed(5)
    height, width, channels = _shape(name)
    if options.get("normalization") == "instance":  # one position has no variance
        height, width = height + 32, width + 32
    shape = (height, width, channels)
    arguments = {"input_shape": shape, "classes": 3, **WIDTHS[name], **options}
    if any((name, option, value) in REFUSED for option, value in options.items()):
        with pytest.raises(models.InvalidOption, match=next(iter(options))):
            models.build(name, **arguments)
        return
    model = models.build(name, **arguments)
    images = _images(model.input_shape[1:], batch=4)

    outputs = _array(model(images))
    loss = _train_step(model, name, images)

    assert np.isfinite(outputs).all()
    assert math.isfinite(loss)
    assert all(np.isfinite(_array(weight)).all() for weight in model.weights)


ROTATION = [
    pytest.param(*name.values, options, id=f"{name.id}-{_id(options)}", marks=name.marks)
    for name, options in zip(marked(NAMES), itertools.cycle(CHOICES), strict=False)
]


@pytest.mark.parametrize(("name", "options"), ROTATION)
def test_rotating_choice_on_every_network(name: str, options: dict[str, Any]) -> None:
    _try(name, options)


@pytest.mark.full  # test_choices.py has every choice on three small ones
@pytest.mark.parametrize("options", CHOICES, ids=_id)
@pytest.mark.parametrize("name", NAMES)
def test_every_choice_on_every_network(name: str, options: dict[str, Any]) -> None:
    _try(name, options)
