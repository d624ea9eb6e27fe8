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
    for seed in (7, 5):
        drawing(seed)
        compiled = values(layers)
        for leaf in layers:
            draw(leaf, seed)
        for got, want in zip(compiled, values(layers), strict=True):
            np.testing.assert_array_equal(got, want)
    assert len(afresh) == 2  # once in Python, once in the trace
