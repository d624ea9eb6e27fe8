"""Intervals of what a search or a nested search measured over folds, in JSON and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from experiments.jobs.folds import interval_of, is_share
from experiments.presentation.formatting import interval_words
from experiments.search.study import Study
from tuning.trial import Trial

NO_INTERVAL = "a ± is the standard deviation over folds, no interval"


def of_trial(study: Study, outer: int, trial: Trial, objective: str) -> dict[str, Any] | None:
    """low, high, confidence and method, of a trial's mean over its folds; None with one fold, or
    while not all are there."""
    if trial.status != "finished":
        return None
    sizes = study.sizes[outer]
    images = sizes.images if is_share(objective) else None
    interval = interval_of(trial.scores, sizes.trained, sizes.held, images)
    return asdict(interval) if interval else None


def of_outer(study: Study, scores: Sequence[float], name: str) -> dict[str, Any] | None:
    """The same of the mean over the tests of all outer folds."""
    held, trained = _outer_sizes(study)
    interval = interval_of(scores, trained, held, sum(held) if is_share(name) else None)
    return asdict(interval) if interval else None


def of_pairs(
    study: Study, inner: Sequence[Sequence[float]], scores: Sequence[float], name: str
) -> dict[str, Any] | None:
    """`tuning.statistics.intervals.nested_cv` with its estimate, where inner folds are the others
    of the outer ones.

    Only for a fixed procedure: one candidate in every outer fold.

    Args:
        inner: of each outer fold, the score on each other fold, ascending.
        scores: of each outer fold, its test.
    """
    from tuning.statistics.intervals import nested_cv

    held, _ = _outer_sizes(study)
    count = len(held)
    if count < 3 or min(held) < 2 or not is_share(name):
        return None
    if [len(one) for one in inner] != [count - 1] * count:  # repeated: not one score a pair
        return None
    told = nested_cv(inner, scores, held)
    return {"estimate": told.estimate, **asdict(told.interval)}


def tested_by(document: Mapping[str, Any]) -> str:
    """The score of the tests that a nested search's JSON gives the mean of."""
    names = (key.removeprefix("mean_") for key in document if key.startswith("mean_test_"))
    return next(names, "test_top1")


def of_outer_in_words(document: Mapping[str, Any]) -> list[str]:
    """What a nested search's intervals are of."""
    if not (interval := document.get("interval")):
        return []
    name = tested_by(document)
    numbers = [trial["number"] for trial in document.get("trials", ())]
    of = "the whole procedure, search included" if any(numbers) else "this one setting"
    lines = [f"{interval_words(name, interval)}; of {of}; {NO_INTERVAL}"]
    if pairs := document.get("nested_interval"):
        lines.append(
            f"{interval_words(name, pairs)}, around {100 * pairs['estimate']:.2f} %: of networks "
            "trained on all images, but from one draw of the folds it covers less often than it "
            "says; the first one is to be quoted"
        )
    return lines


def of_best_in_words(document: Mapping[str, Any]) -> list[str]:
    """What the interval of a search's winner is worth."""
    best = document.get("best") or {}
    if not (interval := best.get("interval")):
        return []
    rivals = sum(trial["status"] == "finished" for trial in document["trials"])
    text = f"trial {best['number']}: {interval_words(document['score_name'], interval)}"
    if rivals > 1:
        text += f"; optimistic: chosen for being the best of {rivals} on these very images"
    return [f"{text}; {NO_INTERVAL}"]


def _outer_sizes(study: Study) -> tuple[list[int], list[float]]:
    """Images that each outer fold is tested on, and that its refit is trained on."""
    fraction = study.config.data.train_fraction
    tests = [0 if fold.test is None else len(fold.test) for fold in study.folds]
    return tests, [len(fold.learning) * fraction for fold in study.folds]
