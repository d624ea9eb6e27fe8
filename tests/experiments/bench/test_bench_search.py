"""`ilsvrc bench search`: the same candidates on both sides, and figures in words."""

from __future__ import annotations

import pytest

from experiments.bench import search
from experiments.bench.course import Course
from experiments.errors import BadInput


def test_the_figures_in_words():
    found = {
        "overhead": {"trials": 16, "folds": 3, "epochs": 10, "wall_over_steps": 1.0678},
        "two_epochs": {
            "epochs": 2, "ratio": 15.43, "trials": 16, "equal_scores": 47, "scores": 48,
        },
        "memory": {"fits": 102, "mib_a_fit": {"ours": 0.001, "stock": 6.7}},
        "missing": {},
    }  # fmt: skip
    lines = search.text(found).splitlines()
    assert "wall time 1.068 of the time inside steps" in lines[0]
    assert "KerasTuner takes 15.4 times as long" in lines[1]
    assert "47 of 48 scores equal" in lines[1]
    assert lines[2] == "memory, MiB a fit over 102 fits: ours 0.001, stock 6.700"


def test_an_unknown_part_is_refused():
    with pytest.raises(BadInput, match=r"no part 'overhaed'; expected overhead, two_epochs"):
        search.run(2, ["overhaed"], print)


def test_both_sides_give_the_same_scores():
    found = search.against_keras_tuner(Course(), "two_epochs", search.Workload(2, 2))
    assert found["scores"] == found["equal_scores"] == 2 * search.FOLDS
