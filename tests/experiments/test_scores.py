"""Top-k accuracy on cases counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.jobs.folds import is_share
from experiments.metrics import accuracies, over_classes, ranks, softmax


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


@pytest.mark.parametrize("seed", range(5))
def test_means_over_classes_are_those_of_scikit_learn(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 2, 5], 200, p=[0.8, 0.1, 0.07, 0.03])  # 3, 4 and 6 have no images
    predicted = np.where(rng.random(200) < 0.6, labels, rng.choice([0, 1, 3, 6], 200))
    present = np.unique(labels)
    recall = metrics.recall_score(labels, predicted, labels=present, average="macro")
    f1 = metrics.f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    scores = over_classes(predicted, labels, "test")
    assert scores == pytest.approx({"test_balanced_top1": recall, "test_macro_f1": f1})
    inside = np.where(np.isin(predicted, present), predicted, 0)
    balanced = metrics.balanced_accuracy_score(labels, inside)
    assert over_classes(inside, labels, "val")["val_balanced_top1"] == pytest.approx(balanced)


def test_a_class_never_answered_has_an_f1_of_nothing_and_an_absent_one_is_left_out():
    labels, answers = np.array([0] * 8 + [2] * 2), np.zeros(10, int)
    scores = over_classes(answers, labels, "val")
    assert scores == pytest.approx({"val_balanced_top1": 0.5, "val_macro_f1": (8 / 9) / 2})
    assert all(np.isnan([*over_classes(labels[:0], labels[:0], "val").values()]))
    assert not is_share("val_balanced_top1")  # no binomial interval
    assert is_share("val_top1")
