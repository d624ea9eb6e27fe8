"""Losses against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.config.train import Loss
from experiments.optimization import losses

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


def test_map_criterion_is_that_of_the_paper_on_distances():
    """LeCun et al. 1998, equation 9, with j = 0.1; distances are minus the outputs."""
    distances = RNG.uniform(0, 6, (8, 5)).astype("float32")
    received = np.asarray(losses.build(Loss(name="map_criterion"), 5).call(LABELS, -distances))

    rubbish = np.exp(-0.1) + np.exp(-distances.astype("float64")).sum(axis=1)
    expected = distances[np.arange(8), LABELS] + np.log(rubbish)
    assert received == pytest.approx(expected, rel=1e-5)


def test_map_criterion_pulls_the_label_and_pushes_near_classes_only():
    import tensorflow as tf

    scores = tf.Variable([[-1.0, -0.5, -60.0]])  # the label, a near class, a far one
    with tf.GradientTape() as tape:
        loss = losses.MapCriterion(3).call(np.array([0]), scores)
    label, near, far = np.asarray(tape.gradient(loss, scores))[0]
    assert label < -0.5
    assert near > 0.2
    assert far == pytest.approx(0, abs=1e-12)
    # A right answer at no distance, all others far: log(exp(-0.1) + 1)
    best = np.asarray(losses.MapCriterion(3).call(np.array([1]), np.array([[-2e4, 0.0, -3e4]])))
    assert best == pytest.approx([np.log(np.exp(-0.1) + 1)])


def test_map_criterion_takes_no_label_smoothing():
    with pytest.raises(ValueError, match="label_smoothing is for cross_entropy"):
        Loss(name="map_criterion", label_smoothing=0.1)
