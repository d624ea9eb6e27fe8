"""Nested cross-validation: a search in every outer fold, its winner refitted and tested once.

    outer fold 1 | test | ------- learning set ------- |   search: inner folds of the learning set
    outer fold 2 | ---- | test | ---- learning set --- |   refit:  the winner on all of it
    ...                                                    test:   once, on what nothing has seen

The winner's inner score was chosen for being high, so it promises too much; the mean over the outer
tests does not (Varma and Simon 2006; Cawley and Talbot 2010). Their difference is the optimism. A
plain search with a held-out test part is the same with one outer fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import fmean, median, stdev

import numpy as np

from tuning.search import Fit, Search, Trial
from tuning.space import identity


@dataclass(frozen=True)
class Task:
    """A fit of the search in one outer fold, or with `fit` None the refit of its winner."""

    outer: int
    fit: Fit | None = None


@dataclass(frozen=True)
class Refit:
    """How the refit of a winner ended. `score` is its only test."""

    status: str
    score: float | None
    error: str | None


@dataclass(frozen=True)
class Summary:
    """What nested cross-validation says of the whole procedure, in the unit of the scores.

    `optimism` is how much better the inner scores of the winners look than their tests; it may be
    negative. `std` is over outer folds (n - 1), None with one.
    """

    mean: float
    std: float | None
    best_inner_score: float
    optimism: float


class Nested:
    """Searches that do not depend on each other, and after each the refit of its winner.

    Args:
        searches: one an outer fold; their fits are handed out in turn, so that workers stay busy.
        refit: refit winners; without, this is only the searches.
    """

    def __init__(self, searches: Sequence[Search], *, refit: bool = True):
        self.searches = list(searches)
        self.refit = refit
        self.refits: dict[int, Refit] = {}
        self._handed: set[int] = set()

    def ready(self) -> list[Task]:
        """Every fit that may run now and was not handed out before."""
        turns = zip_longest(*(search.ready() for search in self.searches))
        tasks = [
            Task(outer, fit) for turn in turns for outer, fit in enumerate(turn) if fit is not None
        ]
        for outer, search in enumerate(self.searches):
            # A search that its failures stopped has no honest winner, so there is no estimate.
            wanted = self.refit and search.done and outer not in self._handed
            if wanted and not search.failed_in_a_row and search.best:
                self._handed.add(outer)
                tasks.append(Task(outer))
        return tasks

    def tell(
        self,
        task: Task,
        status: str,
        score: float | None = None,
        error: str | None = None,
        epochs: int | None = None,
        hits: np.ndarray | None = None,
    ) -> None:
        """Hear how a task ended: the validation score of a fit, the test score of a refit."""
        if task.fit is None:
            if task.outer not in self._handed or task.outer in self.refits:
                raise ValueError(f"outer fold {task.outer}: no refit is under way")
            self.refits[task.outer] = Refit(status, score, error)
            return
        search = self.searches[task.outer]
        search.tell(task.fit, status, score, error, epochs, hits)
        if search.failed_in_a_row:
            self.stop("failures")

    def wants(self, task: Task) -> bool:
        """False for a task that needs no longer run."""
        if task.fit is not None:
            return self.searches[task.outer].wants(task.fit)
        return not any(search.failed_in_a_row for search in self.searches)

    def stop(self, reason: str) -> None:
        """End every search that still goes on; refits of what they found are still handed out."""
        for search in self.searches:
            if not search.done:
                search.stop(reason)

    def winner(self, outer: int) -> Trial | None:
        """What was chosen in an outer fold."""
        return self.searches[outer].best

    @property
    def winners_differ(self) -> bool:
        """Did the outer folds choose different settings?"""
        winners = [search.best for search in self.searches]
        return len({identity(winner.settings) for winner in winners if winner}) > 1


def summary(inner: Sequence[float], tests: Sequence[float], *, minimise: bool = False) -> Summary:
    """The estimate from the inner score and the test score of each outer fold's winner."""
    mean, naive = fmean(tests), fmean(inner)
    optimism = mean - naive if minimise else naive - mean
    return Summary(mean, stdev(tests) if len(tests) > 1 else None, naive, optimism)


def median_epochs(trial: Trial) -> int:
    """Epochs for a refit that has no validation images to stop by: the median of the folds' best
    epochs, the later one of two in the middle."""
    return max(1, int(median(trial.lengths[fold] for fold in range(trial.folds)) + 0.5))
