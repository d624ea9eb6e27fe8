"""Weights drawn by one compiled call: those of the eager draws, layer by layer."""

from __future__ import annotations

import numpy as np
import pytest

import models
from experiments.training.weights import Drawing, draw, leaves

NETWORKS = {
    "lenet5": {},  # maps whose draws are linked, and codes
    "mlp": {"hidden": [9, 8], "normalization": "batch", "dropout": 0.2},
}


def values(layers):
    return [np.asarray(v) for leaf in layers for v in leaf.variables]


@pytest.mark.parametrize("initializer", [None, "he", "fan_in"])
@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_draws_are_the_eager_ones(name, initializer):
    options = NETWORKS[name] | ({"initializer": initializer} if initializer else {})
    network = models.build(name, input_shape=(32, 32, 1), classes=10, **options)
    layers, afresh = list(leaves(network)), []
    drawing = Drawing(layers, lambda: afresh.append(1))
    drawing(5)
    for seeds in ((7,), (5, 9)):  # one for both; of the weights, of the random states
        drawing(*seeds)
        compiled = values(layers)
        for leaf in layers:
            draw(leaf, *seeds)
        for got, want in zip(compiled, values(layers), strict=True):
            np.testing.assert_array_equal(got, want)
    assert len(afresh) == 2  # once in Python, once in the trace


def test_weights_and_random_states_have_seeds_of_their_own():
    options = {"hidden": [9], "dropout": 0.2}
    layers = list(leaves(models.build("mlp", input_shape=(8, 8, 1), classes=10, **options)))
    drawing = Drawing(layers, lambda: None)

    def drawn(*seeds):
        drawing(*seeds)
        weights = {id(w) for leaf in layers for w in leaf.weights}
        every = [v for leaf in layers for v in leaf.variables]
        parts = ([v for v in every if (id(v) in weights) == whether] for whether in (True, False))
        return [np.concatenate([np.ravel(v) for v in part]).tolist() for part in parts]

    weights, states = drawn(5)
    assert drawn(5, 5) == [weights, states]
    assert drawn(5, 6) == [weights, drawn(6)[1]]
    assert drawn(6, 5) == [drawn(6)[0], states]
    assert weights != drawn(6)[0]
    assert states != drawn(6)[1]
