"""Update rules: each against its formula in NumPy, with L2 decay where it belongs."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from experiments import optimizers
from experiments.config import Optimizer

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


def test_decay_all_reaches_biases():
    _, bias = updated(name="sgd", momentum=0.0, decay="all")
    assert bias == pytest.approx(np.full(2, (1 - LR * WD) ** 2), rel=1e-6)


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


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adagrad", "adam", "adamw"])
def test_initial_state_goes_back_to_as_built(name):
    model = network()
    rule = optimizers.build(Optimizer(name=name), model)
    before = [np.asarray(v).copy() for v in rule.variables]
    state = optimizers.InitialState(rule)
    rule.apply([keras.ops.ones((2, 2)), keras.ops.ones(2)])
    assert any((np.asarray(v) != b).any() for v, b in zip(rule.variables, before, strict=True))
    state.restore()
    for variable, value in zip(rule.variables, before, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), value)
