"""The network to use (`search.final`): what is to be expected of it on new images, and its card.

It is trained on every image that the estimate has used, so that nothing is left to test it, and its
score on any of them would be too good. What its card says is the estimate: of nested
cross-validation for the whole procedure, of which it is what all images give; after a plain search
the test of the winner when it was trained without the test images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from experiments.jobs.folds import thinned
from experiments.presentation.formatting import in_percent
from experiments.presentation.formatting import score as written
from experiments.search.results import intervals
from experiments.search.study import Study
from tuning.statistics.significance import Interval, accuracy_interval

if TYPE_CHECKING:
    from experiments.search.drive import Drive

LABELS = {
    "top1": "top-1",
    "balanced_top1": "balanced top-1",
    "macro_f1": "macro F1",
    "mse": "squared error",
}


@dataclass(frozen=True)
class Expected:
    """An estimate of a score on new images."""

    name: str
    """Of `LABELS`; a fraction, but for mse."""
    value: float
    interval: Interval | None
    """None where there is none to be had."""
    basis: str
    """By what it was estimated, after the verb."""

    @property
    def metrics(self) -> dict[str, float]:
        """expected_top1, with its interval expected_top1_low and _high."""
        values = {f"expected_{self.name}": self.value}
        if self.interval:
            low, high = self.interval.low, self.interval.high
            values |= {f"expected_{self.name}_low": low, f"expected_{self.name}_high": high}
        return values

    @property
    def card(self) -> str:
        """The same in a sentence."""
        text = f"expected {LABELS[self.name]} on new images {self._shown(self.value)}"
        if self.interval:
            ends = self._shown(self.interval.low), self._shown(self.interval.high)
            low, high = (end.removesuffix(" %") for end in ends)
            unit = " %" if in_percent(self.name) else ""
            text += f", {100 * self.interval.confidence:.0f} % interval {low} to {high}{unit}"
        return f"{text}, estimated {self.basis}"

    def _shown(self, value: float) -> str:
        return f"{100 * value:.1f} %" if in_percent(self.name) else written(self.name, value)


def over_folds(study: Study, name: str, tests: Sequence[float]) -> Expected:
    """From the test score of each outer fold, with the interval that the report prints."""
    told = intervals.of_outer(study, tests, f"test_{name}")
    interval = Interval(**told | {"low": max(told["low"], 0.0)}) if told else None
    basis = "by nested cross-validation of the whole procedure"
    return Expected(name, fmean(tests), interval, basis)


def over_images(name: str, test: float, images: int) -> Expected:
    """From one test; of an accuracy with its bootstrap interval over the images."""
    interval = accuracy_interval(round(test * images), images) if name == "top1" else None
    basis = f"on {images} test images by the winner trained without them"
    return Expected(name, test, interval, basis)


def expected(drive: Drive) -> Expected | None:
    """What the tests of a search promise; None unless all of them are there."""
    test = drive.best_by.replace("val_", "test_")
    folds = drive.study.folds
    outcomes = [drive.refits[at][0] for at in range(len(folds)) if at in drive.refits]
    tests = [outcome.scores[test] for outcome in outcomes if test in outcome.scores]
    if len(tests) < len(folds):
        return None
    name = test.removeprefix("test_")
    if drive.study.nested:
        return over_folds(drive.study, name, tests)
    assert folds[0].test is not None
    return over_images(name, tests[0], len(folds[0].test))


def document(drive: Drive) -> dict[str, Any]:
    """Of a search's JSON: how the final fit was chosen, its run, and what to expect of it."""
    assert drive.study.final
    assert drive.work.final is not None
    number = drive.work.final
    winner, fit = drive.work.winner(number), drive.refits.get(number)
    estimate = expected(drive) if fit and fit[0].status == "finished" else None
    row: dict[str, Any] = {
        "chosen_by": "search" if drive.study.final.pairs else "candidates",
        "trial": winner and winner.number,
        "hyperparameters": winner and dict(winner.settings),
        "images": len(thinned(drive.config, drive.study.source, drive.study.final.learning)),
        "run_id": fit[1] if fit else "",
        "status": fit[0].status if fit else "failed",
        "error": error(drive),
        "epochs": len(fit[0].history) if fit else None,
    }
    names = [f"expected_{drive.best_by.removeprefix('val_')}{end}" for end in ("", "_low", "_high")]
    row |= dict.fromkeys(names) | (estimate.metrics if estimate else {})
    method = estimate.interval.method if estimate and estimate.interval else None
    return row | {"interval": method, "card": estimate.card if estimate else None}


def error(drive: Drive) -> str | None:
    """Why there is no final network; None where there is one, or none is wanted."""
    number = drive.work.final
    if number is None:
        return None
    if fit := drive.refits.get(number):
        return None if fit[0].status == "finished" else f"final fit: {fit[0].error}"
    if failed := drive.work.searches[-1].failed_in_a_row:
        return (
            f"search.final: {len(failed)} trials in a row failed, the last one: "
            f"{failed[-1].error}; raise search.max_failures to go on"
        )
    if drive.work.winner(number) is not None:
        return "final fit: did not run, as not every refit was tested"
    assert drive.study.final
    if drive.study.final.pairs or not drive.study.nested:
        return "search.final: no trial has finished, so there is nothing to fit"
    return (
        "search.final: no candidate has finished in every outer fold, so none is best over all; "
        "try others with --fresh"
    )


def in_words(final: dict[str, Any], nested: bool) -> str:
    """How it was chosen, for people."""
    chosen = "the winner"
    if final["chosen_by"] == "search":
        chosen = "the winner of one more search over all images"
    elif nested:
        chosen = "chosen over all folds, as every outer fold had the same candidates"
    return f"{chosen}, trained on {final['images']} images, those of the tests too"
