"""Values that vary after the trace: they act, with the bits of a constant, or are refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiments.config.train import Optimizer
from experiments.errors import FailedWork
from experiments.optimization import optimizers
from experiments.optimization.optimizers import assign_rate

START = np.linspace(-1, 1, 12).reshape(4, 3).astype("float32")
GRADIENTS = np.random.default_rng(0).normal(size=(5, 4, 3)).astype("float32")


def network():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, use_bias=False)])
    model.layers[0].kernel.assign(START)
    return model


def compiled(rule, model):
    """One update as a traced program, as training runs it."""
    return tf.function(lambda gradient: rule.apply([gradient]), autograph=False)


def after(rule, model, update):
    for gradient in GRADIENTS:
        update(tf.constant(gradient))
    return np.asarray(model.layers[0].kernel)


@pytest.mark.parametrize(
    ("name", "built", "set_to"),
    [
        ("sgd", {"momentum": 0.9, "weight_decay": 0.1}, {"momentum": 0.35, "weight_decay": 0.003}),
        ("sgd", {"momentum": 0.1, "nesterov": True}, {"momentum": 0.77, "nesterov": True}),
        ("adamw", {"weight_decay": 0.0}, {"weight_decay": 0.07}),
        ("adam", {"weight_decay": 0.2}, {"weight_decay": 0.07}),
    ],
)
def test_a_value_set_after_the_trace_gives_the_bits_of_kerass_constant(name, built, set_to):
    model = network()
    rule = optimizers.build(Optimizer(name=name, **built), model)
    fresh = optimizers.InitialState(rule)
    update = compiled(rule, model)
    first = after(rule, model, update)
    fresh.restore()
    model.layers[0].kernel.assign(START)
    optimizers.assign(rule, Optimizer(name=name, **set_to))
    second = after(rule, model, update)
    assert update.experimental_get_tracing_count() == 1
    assert (first != second).any()

    constant = network()
    decay = set_to.get("weight_decay", 0.0)
    stock = {
        "sgd": lambda: keras.optimizers.SGD(
            0.01, momentum=set_to["momentum"], nesterov=set_to.get("nesterov", False)
        ),
        "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=decay),
        "adam": lambda: keras.optimizers.Adam(0.01),
    }[name]()
    kernel = constant.layers[0].kernel
    l2 = 0.0 if name == "adamw" else decay
    stock.build([kernel])

    @tf.function(autograph=False)
    def plain(gradient):
        stock.apply([gradient + l2 * kernel if l2 else gradient])

    np.testing.assert_array_equal(second, after(stock, constant, plain))


@pytest.mark.parametrize(
    ("built", "set_to"),
    [({"momentum": 0.0}, {"momentum": 0.9}), ({"weight_decay": 0.0}, {"weight_decay": 0.1})],
)
def test_what_is_no_variable_is_refused(built, set_to):
    rule = optimizers.build(Optimizer(**built), network())
    with pytest.raises(FailedWork, match=r"fixed in the traced program"):
        optimizers.assign(rule, Optimizer(**set_to))


def test_the_setter_sets_variables_only():
    rule = optimizers.build(Optimizer(name="adam"), network())
    assign_rate(rule, "learning_rate", 0.25)
    assert float(rule.learning_rate) == 0.25
    with pytest.raises(FailedWork, match=r"beta_1 of Adam is fixed.*received 0.9; build another"):
        assign_rate(rule, "beta_1", 0.5)
