"""Top-k accuracy on cases counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.metrics import accuracies, ranks, softmax


def test_ranks_count_the_classes_before_the_label():
    logits = np.array([[3.0, 1, 2], [3, 1, 2], [3, 1, 2]])
    assert ranks(logits, np.array([0, 2, 1])).tolist() == [0, 1, 2]


def test_a_constant_network_gets_no_credit():
    labels = np.repeat(np.arange(10), 5)
    scores = accuracies(np.zeros((50, 10)), labels, "val")
    assert scores == {"val_top1": 0.1, "val_top5": 0.5}


def test_top5_is_left_out_at_five_classes():
    labels = np.array([0, 1])
    assert set(accuracies(np.eye(5)[:2], labels, "test")) == {"test_top1"}
    assert set(accuracies(np.eye(6)[:2], labels, "test")) == {"test_top1", "test_top5"}


def test_softmax_is_finite_for_large_scores():
    p = softmax(np.array([[1000.0, 0.0], [0.0, 0.0]]))
    assert p == pytest.approx(np.array([[1.0, 0.0], [0.5, 0.5]]))
    assert p.dtype == np.float32
