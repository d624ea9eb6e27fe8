"""Nested cross-validation: a search in every outer fold, its winner refitted and tested once.

    outer fold 1 | test | ------- learning set ------- |   search: inner folds of the learning set
    outer fold 2 | ---- | test | ---- learning set --- |   refit:  the winner on all of it
    ...                                                    test:   once, on what nothing has seen

The winner's inner score was chosen for being high, so it promises too much; the mean over the outer
tests does not (Varma and Simon 2006; Cawley and Talbot 2010). Their difference is the optimism. A
plain search with a held-out test part is the same with one outer fold.

The estimate is of a procedure, and the outer folds' networks are its by-products. The network to
use is what the procedure makes of all images: one more, final fit, which nothing is left to test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import fmean, median, stdev

from tuning.search import Fit, Search, Trial
from tuning.space import identity


@dataclass(frozen=True)
class Task:
    """A fit of the search in one outer fold, or with `fit` None the refit of its winner.

    `outer` is `Nested.final` of the final fit, and of the search that chooses for it.
    """

    outer: int
    fit: Fit | None = None


@dataclass(frozen=True)
class Refit:
    """How the refit of a winner ended. `score` is its only test, None of the final fit."""

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
        final: end with a fit on all images, once every refit was tested. True: of the candidate
            that is best over all searches (`pooled`), which all propose the same ones. A search:
            of its winner; it is over all images and goes on beside the others.

    Raises:
        ValueError: a final fit without refits, whose tests say what to expect of it.
    """

    def __init__(
        self, searches: Sequence[Search], *, refit: bool = True, final: Search | bool = False
    ):
        if final and not refit:
            raise ValueError("final: expected refit, too; without it there is no test")
        self.outer = list(searches)
        """Those of the outer folds."""
        self.searches = [*self.outer, final] if isinstance(final, Search) else self.outer
        self.final = len(self.outer) if final else None
        """Number that the final fit has among outer folds; None without."""
        self.refit = refit
        self.refits: dict[int, Refit] = {}
        self._handed: set[int] = set()

    def ready(self) -> list[Task]:
        """Every fit that may run now and was not handed out before."""
        turns = zip_longest(*(search.ready() for search in self.searches))
        tasks = [
            Task(outer, fit) for turn in turns for outer, fit in enumerate(turn) if fit is not None
        ]
        for outer in range(len(self.outer) + (self.final is not None)):
            if self.refit and outer not in self._handed and self._is_due(outer):
                self._handed.add(outer)
                tasks.append(Task(outer))
        return tasks

    def _is_due(self, outer: int) -> bool:
        """Is it certain what a refit, or the final fit, repeats?"""
        # A search that its failures stopped has no honest winner, so there is no estimate.
        searches = self._chosen_from(outer)
        if any(search.failed_in_a_row or not search.done for search in searches):
            return False
        tested = [self.refits.get(other) for other in range(len(self.outer))]
        if outer == self.final and not all(one and one.status == "finished" for one in tested):
            return False
        return self.winner(outer) is not None

    def _chosen_from(self, outer: int) -> list[Search]:
        """The search that chooses, or all of them for a final fit that has none of its own."""
        return self.searches[outer : outer + 1] or self.outer

    def tell(
        self,
        task: Task,
        status: str,
        score: float | None = None,
        error: str | None = None,
        epochs: int | None = None,
    ) -> None:
        """Hear how a task ended: the validation score of a fit, the test score of a refit."""
        if task.fit is None:
            if task.outer not in self._handed or task.outer in self.refits:
                raise ValueError(f"outer fold {task.outer}: no refit is under way")
            self.refits[task.outer] = Refit(status, score, error)
            return
        search = self.searches[task.outer]
        search.tell(task.fit, status, score, error, epochs)
        if search.failed_in_a_row and task.outer != self.final:  # which costs no estimate
            self.stop("failures")

    def wants(self, task: Task) -> bool:
        """False for a task that needs no longer run."""
        if task.fit is not None:
            return self.searches[task.outer].wants(task.fit)
        return not any(
            search.failed_in_a_row for search in (*self.outer, *self._chosen_from(task.outer))
        )

    def stop(self, reason: str) -> None:
        """End every search that still goes on; refits of what they found are still handed out."""
        for search in self.searches:
            if not search.done:
                search.stop(reason)

    def winner(self, outer: int) -> Trial | None:
        """What was chosen in an outer fold, or for the final fit."""
        searches = self._chosen_from(outer)
        if len(searches) == 1:
            return searches[0].best
        sign = -1 if self.searches[0].minimise else 1
        return max(pooled(searches), key=lambda trial: sign * (trial.score or 0.0), default=None)

    @property
    def winners_differ(self) -> bool:
        """Did the outer folds choose different settings?"""
        winners = [search.best for search in self.outer]
        return len({identity(winner.settings) for winner in winners if winner}) > 1


def pooled(searches: Sequence[Search]) -> list[Trial]:
    """Candidates that every search has finished, each as one trial with the folds of all.

    A candidate is known by its settings and epochs. Its score is the mean over all its folds: of
    nested cross-validation over every inner fold of every outer one. Numbers are those of the
    first search.
    """
    of_each = [
        {identity([dict(t.settings), t.epochs]): t for t in search.trials if t.status == "finished"}
        for search in searches
    ]
    trials = []
    for key, first in of_each[0].items():
        parts = [finished[key] for finished in of_each if key in finished]
        if len(parts) < len(searches):
            continue
        folds = [(part, fold) for part in parts for fold in range(part.folds)]
        trial = Trial(first.number, first.settings, first.epochs, len(folds), "finished")
        trial.told = {at: part.told[fold] for at, (part, fold) in enumerate(folds)}
        trial.lengths = {at: part.lengths[fold] for at, (part, fold) in enumerate(folds)}
        trials.append(trial)
    return trials


def summary(inner: Sequence[float], tests: Sequence[float], *, minimise: bool = False) -> Summary:
    """The estimate from the inner score and the test score of each outer fold's winner."""
    mean, naive = fmean(tests), fmean(inner)
    optimism = mean - naive if minimise else naive - mean
    return Summary(mean, stdev(tests) if len(tests) > 1 else None, naive, optimism)


def median_epochs(trial: Trial) -> int:
    """Epochs for a refit that has no validation images to stop by: the median of the folds' best
    epochs, the later one of two in the middle."""
    return max(1, int(median(trial.lengths[fold] for fold in range(trial.folds)) + 0.5))
