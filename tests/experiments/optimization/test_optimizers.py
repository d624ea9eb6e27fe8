"""Update rules: each against its formula in NumPy, with L2 decay where it belongs."""

from __future__ import annotations

from collections import Counter

import keras
import numpy as np
import pytest

import models
from experiments.config.train import Optimizer
from experiments.errors import BadInput
from experiments.optimization import optimizers
from experiments.optimization.optimizers import Averages

START = np.array([[1.0, -2.0], [0.5, 4.0]], "float32")
GRADIENTS = [np.array([[0.1, 0.2], [-0.3, 0.4]], "float32"), np.full((2, 2), 0.5, "float32")]
LR, WD = 0.1, 0.01


def network():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.layers[0].kernel.assign(START)
    model.layers[0].bias.assign([1.0, 1.0])
    return model


def updated(**settings):
    """Kernel and bias after the two gradients; the bias has zero gradient, so only decay moves."""
    model = network()
    rule = optimizers.build(Optimizer(learning_rate=LR, weight_decay=WD, **settings), model)
    for gradient in GRADIENTS:
        rule.apply([keras.ops.convert_to_tensor(gradient), keras.ops.zeros(2)])
    return [np.asarray(w) for w in model.get_weights()]


def sgd(w, gradients, momentum, nesterov):
    v = np.zeros_like(w)
    for g in gradients:
        g = g + WD * w
        v = momentum * v - LR * g
        w = w + (momentum * v - LR * g if nesterov else v)
    return w


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_l2_in_the_gradient(momentum, nesterov):
    kernel, bias = updated(name="sgd", momentum=momentum, nesterov=nesterov)
    expected = sgd(START, GRADIENTS, momentum, nesterov and momentum > 0)
    assert kernel == pytest.approx(expected, rel=1e-5)
    assert bias.tolist() == [1.0, 1.0]


def decaying(name, **options):
    """Layer and name of the weights of a network that decay with its kernels."""
    model = models.outline(name, **options)
    leaves = list(model._flatten_layers(include_self=False, recursive=True))
    names = {
        id(v): f"{layer.name}/{v.name}" for layer in leaves for v in layer._trainable_variables
    }
    chosen = [names[id(v)] for v in optimizers.decaying(model, "kernels")]
    kinds = {layer.name: type(layer).__name__ for layer in leaves}
    return chosen, kinds


@pytest.mark.parametrize(
    ("name", "options", "layers"),
    [
        ("direction", {}, "conv output"),
        ("mlp", {"activation": "prelu", "normalization": "batch"}, "fc1 output"),
        (
            "autoencoder_undercomplete",
            {"activation": "prelu"},
            "encode1_conv encode2_conv decode1_conv decode2_conv",
        ),
        ("lenet5_1998", {}, "c1 c3 c5 f6"),  # neither subsampling nor the fixed codes
        ("lenet5", {"activation": "prelu"}, "c1 c3 c5 f6 output"),
        ("alexnet", {"activation": "prelu"}, "conv1 conv2 conv3 conv4 conv5 fc6 fc7 fc8"),
    ],
)
def test_the_weights_of_small_networks_that_decay_by_name(name, options, layers):
    assert decaying(name, **options)[0] == [f"{layer}/kernel" for layer in layers.split()]


OF_FAMILIES = {
    "stack_of_3x3": (12, 1), "fully_connected": (0, 3), "zfnet": (5, 3), "nin_cifar": (9, 0),
    "vgg16": (13, 3), "googlenet": (57, 1), "bn_inception": (69, 1), "inception_v3": (94, 1),
    "inception_v4": (149, 1), "inception_resnet_v1": (127, 1), "plain20_cifar": (19, 1),
    "resnet20_cifar": (19, 1), "resnet50": (53, 1), "resnet50_v1_5": (53, 1),
    "resnet50_v2": (53, 1),
}  # fmt: skip
"""Convolutions and dense layers of a network of each family."""


@pytest.mark.parametrize("name", OF_FAMILIES)
def test_kernels_decay_in_every_family_and_nothing_beside_them(name):
    for options in ({"activation": "prelu"}, {"activation": "dice", "normalization": "batch"}):
        chosen, kinds = decaying(name, **options)
        assert {weight.rpartition("/")[2] for weight in chosen} == {"kernel"}
        of = Counter(kinds[weight.rpartition("/")[0]] for weight in chosen)
        assert (of.pop("Conv2D", 0), of.pop("Dense", 0)) == OF_FAMILIES[name]
        assert not of


def test_kernels_of_separable_convolutions_decay():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.SeparableConv2D(4, 3),
         keras.layers.PReLU(shared_axes=(1, 2)), keras.layers.DepthwiseConv2D(3),
         keras.layers.Conv2DTranspose(2, 3)]
    )  # fmt: skip
    assert [v.name for v in optimizers.decaying(model, "kernels")] == [
        "depthwise_kernel", "pointwise_kernel", "kernel", "kernel"
    ]  # fmt: skip
    assert optimizers.decaying(model, "all") == model.trainable_variables


@pytest.mark.parametrize("rule", ["sgd", "adamw"])
@pytest.mark.parametrize(("decay", "moves"), [("kernels", False), ("all", True)])
def test_slopes_of_maps_decay_only_where_all_do(rule, decay, moves):
    slopes = keras.layers.PReLU("ones", shared_axes=(1, 2))
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 3), slopes])
    settings = Optimizer(name=rule, learning_rate=LR, momentum=0, weight_decay=WD, decay=decay)
    kernel = np.asarray(model.layers[0].kernel)
    optimizers.build(settings, model).apply(
        [keras.ops.zeros(v.shape) for v in model.trainable_variables]
    )
    assert np.asarray(slopes.alpha) == pytest.approx(1 - LR * WD if moves else 1.0, abs=1e-9)
    assert np.asarray(model.layers[0].kernel) == pytest.approx(kernel * (1 - LR * WD), rel=1e-5)


def test_decay_all_reaches_biases():
    _, bias = updated(name="sgd", momentum=0.0, decay="all")
    assert bias == pytest.approx(np.full(2, (1 - LR * WD) ** 2), rel=1e-6)


CAFFE = {"*bias": {"rate": 2.0, "weight_decay": 0.0}}


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adagrad", "adam", "adamw"])
def test_the_doubled_rate_of_biases_without_decay(name):
    """Caffe's AlexNet: lr_mult 2, decay_mult 0. The kernel is updated as without factors, the bias
    as with twice the rate and no decay."""

    def after(rate=LR, decay=WD, **settings):
        model = network()
        rule = Optimizer(name=name, learning_rate=rate, weight_decay=decay, decay="all", **settings)
        built = optimizers.build(rule, model)
        for gradient in GRADIENTS:
            built.apply([keras.ops.convert_to_tensor(x) for x in (gradient, gradient[0])])
        return [np.asarray(w) for w in model.get_weights()]

    kernel, bias = after(factors=CAFFE)
    np.testing.assert_array_equal(kernel, after()[0])
    assert bias == pytest.approx(after(rate=2 * LR, decay=0.0)[1], rel=1e-6)
    assert np.abs(bias - after()[1]).max() > 1e-3


def test_factors_by_hand():
    """One update of SGD: w - rate factor * 0.1 * (g + decay factor * 0.01 * w), then momentum."""
    factors = {"*/kernel": {"rate": 0.5, "weight_decay": 3.0}, "*ker*": {"weight_decay": 2.0}}
    kernel, bias = updated(name="sgd", momentum=0.9, factors=factors)
    w, v = START, 0.0
    for g in GRADIENTS:
        v = 0.9 * v - 0.5 * LR * (g + 6 * WD * w)
        w = w + v
    assert kernel == pytest.approx(w, rel=1e-6)
    assert bias.tolist() == [1.0, 1.0]


def test_a_factor_that_matches_nothing_or_that_the_rule_has_not_is_refused():
    with pytest.raises(BadInput, match=r"factors: 'conv\*' matches no weight of .*kernel, .*bias"):
        updated(name="sgd", factors={"conv*": {"rate": 2.0}})
    with pytest.raises(ValueError, match=r"adamw is all or nothing, 1 or 0\. Received: 2"):
        Optimizer(name="adamw", factors={"*": {"weight_decay": 2.0}})


def test_adagrad():
    kernel, _ = updated(name="adagrad")
    w, total = START, np.full_like(START, 0.1)
    for g in GRADIENTS:
        g = g + WD * w
        total = total + g * g
        w = w - LR * g / np.sqrt(total + 1e-7)
    assert kernel == pytest.approx(w, rel=1e-5)


def test_rmsprop():
    kernel, _ = updated(name="rmsprop", momentum=0.0, rho=0.9)
    w, mean = START, np.zeros_like(START)
    for g in GRADIENTS:
        g = g + WD * w
        mean = 0.9 * mean + 0.1 * g * g
        w = w - LR * g / np.sqrt(mean + 1e-7)
    assert kernel == pytest.approx(w, rel=1e-5)


def test_the_rmsprop_of_the_inceptions():
    """Szegedy et al. 2016, section 8: decay 0.9, epsilon 1.0, by TensorFlow 1: inside the root,
    mean squares of 1 at first."""
    rule = {"name": "rmsprop", "momentum": 0.9, "rho": 0.9, "epsilon": 1.0, "initial_square": 1.0}
    kernel, bias = updated(**rule)
    w, mean, moved = START, np.ones_like(START), np.zeros_like(START)
    for g in GRADIENTS:
        g = g + WD * w
        mean = 0.9 * mean + 0.1 * g * g
        moved = 0.9 * moved + LR * g / np.sqrt(mean + 1.0)
        w = w - moved
    assert kernel == pytest.approx(w, rel=1e-6)
    assert bias.tolist() == [1.0, 1.0]
    # the first step by hand: g = 0.1 + 0.01 * 1 = 0.11, 0.9 + 0.1 * 0.0121 = 0.90121
    model = network()
    built = optimizers.build(Optimizer(learning_rate=LR, weight_decay=WD, **rule), model)
    start = optimizers.InitialState(built)
    for _ in range(2):  # a network that is reset begins like a fresh one
        model.layers[0].kernel.assign(START)
        built.apply([keras.ops.convert_to_tensor(GRADIENTS[0]), keras.ops.zeros(2)])
        first = float(np.asarray(model.get_weights()[0])[0, 0])
        assert first == pytest.approx(1 - 0.1 * 0.11 / 1.90121**0.5, rel=1e-6)
        start.restore()


def adam(w, gradients, coupled):
    m = v = np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        if coupled:
            g = g + WD * w
        else:
            w = w - LR * WD * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - LR * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)
    return w


@pytest.mark.parametrize(("name", "coupled"), [("adam", True), ("adamw", False)])
def test_adam_couples_decay_and_adamw_does_not(name, coupled):
    kernel, bias = updated(name=name)
    assert kernel == pytest.approx(adam(START, GRADIENTS, coupled), rel=1e-4)
    assert bias.tolist() == [1.0, 1.0]


LARGE = [
    (np.array([[3.0, -4.0], [0.1, 12.0]], "float32"), np.array([0.5, -2.0], "float32")),
    (np.array([[0.1, 0.2], [0.0, 0.2]], "float32"), np.array([0.1, 0.1], "float32")),
]
NORMS = [np.sqrt(sum((g**2).sum() for g in pair)) for pair in LARGE]
BOUNDED = {
    "norm": lambda g, at, c: g * min(1, c / np.sqrt((g**2).sum())),
    "global_norm": lambda g, at, c: g * min(1, c / NORMS[at]),
    "value": lambda g, at, c: np.clip(g, -c, c),
}


@pytest.mark.parametrize("kind", BOUNDED)
def test_gradients_are_clipped_before_decay_enters_them(kind):
    """By a bound, and by another one set later; the second gradient is within it, and stays."""
    model = network()
    settings = [
        Optimizer(learning_rate=LR, momentum=0.0, weight_decay=WD, clip={kind: bound})
        for bound in (9.0, 1.5)
    ]
    rule = optimizers.build(settings[0], model)
    kernel, bias = START, np.ones(2)
    for own in settings:
        optimizers.assign(rule, own)
        bound = getattr(own.clip, kind)
        for at, pair in enumerate(LARGE):
            rule.apply([keras.ops.convert_to_tensor(g) for g in pair])
            clip = BOUNDED[kind]
            kernel = kernel - LR * (clip(pair[0], at, bound) + WD * kernel)
            bias = bias - LR * clip(pair[1], at, bound)
    assert model.get_weights()[0] == pytest.approx(kernel, rel=1e-5)
    assert model.get_weights()[1] == pytest.approx(bias, rel=1e-5)


def test_one_bound_is_enough():
    for given in ({}, {"norm": 1.0, "value": 2.0}):
        with pytest.raises(ValueError, match="expected one of norm, global_norm and value"):
            Optimizer(clip=given)


@pytest.mark.parametrize("warmup", [False, True])
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_averages_of_the_weights(name, warmup):
    """By their formula from what the weights were, bounded in length; another momentum later."""
    model = network()
    kernel = model.layers[0].kernel
    kernel.constraint = keras.constraints.MaxNorm(2.0)
    settings = [
        Optimizer(name=name, learning_rate=LR, ema={"momentum": momentum, "warmup": warmup})
        for momentum in (0.6, 0.2)
    ]
    rule = optimizers.build(settings[0], model)
    expected = None
    for n in range(1, 9):
        own = settings[n > 6]
        optimizers.assign(rule, own)
        rule.apply([keras.ops.convert_to_tensor(GRADIENTS[n % 2]), keras.ops.ones(2)])
        now = np.asarray(kernel)
        momentum = min(own.ema.momentum, n / (n + 9)) if warmup else own.ema.momentum
        expected = now if expected is None else momentum * expected + (1 - momentum) * now
        assert np.asarray(rule.averages[0]) == pytest.approx(expected, rel=1e-5)
    assert np.abs(expected - now).max() > 1e-3

    held = [np.asarray(v) for v in (*model.weights, *rule.averages)]
    averages = Averages(rule, model.trainable_variables)
    with averages.shown():
        for weight, average in zip(model.weights, held[2:], strict=True):
            np.testing.assert_array_equal(np.asarray(weight), average)
    for variable, value in zip((*model.weights, *rule.averages), held, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), value)


@pytest.mark.parametrize("start", [0, 3])
def test_the_plain_mean_of_the_weights(start):
    """Polyak and Juditsky 1992: of the weights after each update from `start` on; until then the
    weights themselves."""
    model = network()
    rule = optimizers.build(
        Optimizer(learning_rate=LR, ema={"kind": "mean", "start": start}), model
    )
    after = []
    for n in range(1, 9):
        rule.apply([keras.ops.convert_to_tensor(GRADIENTS[n % 2]), keras.ops.ones(2)])
        after.append(np.asarray(model.get_weights()[0]))
        mean = np.mean(after[start:], axis=0) if n > start else after[-1]
        assert np.asarray(rule.averages[0]) == pytest.approx(mean, rel=1e-5)
    assert np.abs(mean - after[-1]).max() > 1e-2


def test_before_the_first_update_there_are_no_averages():
    model = network()
    rule = optimizers.build(Optimizer(ema={}), model)
    with Averages(rule, model.trainable_variables).shown():
        np.testing.assert_array_equal(model.get_weights()[0], START)


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adagrad", "adam", "adamw"])
def test_initial_state_goes_back_to_as_built(name):
    model = network()
    rule = optimizers.build(Optimizer(name=name, ema={}), model)
    before = [np.asarray(v).copy() for v in rule.variables]
    state = optimizers.InitialState(rule)
    rule.apply([keras.ops.ones((2, 2)), keras.ops.ones(2)])
    assert any((np.asarray(v) != b).any() for v, b in zip(rule.variables, before, strict=True))
    state.restore()
    for variable, value in zip(rule.variables, before, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), value)
