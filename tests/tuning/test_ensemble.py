"""Ensembles from arrays: averages, scores, the best member, gains and cost."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.metrics import accuracies, softmax
from tuning import ensemble
from tuning.statistics.significance import accuracy_interval, difference_interval, mcnemar


def network(seed: int, labels: np.ndarray, classes: int = 8, skill: float = 1.5) -> np.ndarray:
    """Probabilities float32 of a network that is right more often than not."""
    logits = np.random.default_rng(seed).normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += skill
    return softmax(logits.astype(np.float32))


LABELS = np.random.default_rng(0).integers(0, 8, 500)


def test_average_by_hand() -> None:
    one = np.array([[0.6, 0.4, 0.0], [0.1, 0.2, 0.7]], np.float32)
    two = np.array([[0.0, 0.5, 0.5], [0.3, 0.4, 0.3]], np.float32)
    found = ensemble.average([one, two])
    assert found.dtype == np.float64
    assert found == pytest.approx(np.array([[0.3, 0.45, 0.25], [0.2, 0.3, 0.5]]), abs=1e-7)
    # neither member's first answer was class 1
    assert found[0].argmax() == 1


def test_average_is_summed_in_float64() -> None:
    members = [np.full((1, 3), 1 / 3, np.float32)] * 3
    assert ensemble.average(members)[0, 0] == float(np.float32(1 / 3))


def test_average_does_not_depend_on_the_order_of_members() -> None:
    members = [network(seed, LABELS) for seed in range(4)]
    assert ensemble.average(members) == pytest.approx(ensemble.average(members[::-1]), abs=1e-15)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([], "members of one shape"),
        ([np.full((2, 2), 0.5), np.full((3, 2), 0.5)], "members of one shape"),
        ([np.array([0.5, 0.5])], "members of one shape"),
        ([np.array([[2.0, -1.0]])], "average no logits"),
        ([np.array([[3.0, 1.5]])], "average no logits"),
        ([np.array([[np.nan, 1.0]])], "average no logits"),
    ],
)
def test_average_refuses(members, says) -> None:
    with pytest.raises(ValueError, match=says):
        ensemble.average(members)


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_the_runs(seed) -> None:
    probabilities = network(seed, LABELS)
    probabilities[:50] = 1 / 8  # ties count for the lower class
    expected = accuracies(probabilities, LABELS, "test")

    found = ensemble.score(probabilities, LABELS)

    assert found.top1 == expected["test_top1"]
    assert found.top5 == expected["test_top5"]
    assert found.top1_interval == accuracy_interval(round(found.top1 * 500), 500)
    assert found.top5_interval == accuracy_interval(round(found.top5 * 500), 500)


def test_five_classes_have_no_top5() -> None:
    labels = LABELS % 5
    found = ensemble.score(network(1, labels, classes=5), labels)
    assert found.top5 is None
    assert found.top5_interval is None
    assert ensemble.score(network(1, labels, classes=6), labels).top5 is not None


def test_best_member_is_the_one_with_the_highest_top1() -> None:
    members = [network(seed, LABELS, skill=skill) for seed, skill in enumerate((1.0, 2.0, 1.5))]
    assert ensemble.best_member(members, LABELS) == 1
    assert ensemble.best_member(members[::-1], LABELS) == 1
    assert ensemble.best_member(members[:1], LABELS) == 0


def test_top1_comes_before_the_log_loss() -> None:
    labels = np.zeros(4, int)
    often_right = np.array([[0.51, 0.49]] * 3 + [[0.001, 0.999]])
    sure = np.array([[0.99, 0.01]] * 2 + [[0.49, 0.51]] * 2)
    assert ensemble.log_loss(often_right, labels) > ensemble.log_loss(sure, labels)
    assert ensemble.best_member([sure, often_right], labels) == 1


def test_of_equally_right_members_the_one_with_the_lower_log_loss_is_best() -> None:
    labels = np.array([0, 1, 1])
    unsure = np.array([[0.6, 0.4], [0.4, 0.6], [0.6, 0.4]])
    sure = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4]])
    assert ensemble.best_member([unsure, sure], labels) == 1
    assert ensemble.best_member([sure, unsure], labels) == 0
    assert ensemble.best_member([sure, sure], labels) == 0
    assert ensemble.log_loss(unsure, labels) == pytest.approx(-(2 * np.log(0.6) + np.log(0.4)) / 3)
    assert np.isfinite(ensemble.log_loss(np.array([[0.0, 1.0]]), np.array([0])))
    with pytest.raises(ValueError, match="a member or more"):
        ensemble.best_member([], labels)


def test_gain_is_paired() -> None:
    first, second = network(1, LABELS, skill=2.5), network(2, LABELS, skill=1.5)
    right, other = first.argmax(1) == LABELS, second.argmax(1) == LABELS

    found = ensemble.gain(first, second, LABELS)

    assert found.top1 == pytest.approx(right.mean() - other.mean())
    assert found.interval == difference_interval(right, other)
    assert found.test == mcnemar(right, other)
    assert found.interval.low > 0
    assert found.test.p_value < 0.05


def test_averaging_networks_that_err_apart_gains_and_a_copy_gains_nothing() -> None:
    members = [network(seed, LABELS) for seed in range(5)]
    whole = ensemble.average(members)

    better = ensemble.gain(whole, members[0], LABELS)
    same = ensemble.gain(ensemble.average([members[0]] * 5), members[0], LABELS)

    assert better.top1 > 0.1
    assert better.test.p_value < 1e-3
    assert same.top1 == 0.0
    assert same.test.p_value == 1.0


def test_cost_is_the_sum_of_the_members() -> None:
    members = [
        {"macs": 100.0, "params": 10.0, "latency_ms_p50": 1.5, "train_seconds": 9.0},
        {"macs": 40.0, "params": 30.0, "latency_ms_p50": 0.5, "train_seconds": 9.0},
    ]
    assert ensemble.cost(members) == {"macs": 140.0, "params": 40.0, "latency_ms_p50": 2.0}
    del members[1]["latency_ms_p50"]
    assert ensemble.cost(members) == {"macs": 140.0, "params": 40.0}
