"""A candidate of a search, its fits, and how they ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any, Literal

import numpy as np

Status = Literal["running", "finished", "failed", "gave_up", "unfinished", "refused"]


@dataclass(frozen=True)
class Fit:
    """One candidate on one fold."""

    trial: int
    fold: int
    settings: Mapping[str, Any]
    epochs: int | None = None
    """As the oracle decided; None: as configured."""
    first: int | None = None
    """The shortest trial of the same settings, of which this is a longer one; None: it is none."""
    goes_on: bool = False
    """May a longer one follow?"""


@dataclass
class GaveUp:
    """Why a candidate left the race."""

    folds: int
    """that it had done"""
    leader: int
    p: float
    """one-sided, that it is no worse than the leader"""


@dataclass
class Trial:
    """A candidate and how it did."""

    number: int
    settings: Mapping[str, Any]
    epochs: int | None
    folds: int
    status: Status = "running"
    told: dict[int, float | None] = field(default_factory=dict)
    """Score by fold; None for a fit that failed."""
    errors: dict[int, str] = field(default_factory=dict)
    lengths: dict[int, int] = field(default_factory=dict)
    """Epochs that gave the score, by fold."""
    hits: dict[int, np.ndarray] = field(default_factory=dict)
    """bool [images], by fold, whether each was right; of fits that told."""
    figures: dict[int, Mapping[str, float]] = field(default_factory=dict)
    """By fold, what a search of several objectives compares beside what it knows before."""
    gave_up: GaveUp | None = None
    refused: Mapping[str, float] | None = None
    """The cost for which it was not fitted."""
    earlier: int | None = None
    """The trial that was promoted to this longer one."""
    first: int | None = None
    """The shortest one of that row."""
    goes_on: bool = False
    """May it be promoted?"""

    @property
    def limit(self) -> int:
        """How many folds this trial needs: up to its first failure, or to where it gave up."""
        if self.gave_up:
            return self.gave_up.folds
        return min(self.errors, default=self.folds - 1) + 1

    @property
    def scores(self) -> list[float]:
        """Of the folds before the first that is missing or failed: equal however fits were
        ordered."""
        scores = []
        for fold in range(self.folds):
            score = self.told.get(fold)
            if score is None:
                break
            scores.append(score)
        return scores

    @property
    def score(self) -> float | None:
        """Mean over the folds, None unless every fold is there."""
        return fmean(self.scores) if self.status == "finished" else None

    @property
    def std(self) -> float | None:
        """Standard deviation over the folds (n - 1)."""
        return stdev(self.scores) if self.status == "finished" and self.folds > 1 else None

    @property
    def error(self) -> str | None:
        """Of the first fold that failed."""
        return self.errors[min(self.errors)] if self.errors else None


def hits_of(trials: list[Trial], folds: int) -> list[list[np.ndarray]] | None:
    """Of each trial on each of the first folds; None unless all of them told."""
    if not all(fold in trial.hits for trial in trials for fold in range(folds)):
        return None
    return [[trial.hits[fold] for fold in range(folds)] for trial in trials]
