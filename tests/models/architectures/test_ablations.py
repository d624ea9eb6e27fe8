"""Pairs that differ in one idea: what they share, and by how much they differ."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import models
from models import registry

NAMES = ("stack_of_3x3", "single_7x7", "convolutional", "fully_connected")


def _outline(name: str, shape: Any = (32, 32, 3), classes: int = 10, **options: Any) -> keras.Model:
    return registry.assemble(
        name, "models.architectures.ablations", shape, classes, options, draw_weights=False
    )


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("stack_of_3x3", 593_130, 86_082_816),
        ("single_7x7", 1_065_770, 155_288_832),
        ("convolutional", 288_298, 38_634_752),
        ("fully_connected", 288_935, 288_743),
    ],
)
def test_counts(name: str, params: int, macs: int) -> None:
    cost = models.profile(_outline(name))

    assert (cost.params, cost.macs) == (params, macs)


@pytest.mark.parametrize(("stage", "maps"), [(1, 32), (2, 64), (3, 128)])
def test_three_3x3_see_as_far_as_one_7x7_with_fewer_weights(stage: int, maps: int) -> None:
    rows = {
        name: [r for r in models.profile(_outline(name)).layers if f"conv{stage}_" in r.name]
        for name in ("stack_of_3x3", "single_7x7")
    }

    ends = {name: found[-1] for name, found in rows.items()}
    assert ends["stack_of_3x3"].receptive_field == ends["single_7x7"].receptive_field
    assert ends["stack_of_3x3"].output_shape == ends["single_7x7"].output_shape
    weights = {name: sum(r.params for r in found[1:]) for name, found in rows.items()}
    assert weights["stack_of_3x3"] == 27 * maps**2 + 3 * maps  # and biases
    assert weights["single_7x7"] == 49 * maps**2 + maps


@pytest.mark.parametrize(
    ("shape", "classes"),
    [((32, 32, 3), 10), ((28, 28, 1), 10), ((8, 8, 1), 10), ((32, 32, 3), 100)],
)
@pytest.mark.parametrize("options", [{}, {"normalization": "batch"}])
def test_equal_parameters(shape: Any, classes: int, options: dict[str, Any]) -> None:
    shared, own = (
        models.profile(_outline(name, shape, classes, **options)).params
        for name in ("convolutional", "fully_connected")
    )

    assert own == pytest.approx(shared, rel=0.01)


def test_width_keeps_the_pair_together() -> None:
    shared, own = (
        models.profile(_outline(name, (8, 8, 1), width=0.5)).params
        for name in ("convolutional", "fully_connected")
    )

    assert shared == 72_442
    assert own == pytest.approx(shared, rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_they_learn(name: str) -> None:
    """Bright and dark squares are told apart after a few steps."""
    keras.utils.set_random_seed(5)
    random = np.random.default_rng(2)
    labels = np.arange(32) % 2
    images = random.normal(size=(32, 8, 8, 1)).astype("float32")
    images[:, 2:6, 2:6] += 2.0 * (2 * labels - 1)[:, None, None, None]
    model = registry.assemble(name, "models.architectures.ablations", (8, 8, 1), 2, {"width": 0.5})
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), loss, metrics=["accuracy"])

    model.fit(images, labels, epochs=12, batch_size=32, verbose=0)

    assert model.evaluate(images, labels, verbose=0)[1] > 0.9
