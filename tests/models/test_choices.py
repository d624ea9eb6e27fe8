"""Each choice acts, on networks of different makes: a forward pass, an update, and its effect."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import models
from models import choices
from models.errors import InvalidOption

SHAPES = {"lenet5": (32, 32, 1), "resnet20_cifar": (16, 16, 3), "nin_cifar": (16, 16, 3)}
NETWORKS = list(SHAPES)
CLASSES = 3

# Small where width is not the question. So narrow, NIN's own N(0, 0.05) passes hardly any gradient.
SMALL: dict[str, dict[str, Any]] = {
    "lenet5": {},
    "resnet20_cifar": {"width": 0.5},
    "nin_cifar": {"width": 0.0625, "initializer": "he"},
}


def _build(name: str, **options: Any) -> Any:
    keras.utils.set_random_seed(3)
    options = {**SMALL[name], **options}
    return models.build(name, input_shape=SHAPES[name], classes=CLASSES, **options)


def _batch(name: str, count: int = 16) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    return random.normal(size=(count, *SHAPES[name])).astype("float32"), np.arange(count) % CLASSES


def _update(model: Any, learning_rate: float = 0.01) -> float:
    """One step of SGD; returns the loss, which holds the penalties of regularizers."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(learning_rate), loss, run_eagerly=True)
    return float(model.train_on_batch(*_batch(model.name)))


def _layers(model: Any, *kinds: str) -> list[Any]:
    return [layer for layer in model.layers if type(layer).__name__ in kinds]


def _kernels(model: Any) -> list[Any]:
    return _layers(model, "Conv2D", "Dense")


def _activations(model: Any) -> set[str]:
    """Names of all nonlinear functions and layers."""
    found = {layer.activation.__name__ for layer in model.layers if hasattr(layer, "activation")}
    own = {type(layer).__name__ for layer in _layers(model, "LeakyReLU", "PReLU", "Dice")}
    return (found | own) - {"linear"}


def _check(model: Any) -> None:
    """Finite logits of every image, and an update that moves every kernel."""
    before = [np.array(layer.kernel) for layer in _kernels(model)]
    assert np.isfinite(_update(model, learning_rate=1.0))
    for layer, old in zip(_kernels(model), before, strict=True):
        assert (np.array(layer.kernel) != old).any(), layer.name
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    logits = np.array(model(_batch(model.name)[0]))
    assert logits.shape == (16, CLASSES)
    assert np.isfinite(logits).all()
    assert logits.std(axis=0).max() > 0, "all images look the same to it"


PAPERS = {"lenet5": "tanh", "resnet20_cifar": "relu", "nin_cifar": "relu"}
FUNCTIONS = {
    "swish": "silu",
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "dice": "Dice",
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("activation", [None, *choices.ACTIVATIONS])
def test_activation(name: str, activation: str | None) -> None:
    model = _build(name, activation=activation)

    wanted = activation or PAPERS[name]
    assert _activations(model) == {FUNCTIONS.get(wanted, wanted)}
    _check(model)


NORMALIZATION_LAYERS = {
    "none": None,
    "batch": "BatchNormalization",
    "layer": "GroupNormalization",
    "instance": "GroupNormalization",
    "group": "GroupNormalization",
    "decorrelated": "DecorrelatedBatchNormalization",
    "local_response": "LocalResponseNormalization",
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("normalization", choices.NORMALIZATIONS)
def test_normalization(name: str, normalization: str) -> None:
    model = _build(name, normalization=normalization)

    kind = NORMALIZATION_LAYERS[normalization]
    others = {k for k in NORMALIZATION_LAYERS.values() if k and k != kind}
    assert not _layers(model, *others)
    convolutions = [c for c in _layers(model, "Conv2D") if c.name != "mlpconv3_3_conv"]  # logits
    assert len(_layers(model, str(kind))) == (len(convolutions) if kind else 0)
    needs_bias = normalization in ("none", "local_response")
    assert {layer.use_bias for layer in convolutions} == {needs_bias}
    _check(model)


@pytest.mark.parametrize("normalization", choices.NORMALIZATIONS)
def test_normalization_on_dense_layers(normalization: str) -> None:
    """A network without convolutions is normalised after every hidden dense layer."""
    shape = (8, 8, 1)
    options = {"input_shape": shape, "classes": CLASSES, "hidden": (64, 32)}
    if normalization == "instance":
        with pytest.raises(InvalidOption, match="positions of a map, and fc1 has only one"):
            models.build("mlp", normalization=normalization, **options)
        return
    keras.utils.set_random_seed(3)
    model = models.build("mlp", normalization=normalization, **options)

    kind = NORMALIZATION_LAYERS[normalization]
    assert len(_layers(model, str(kind))) == (2 if kind else 0)
    images = np.random.default_rng(1).normal(size=(40, *shape)).astype("float32")
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert np.isfinite(model.train_on_batch(images, np.arange(40) % CLASSES))
    # Groups of one unit, less their own mean, would be zero for every image.
    assert (np.array(model(images)).std(axis=0) > 1e-3).all()


def test_group_normalization_has_32_groups_or_of_two_channels() -> None:
    wide = models.outline("resnet20_cifar", normalization="group")
    assert wide.get_layer("conv1_norm").groups == 8  # of 2 channels
    assert wide.get_layer("conv4_block1_1_norm").groups == 32
    mlp = models.outline("mlp", normalization="group", hidden=(100, 32, 7))
    groups = [mlp.get_layer(f"fc{i}_norm").groups for i in (1, 2, 3)]
    assert groups == [4, 2, 1]  # 16 units or more each, one position being all there is


@pytest.mark.parametrize("normalization", ["layer", "instance", "group"])
def test_normalizations_of_each_image_are_over_the_right_cells(normalization: str) -> None:
    model = _build("resnet20_cifar", normalization=normalization, width=4.0)  # 64 channels
    inputs, norm = model.input, model.get_layer("conv1_norm")
    values = np.array(keras.Model(inputs, norm.output)(_batch("resnet20_cifar", 3)[0]))

    groups = {"layer": 1, "instance": 64, "group": 32}[normalization]
    cells = values.reshape(3, 16 * 16, groups, 64 // groups)
    np.testing.assert_allclose(cells.mean(axis=(1, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(cells.std(axis=(1, 3)), 1, atol=1e-2)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("initializer", choices.INITIALIZERS)
def test_initializer(name: str, initializer: str) -> None:
    model = _build(name, initializer=initializer)

    for layer in _kernels(model):
        kernel = np.array(layer.kernel)
        fan_in, fan_out = np.prod(kernel.shape[:-1]), kernel.shape[-1]
        if kernel.ndim == 4:
            fan_out *= kernel.shape[0] * kernel.shape[1]
        deviation, limit = {
            "he": ((2 / fan_in) ** 0.5, None),
            "lecun": ((1 / fan_in) ** 0.5, None),
            "glorot": ((2 / (fan_in + fan_out)) ** 0.5, (6 / (fan_in + fan_out)) ** 0.5),
            "fan_in": (1 / fan_in / 3**0.5, 1 / fan_in),
            "zeros": (0.0, 0.0),
        }[initializer]
        error = 4 / (2 * kernel.size) ** 0.5  # of a standard deviation, four of its own
        assert kernel.std() == pytest.approx(deviation, rel=error), layer.name
        assert abs(kernel.mean()) <= 4 * deviation / kernel.size**0.5
        if limit is not None:
            assert np.abs(kernel).max() <= limit
        elif kernel.size > 1000:  # not truncated at two deviations
            assert np.abs(kernel).max() > 2.5 * deviation
    assert np.isfinite(_update(model))


def test_layers_of_equal_shape_are_drawn_apart() -> None:
    for initializer in ("glorot", "he", "lecun", "fan_in"):
        model = _build("resnet20_cifar", initializer=initializer)
        first, second = (np.array(model.get_layer(f"conv2_block{n}_1_conv").kernel) for n in (1, 2))
        assert (first != second).any()


# The layer that each dropout follows.
DROPOUTS = {
    "lenet5": {"drop": "f6"},
    "resnet20_cifar": {"drop": "gap"},
    "nin_cifar": {"drop1": "pool1", "drop2": "pool2"},
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("monte_carlo", [False, True])
def test_dropout(name: str, monte_carlo: bool) -> None:
    model = _build(name, dropout=0.5, monte_carlo=monte_carlo)

    kind = "MonteCarloDropout" if monte_carlo else "Dropout"
    drops = _layers(model, kind)
    places = {layer.name: layer.input._keras_history.operation.name for layer in drops}
    assert places == DROPOUTS[name]
    assert {layer.rate for layer in drops} == {0.5}
    images, _ = _batch(name)
    one, other = (np.array(model(images, training=False)) for _ in range(2))
    assert (one != other).any() == monte_carlo
    one, other = (np.array(model(images, training=True)) for _ in range(2))
    assert (one != other).any()
    _check(model)


@pytest.mark.parametrize("name", NETWORKS)
def test_dropout_of_the_paper_and_of_zero(name: str) -> None:
    assert bool(_layers(_build(name), "Dropout")) == (name == "nin_cifar")
    assert not _layers(_build(name, dropout=0.0), "Dropout", "MonteCarloDropout")


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("chosen", "l1", "l2"),
    [
        ("l1", 1e-5, 0.0),
        ("l2", 0.0, 1e-4),
        ("elastic", 1e-5, 1e-4),
        ({"l1": 0.01, "l2": 0.02}, 0.01, 0.02),
    ],
)
def test_kernel_regularizer(name: str, chosen: Any, l1: float, l2: float) -> None:
    model = _build(name, kernel_regularizer=chosen, dropout=0.0)

    weights = np.concatenate([np.array(layer.kernel).ravel() for layer in _kernels(model)])
    penalty = l1 * np.abs(weights).sum() + l2 * (weights**2).sum()
    assert float(sum(model.losses)) == pytest.approx(penalty, rel=1e-4)
    free = _build(name, dropout=0.0)
    assert not free.losses
    assert _update(model) == pytest.approx(_update(free) + penalty, rel=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_max_norm(name: str) -> None:
    model = _build(name, max_norm=0.3)
    before = [np.array(layer.kernel) for layer in _kernels(model)]

    _update(model, learning_rate=1.0)

    shrunk = 0
    for layer, old in zip(_kernels(model), before, strict=True):
        axes = tuple(range(old.ndim - 1))  # all weights into one unit
        norms = np.sqrt((np.array(layer.kernel) ** 2).sum(axis=axes))
        assert (norms <= 0.3 * 1.001).all(), layer.name
        shrunk += (np.sqrt((old**2).sum(axis=axes)) > 0.3).sum()
    assert shrunk > 0  # some were longer


@pytest.mark.parametrize("name", NETWORKS)
def test_width(name: str) -> None:
    full, half = (_build(name, width=width) for width in (1.0, 0.5))
    last = _kernels(full)[-1].name

    for wide, narrow in zip(_kernels(full), _kernels(half), strict=True):
        expected = wide.kernel.shape[-1]
        assert narrow.kernel.shape[-1] == (CLASSES if wide.name == last else expected // 2)
    ratio = models.profile(half).params / models.profile(full).params
    assert 0.24 < ratio < 0.35
    if name != "nin_cifar":
        _check(half)


# The windows, and what they are in the paper.
WINDOWS = {
    "lenet5": {"s2": "average", "s4": "average"},
    "resnet20_cifar": {},
    "nin_cifar": {"pool1": "max", "pool2": "average"},
}


def _modes(model: Any) -> dict[str, str]:
    own = {layer.name: layer.mode for layer in _layers(model, "Pooling2D")}
    return {
        **own,
        **{layer.name: "max" for layer in _layers(model, "MaxPooling2D")},
        **{layer.name: "average" for layer in _layers(model, "AveragePooling2D")},
    }


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("pooling", [None, *choices.POOLINGS])
def test_pooling(name: str, pooling: str | None) -> None:
    model = _build(name, pooling=pooling)

    assert _modes(model) == {k: pooling or v for k, v in WINDOWS[name].items()}
    _check(model)


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "softplus"},
        {"normalization": "weight"},
        {"initializer": "orthogonal"},
        {"pooling": "median"},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"monte_carlo": 1},
        {"kernel_regularizer": "l3"},
        {"kernel_regularizer": {}},
        {"kernel_regularizer": {"l2": -1.0}},
        {"max_norm": 0.0},
        {"width": 0},
        {"width": True},
    ],
    ids=str,
)
def test_values_that_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=r"must be .*\. Received: "):
        models.outline("lenet5", **options)
