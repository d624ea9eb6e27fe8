"""Losses against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from experiments import losses
from experiments.config import Loss

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(8, 5)).astype("float32") * 3
LABELS = RNG.integers(0, 5, 8)
ONE_HOT = np.eye(5)[LABELS]


def value(**settings):
    return np.asarray(losses.build(Loss(**settings), 5).call(LABELS, SCORES))


def log_softmax(z):
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def test_cross_entropy():
    expected = -(ONE_HOT * log_softmax(SCORES)).sum(axis=1)
    assert value() == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_is_cross_entropy_with_softened_targets():
    targets = 0.9 * ONE_HOT + 0.1 / 5
    expected = -(targets * log_softmax(SCORES)).sum(axis=1)
    assert value(label_smoothing=0.1) == pytest.approx(expected, rel=1e-5)


def test_hinge_sums_the_margins_of_the_wrong_classes():
    expected = [
        sum(max(0.0, s - row[y] + 1) for j, s in enumerate(row) if j != y)
        for row, y in zip(SCORES, LABELS, strict=True)
    ]
    assert value(name="hinge") == pytest.approx(np.array(expected), rel=1e-5)


def test_mean_squared_error_is_on_raw_scores():
    expected = ((SCORES - ONE_HOT) ** 2).mean(axis=1)
    assert value(name="mean_squared_error") == pytest.approx(expected, rel=1e-5)
