"""Nested cross-validation: a search in every outer fold, its winner refitted and tested once.

    outer fold 1 | test | ------- learning set ------- |   search: inner folds of the learning set
    outer fold 2 | ---- | test | ---- learning set --- |   refit:  the winner on all of it
    ...                                                    test:   once, on what nothing has seen

The winner's inner score was chosen for being high, so it promises too much; the mean over the outer
tests does not (Varma and Simon 2006; Cawley and Talbot 2010). Their difference is the optimism. A
plain search with a held-out test part is the same with one outer fold.

Where the inner folds of outer fold i are the other outer folds, the network fitted without folds i
and j is inner fit j of outer fold i and inner fit i of outer fold j. `Nested(shared=True)` hands it
out once and tells both: k (k - 1) / 2 fits a candidate in place of k (k - 1). Nothing leaks: what
outer fold i chooses by are scores on other folds, of networks that have not seen fold i.

The estimate is of a procedure, and the outer folds' networks are its by-products. The network to
use is what the procedure makes of all images: one more, final fit, which nothing is left to test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, zip_longest
from statistics import fmean, median, stdev

import numpy as np

from tuning.search import Search
from tuning.space import identity
from tuning.trial import Fit, Trial


@dataclass(frozen=True)
class Task:
    """A fit of the search in one outer fold, or with `fit` None the refit of its winner.

    `outer` is `Nested.final` of the final fit, and of the search that chooses for it. Of several
    objectives every member of the front is refitted.
    """

    outer: int
    fit: Fit | None = None
    other: int | None = None
    """Of a shared fit, the outer fold above `outer` that it is trained without, too, and scored on.
    `fit` is what the search of `outer` calls it."""
    repeat: int = 0
    """Of a shared fit: which one of this pair of folds."""
    member: int | None = None
    """Of a refit, the trial of the front that it repeats; None: the winner."""

    @property
    def outers(self) -> tuple[int, ...]:
        """The outer folds whose searches hear of it."""
        return (self.outer,) if self.other is None else (self.outer, self.other)

    @property
    def key(self) -> tuple[int | None, ...]:
        """Equal for the two names of a shared fit, and for no other task."""
        return (self.fit.trial if self.fit else None, self.outer, self.other, self.repeat)


Score = float | Mapping[int, float | None] | None
"""Of a task; of a shared fit by the outer fold whose search hears it."""
Right = np.ndarray | Mapping[int, np.ndarray | None] | None
"""Which validation images were right, bool [images]; of a shared fit as `Score`."""
Figures = Mapping[int, Mapping[str, float | None]] | None
"""Of a fit by the outer fold whose search hears them, as `Search.tell` takes them."""


@dataclass
class _Pair:
    """A shared fit that was handed out."""

    task: Task
    takers: list[tuple[int, Fit]] = field(default_factory=list)
    """Searches that have asked for it, and what each calls it."""
    heard: tuple[str, Score, str | None, int | None, Right, Figures] | None = None


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
        shared: fit each pair of outer folds once. The searches propose the same, and fold f of
            outer fold i is the f-th of the others in ascending order, over again for each repeat.
        final: end with a fit on all images, once every refit was tested. True: of the candidate
            that is best over all searches (`pooled`), which all propose the same ones. A search:
            of its winner; it is over all images and goes on beside the others.
        fronts: refit and test every member of each search's front, not its knee alone.

    Raises:
        ValueError: a final fit without refits, whose tests say what to expect of it; or searches
            that cannot share their fits.
    """

    def __init__(
        self,
        searches: Sequence[Search],
        *,
        refit: bool = True,
        shared: bool = False,
        final: Search | bool = False,
        fronts: bool = False,
    ):
        if final and not refit:
            raise ValueError("final: expected refit, too; without it there is no test")
        self.outer = list(searches)
        """Those of the outer folds."""
        self.searches = [*self.outer, final] if isinstance(final, Search) else self.outer
        self.final = len(self.outer) if final else None
        """Number that the final fit has among outer folds; None without."""
        self.refit, self.shared, self.fronts = refit, shared, fronts
        others = len(self.searches) - 1
        if shared and (others < 2 or any(search.folds % others for search in self.searches)):
            raise ValueError(
                "shared: expected 3 searches or more, of a fold for each other one. Received: "
                f"{len(self.searches)} of {[search.folds for search in self.searches]}"
            )
        self.refits: dict[int, Refit] = {}
        """Of the winners."""
        self.members: dict[tuple[int, int], Refit] = {}
        """Of the fronts, winners among them, by outer fold and trial."""
        self._handed: set[int] = set()
        self._pairs: dict[tuple[int | None, ...], _Pair] = {}

    def ready(self) -> list[Task]:
        """Every fit that may run now and was not handed out before."""
        tasks = self._shared_fits() if self.shared else [self.task(*one) for one in self._fits()]
        for outer in range(len(self.outer) + (self.final is not None)):
            if self.refit and outer not in self._handed and self._is_due(outer):
                self._handed.add(outer)
                tasks += self.refits_of(outer)
        return tasks

    def refits_of(self, outer: int) -> list[Task]:
        """What is refitted when the search of an outer fold has ended, or is fitted in the end."""
        if not self.fronts or outer == self.final:
            return [Task(outer)]
        return [Task(outer, member=trial.number) for trial in self.searches[outer].front()]

    def is_member(self, outer: int, number: int) -> bool:
        """Is a trial refitted as a member of the front?"""
        return Task(outer, member=number) in self.refits_of(outer)

    def repeated(self, task: Task) -> Trial | None:
        """What a refit repeats."""
        if task.member is None:
            return self.winner(task.outer)
        return self.searches[task.outer].trials[task.member]

    def task(self, outer: int, fit: Fit) -> Task:
        """The task that a fit of one search is; in both searches the same one if it is shared."""
        if not self.shared:
            return Task(outer, fit)
        repeat, position = divmod(fit.fold, len(self.searches) - 1)
        other = position + (position >= outer)
        low, high = sorted((outer, other))
        return Task(low, replace(fit, fold=self.fold(low, high, repeat)), high, repeat)

    def fold(self, outer: int, other: int, repeat: int = 0) -> int:
        """What the search of one outer fold calls another one, where they share fits."""
        return repeat * (len(self.searches) - 1) + other - (other > outer)

    def sides(self, task: Task) -> list[tuple[int, int, int | None]]:
        """(outer, fold, scored) of each search that a fit is of: what it calls the fold, and of a
        shared fit the outer fold whose score it hears."""
        if task.fit is None or task.other is None:
            return [] if task.fit is None else [(task.outer, task.fit.fold, None)]
        return [
            (one, self.fold(one, two, task.repeat), two)
            for one, two in ((task.outer, task.other), (task.other, task.outer))
        ]

    def _fits(self) -> Iterator[tuple[int, Fit]]:
        """What the searches ask for now, in turn."""
        for turn in zip_longest(*(search.ready() for search in self.searches)):
            yield from ((outer, fit) for outer, fit in enumerate(turn) if fit is not None)

    def _shared_fits(self) -> list[Task]:
        """Those that no search has asked for before. What has ended already is told at once, which
        may let a search ask for more."""
        tasks, told = [], True
        while told:
            told = False
            for outer, fit in list(self._fits()):
                task = self.task(outer, fit)
                if task.key not in self._pairs:
                    self._pairs[task.key] = _Pair(task)
                    tasks.append(task)
                pair = self._pairs[task.key]
                if pair.task != task:
                    raise ValueError(f"two searches propose {pair.task} and {task}")
                pair.takers.append((outer, fit))
                if pair.heard:
                    self._pass_on(pair.takers[-1:], *pair.heard)
                    told = True
        return tasks

    def _is_due(self, outer: int) -> bool:
        """Is it certain what a refit, or the final fit, repeats?"""
        # A search that its failures stopped has no honest winner, so there is no estimate.
        searches = self._chosen_from(outer)
        if any(search.failed_in_a_row or not search.done for search in searches):
            return False
        refits = (task for other in range(len(self.outer)) for task in self.refits_of(other))
        if outer == self.final and not all(self.is_tested(task) for task in refits):
            return False
        return self.winner(outer) is not None

    def is_tested(self, task: Task) -> bool:
        """Has a refit finished?"""
        told = self._told(task)
        return told is not None and told.status == "finished"

    def _told(self, task: Task) -> Refit | None:
        if task.member is None:
            return self.refits.get(task.outer)
        return self.members.get((task.outer, task.member))

    def _chosen_from(self, outer: int) -> list[Search]:
        """The search that chooses, or all of them for a final fit that has none of its own."""
        return self.searches[outer : outer + 1] or self.outer

    def tell(
        self,
        task: Task,
        status: str,
        score: Score = None,
        error: str | None = None,
        epochs: int | None = None,
        hits: Right = None,
        figures: Figures = None,
    ) -> None:
        """Hear how a task ended: the validation score of a fit, the test score of a refit.

        A shared fit that failed has failed in both of its outer folds.

        Raises:
            ValueError: it was not handed out, or was told before.
        """
        if task.fit is None:
            if task.outer not in self._handed or self._told(task):
                raise ValueError(f"outer fold {task.outer}: no refit is under way")
            assert not isinstance(score, Mapping)
            self._tell_refit(task, Refit(status, score, error))
            return
        takers, told = [(task.outer, task.fit)], (status, score, error, epochs, hits, figures)
        if self.shared:
            pair = self._pairs.get(task.key)
            if pair is None or pair.heard:
                raise ValueError(f"{task}: no such fit is under way")
            takers, pair.heard = pair.takers, told
        self._pass_on(takers, *told)

    def _tell_refit(self, task: Task, refit: Refit) -> None:
        winner = self.winner(task.outer)
        if task.member is not None:
            self.members[task.outer, task.member] = refit
        if task.member is None or (winner and task.member == winner.number):
            self.refits[task.outer] = refit

    def _pass_on(
        self,
        takers: Sequence[tuple[int, Fit]],
        status: str,
        score: Score,
        error: str | None,
        epochs: int | None,
        hits: Right,
        figures: Figures,
    ) -> None:
        for outer, fit in takers:
            value = score.get(outer) if isinstance(score, Mapping) else score
            right = hits.get(outer) if isinstance(hits, Mapping) else hits
            numbers = (figures or {}).get(outer)
            self.searches[outer].tell(fit, status, value, error, epochs, right, numbers)
        # the search that chooses for the final fit costs no estimate
        if any(search.failed_in_a_row for search in self.outer):
            self.stop("failures")

    def wants(self, task: Task) -> bool:
        """False for a task that needs no longer run."""
        if task.fit is not None and task.other is not None:
            # one search may have dropped what the other has not come to yet
            trial, sides = task.fit.trial, self.sides(task)
            return any(self.searches[outer].may_want(trial, fold) for outer, fold, _ in sides)
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

    @property
    def saved(self) -> int:
        """Fits that racing left out; a shared one only where neither search has any use for it."""
        if not self.shared:
            return sum(search.saved for search in self.searches)
        saved, others = 0, len(self.searches) - 1
        for low, high in combinations(range(len(self.searches)), 2):
            for one, two in zip(
                self.searches[low].trials, self.searches[high].trials, strict=False
            ):
                if one.gave_up or two.gave_up:
                    saved += sum(
                        self.fold(low, high, repeat) >= one.limit
                        and self.fold(high, low, repeat) >= two.limit
                        for repeat in range(one.folds // others)
                    )
        return saved

    def winner(self, outer: int) -> Trial | None:
        """What was chosen in an outer fold, or for the final fit."""
        searches = self._chosen_from(outer)
        if len(searches) == 1:
            return searches[0].best
        first = searches[0]
        images = [fold for search in searches for fold in search.choice.images]
        ranked = first.best_first(pooled(searches))
        return first.chosen(ranked, replace(first.choice, images=images))

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
        trial.hits = {
            at: part.hits[fold] for at, (part, fold) in enumerate(folds) if fold in part.hits
        }
        trial.figures = {at: part.figures[fold] for at, (part, fold) in enumerate(folds)}
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
