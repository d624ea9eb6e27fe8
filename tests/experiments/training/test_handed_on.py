"""Which layers a network takes from one that was trained before, as VGG's deeper ones from A."""

from __future__ import annotations

import numpy as np
import pytest

import models
from experiments.config import settings
from experiments.errors import BadInput
from experiments.training.weights import copy_weights, donors, leaves, named

FROM_A = ("conv1_1", "conv2_1", "conv3_*", "fc*")


@pytest.fixture(scope="module")
def networks():
    shape = {"input_shape": (32, 32, 3), "classes": 4, "width": 0.0625, "hidden": [8, 8]}
    return [list(leaves(models.build(name, **shape))) for name in ("vgg_a", "vgg16")]


def test_vgg16_begins_with_four_convolutions_and_the_dense_layers_of_a(networks):
    """Simonyan and Zisserman 2015, section 3.1. D has A's first four convolutions under their
    names; its others, among them conv4_1 that A has as well, keep their draw."""
    a, d = networks
    before = {x.name: [np.array(w) for w in x.get_weights()] for x in d if x.weights}
    given = donors(a)
    assert copy_weights(named(given, FROM_A, d), d) == 7
    taken = {"conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8"}
    assert len(before) == 16
    for layer in (x for x in d if x.weights):
        wanted = given[layer.name] if layer.name in taken else before[layer.name]
        for got, want in zip(layer.get_weights(), wanted, strict=True):
            np.testing.assert_array_equal(got, want)
    assert named(given, (), d) is given


def test_a_pattern_without_a_layer_is_refused(networks):
    a, d = networks
    with pytest.raises(BadInput, match=r"initialize_layers: 'conv1_2' matches no layer that both"):
        named(donors(a), ("conv1_2",), d)
    with pytest.raises(BadInput, match=r"initialize_layers needs initialize_from or stages"):
        settings.parse(settings.override({}, ["train.initialize_layers=[conv*]"]))
