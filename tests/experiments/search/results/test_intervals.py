"""Which fits an interval is made of, and which interval is made."""

from __future__ import annotations

from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments.search.folds import Folds
from experiments.search.results import intervals
from experiments.search.results.report import metrics
from experiments.search.study import Sizes, Study
from tuning.statistics.intervals import corrected, nested_cv, of_folds
from tuning.trial import Trial

IMAGES, OUTER, INNER = 100, 5, 4
SCORES = [0.90, 0.95, 0.85, 0.90, 1.0]


def nested_study(fraction: float = 1.0) -> Study:
    """Five outer folds, whose inner folds are the other outer ones."""
    tests = np.array_split(np.arange(IMAGES), OUTER)
    folds = []
    for test in tests:
        learning = np.setdiff1d(np.arange(IMAGES), test)
        others = [other for other in tests if other is not test]
        pairs = [(np.setdiff1d(learning, held), held) for held in others]
        folds.append(Folds(pairs, learning, test))
    config: Any = SimpleNamespace(data=SimpleNamespace(train_fraction=fraction))
    return Study("nested", config, None, folds)


def trial(scores: list[float]) -> Trial:
    return Trial(0, {}, None, len(scores), "finished", dict(enumerate(scores)))


def test_the_interval_of_a_trial_is_of_its_folds() -> None:
    study = nested_study(0.5)
    assert study.sizes[0] == Sizes([30.0] * 4, [20] * 4, 80)
    told = intervals.of_trial(study, 0, trial(SCORES[:INNER]), "val_top1")
    assert told == asdict(of_folds(SCORES[:INNER], held=[20] * 4, trained=[30] * 4, images=80))
    losses = intervals.of_trial(study, 0, trial(SCORES[:INNER]), "val_loss")
    assert losses == asdict(corrected(SCORES[:INNER], held=[20] * 4, trained=[30] * 4))
    assert intervals.of_trial(study, 0, trial([0.9]), "val_top1") is None
    gone = trial(SCORES[:INNER])
    gone.status = "gave_up"
    assert intervals.of_trial(study, 0, gone, "val_top1") is None


def test_a_repeat_shows_no_images_that_are_new() -> None:
    study = nested_study()
    [first, *_] = study.folds
    repeated = replace(study, folds=[replace(first, pairs=first.pairs * 3)])
    assert repeated.sizes[0].images == 80
    assert len(repeated.sizes[0].held) == 3 * INNER


def test_the_interval_of_outer_folds_is_of_their_tests() -> None:
    told = intervals.of_outer(nested_study(), SCORES, "test_top1")
    assert told == asdict(of_folds(SCORES, held=[20] * 5, trained=[80] * 5, images=IMAGES))
    assert told["method"] == "corrected resampled t"
    agreed = intervals.of_outer(nested_study(), [0.9] * 5, "test_top1")
    assert agreed["method"] == "Wilson over images"
    squares = intervals.of_outer(nested_study(), [0.9] * 5, "test_mse")
    assert (squares["low"], squares["high"]) == (0.9, 0.9)
    assert metrics(
        {"seconds": 1.0, "fits": {}, "mean_test_top1": 0.9, "interval": told}
    ) == {
        "search_seconds": 1.0, "mean_test_top1": 0.9,
        "mean_test_top1_low": told["low"], "mean_test_top1_high": told["high"],
    }  # fmt: skip


def test_pair_fits_give_the_interval_of_bates_hastie_and_tibshirani() -> None:
    """Outer fold i's inner scores are those of the networks without i and j on j, ascending."""
    study = nested_study()
    inner = [[0.85 + 0.01 * j for j in range(OUTER) if j != i] for i in range(OUTER)]
    told = intervals.of_pairs(study, inner, SCORES, "test_top1")
    by_hand = nested_cv(inner, SCORES, [20] * 5)
    assert told == {"estimate": by_hand.estimate, **asdict(by_hand.interval)}
    assert told["estimate"] == pytest.approx(0.87 - 1.6 * (0.87 - 0.92))
    assert intervals.of_pairs(study, inner, SCORES, "test_mse") is None
    assert intervals.of_pairs(study, [one[:3] for one in inner], SCORES, "test_top1") is None
