"""Ask an oracle, hand out fits, hear their scores: model selection without any input or output.

Every candidate is fitted on each fold and scored by its mean over the folds. What a search does
next depends on what it was told and never on when: candidates of an oracle that learns are asked
for in rounds of `parallel` and told in the order of their numbers, whatever order the fits ended
in.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from tuning.choice import Choice, Lead
from tuning.fold_race import Racing
from tuning.objectives import Objective, front, knee, signed
from tuning.oracles.oracle import Oracle, Promoting, Proposal, Waiting, hears_all
from tuning.race import Race
from tuning.trial import Fit, GaveUp, Trial, hits_of

COMPARED = 100  # finished trials, the best, among which a choice is made
ENDLESS = 64  # candidates asked for at a time of an independent oracle that never ends

Refuse = Callable[[Mapping[str, Any]], Mapping[str, float] | None]
"""The cost for which settings are not to be fitted; None where they are."""


class Search:
    """The state of one search.

    Args:
        oracle: proposes settings; `independent` where it needs no scores (grid, random, manual),
            and everything may run at once.
        folds: of each candidate.
        max_failures: so many trials in a row that failed stop the search.
        parallel: candidates in a round of an oracle that learns.
        racing: None: every candidate gets every fold.
        minimise: a lower score is better.
        choice: which of those that have every fold is the best.
        cost: of a candidate, for a choice that asks for it: cheaper is less.
        refuses: candidates that are not fitted: they count for nothing, and others take their
            place.
        objectives: several that candidates are compared by; the score is the first of those that
            are scores. The best is then the knee of their front, whatever `choice` says.
        known: of a candidate, the objectives that are known before it is fitted.
    """

    def __init__(
        self,
        oracle: Oracle,
        folds: int,
        *,
        max_failures: int = 3,
        parallel: int = 1,
        racing: Racing | Race | None = None,
        minimise: bool = False,
        choice: Choice | None = None,
        cost: Callable[[Trial], tuple[float, ...]] = lambda trial: (),
        refuses: Refuse = lambda settings: None,
        objectives: Sequence[Objective] = (),
        known: Callable[[Trial], Mapping[str, float]] = lambda trial: {},
    ):
        if folds < 1 or max_failures < 1 or parallel < 1:
            raise ValueError(
                "folds, max_failures and parallel: expected 1 or more. "
                f"Received: {folds}, {max_failures}, {parallel}"
            )
        self.oracle, self.folds, self.minimise = oracle, folds, minimise
        self.max_failures, self.parallel, self.refuses = max_failures, parallel, refuses
        self.racing = racing if racing and racing.can_save(folds) else None
        self.choice, self.cost = choice or Choice(), cost
        self.objectives, self.known = tuple(objectives), known
        self.trials: list[Trial] = []
        self.settled: list[Trial] = []
        """Trials whose end is certain, in the order in which it became so."""
        self.stopped: str | None = None
        self.failed_in_a_row: list[Trial] = []
        self._round: list[Trial] = []
        self._level = 0  # folds of the round that were handed out
        self._open: set[tuple[int, int]] = set()
        self._exhausted = False

    def ready(self) -> list[Fit]:
        """Every fit that may run now and was not handed out before."""
        fits: list[Fit] = []
        while not fits and not self._open and not self.done:
            if not self._round:
                self._begin_round()
            elif self._level < self.folds and self._running():
                if self.racing and self._level >= self.racing.after_folds:
                    self._race(self.racing)
                fits = self._hand_out()
            else:
                self._end_round()
        return fits

    def tell(
        self,
        fit: Fit,
        status: str,
        score: float | None = None,
        error: str | None = None,
        epochs: int | None = None,
        hits: np.ndarray | None = None,
        figures: Mapping[str, float | None] | None = None,
    ) -> None:
        """Hear how a fit ended.

        Args:
            fit: one that `ready` gave.
            status: "finished"; anything else counts as failed, and so does a score or figure that
                is no finite number.
            score: of this fold.
            error: why it failed.
            epochs: that gave the score.
            hits: bool [images], whether each was right, where that is known.
            figures: by name, those of the objectives that are not known before.

        Raises:
            ValueError: the fit was not handed out, or was told before.
        """
        trial = self.trials[fit.trial] if 0 <= fit.trial < len(self.trials) else None
        if trial is None or fit.fold in trial.told or fit.fold >= max(self._level, 1):
            raise ValueError(f"trial {fit.trial}, fold {fit.fold}: not a fit that is under way")
        self._open.discard((fit.trial, fit.fold))
        numbers = {"the score": score, **(figures or {})}
        sound = {k: float(v) for k, v in numbers.items() if v is not None and math.isfinite(v)}
        if status == "finished" and len(sound) == len(numbers):
            trial.told[fit.fold] = sound.pop("the score")
            trial.figures[fit.fold] = sound
            trial.lengths[fit.fold] = epochs or 0
            if hits is not None:
                trial.hits[fit.fold] = hits
        else:
            trial.told[fit.fold] = None
            if status == "finished":
                name = next(name for name in numbers if name not in sound)
                error = f"{name} is not a number: {numbers[name]}"
            trial.errors[fit.fold] = error or "failed"
            # Folds before the failed one still run, so that which fold failed first, and the
            # scores before it, are the same whatever order the workers took them in.
            self._open -= {(fit.trial, later) for later in range(fit.fold + 1, self.folds)}
        self._settle(trial)

    def wants(self, fit: Fit) -> bool:
        """False for a fit that needs no longer run."""
        return not self.stopped and (fit.trial, fit.fold) in self._open

    def may_want(self, trial: int, fold: int) -> bool:
        """Does it wait for this fit, or could it still hand it out?"""
        if self.stopped:
            return False
        if trial >= len(self.trials):
            return not self._exhausted
        known = self.trials[trial]
        return known.status == "running" and fold not in known.told and fold < known.limit

    def stop(self, reason: str) -> None:
        """Hand out nothing more; fits under way may still be told."""
        self.stopped = self.stopped or reason
        self._open.clear()

    @property
    def done(self) -> bool:
        """Nothing is left to hand out."""
        return bool(self.stopped) or (self._exhausted and not self._round)

    @property
    def best(self) -> Trial | None:
        """The finished trial that is chosen, which without another rule is the one with the best
        score, the first of equals; None without any."""
        return self.chosen(self.ranked(), self.choice)

    def chosen(self, ranked: list[Trial], choice: Choice) -> Trial | None:
        """Of trials with the best first, by the rule of the choice, or of several objectives the
        knee; None without any."""
        if self.objectives and ranked:
            trials = sorted(ranked, key=lambda trial: trial.number)
            return trials[knee(self.signed_values(trials))]
        ranked = _comparable(ranked)
        if not ranked or choice.rule == "best":
            return next(iter(ranked), None)
        return ranked[choice.of(*self._table(ranked), lambda at: self.cost(ranked[at]))]

    def lead(self) -> Lead | None:
        """How far the best score is ahead, among the COMPARED best; None with nothing to test."""
        ranked = _comparable(self.ranked())
        return self.choice.lead(*self._table(ranked)) if ranked else None

    def ranked(self) -> list[Trial]:
        """Finished trials, best first, equals in the order of their numbers.

        Longer ones come before shorter ones: their scores are not of the same training.
        """
        return self.best_first([trial for trial in self.trials if trial.status == "finished"])

    def best_first(self, trials: list[Trial]) -> list[Trial]:
        """These by their epochs and scores, equals in the order that they have."""
        return sorted(
            trials, key=lambda trial: (-(trial.epochs or 0), -self._sign * (trial.score or 0.0))
        )

    def front(self) -> list[Trial]:
        """Finished trials that no other one beats in all objectives, by their numbers."""
        finished = [trial for trial in self.trials if trial.status == "finished"]
        kept = front(self.signed_values(finished))
        return [trial for trial, stays in zip(finished, kept, strict=True) if stays]

    def values(self, trial: Trial) -> tuple[float, ...]:
        """Of each objective, as it is measured: known before, or the mean over the folds there
        are."""
        known, folds = self.known(trial), range(len(trial.scores))
        return tuple(
            known[name] if name in known else fmean(trial.figures[fold][name] for fold in folds)
            for name in (objective.name for objective in self.objectives)
        )

    def signed_values(self, trials: Sequence[Trial]) -> np.ndarray:
        """float [trials, objectives], higher is better."""
        return signed([self.values(trial) for trial in trials], self.objectives)

    @property
    def saved(self) -> int:
        """Folds that racing left out."""
        return sum(self.folds - t.gave_up.folds for t in self.trials if t.gave_up)

    @property
    def unended_rows(self) -> set[int]:
        """First trials of rows that a longer one of the same settings may still follow."""
        if not isinstance(self.oracle, Promoting):
            return set()
        waiting = (self.trials[number] for number in self.oracle.waiting())
        return {trial.number if trial.first is None else trial.first for trial in waiting}

    def close(self) -> None:
        """Call what has neither ended nor failed unfinished: the budget ended first."""
        for trial in self.trials:
            if trial.status == "running":
                trial.status = "unfinished"

    def _table(self, ranked: list[Trial]) -> tuple[np.ndarray, list[list[np.ndarray]] | None]:
        folds = ranked[0].folds
        return self._scores(ranked, folds), hits_of(ranked, folds)

    def _scores(self, trials: list[Trial], folds: int) -> np.ndarray:
        """float [trials, folds], higher is better."""
        return self._sign * np.array([trial.scores[:folds] for trial in trials])

    @property
    def _sign(self) -> int:
        return -1 if self.minimise else 1

    def _running(self) -> list[Trial]:
        return [trial for trial in self._round if trial.status == "running"]

    def _begin_round(self) -> None:
        self._level = 0
        wanted: float = self.parallel
        if self.oracle.independent:
            wanted = ENDLESS if self.oracle.announced() is None else math.inf
        while len(self._round) < wanted:
            proposal = self.oracle.ask()
            if isinstance(proposal, Waiting):
                if not self._round:
                    raise RuntimeError("the oracle waits although it was told everything")
                break
            if proposal is None:
                self._exhausted = True
                break
            trial = self._trial(proposal)
            if proposal.number != trial.number:
                raise RuntimeError(
                    f"the oracle proposed trial {proposal.number}, expected {trial.number}"
                )
            self.trials.append(trial)
            if trial.refused:
                self.oracle.refuse(trial.number)
                self.settled.append(trial)
            else:
                self._round.append(trial)

    def _trial(self, proposal: Proposal) -> Trial:
        trial = Trial(len(self.trials), proposal.settings, proposal.epochs, self.folds)
        trial.earlier, trial.goes_on = proposal.resume_from, proposal.goes_on
        if trial.earlier is not None:
            before = self.trials[trial.earlier]
            trial.first = before.number if before.first is None else before.first
        elif cost := self.refuses(trial.settings):
            trial.status, trial.refused = "refused", cost
        return trial

    def _hand_out(self) -> list[Fit]:
        """A racing round gives one fold of every candidate at a time, another one all of them."""
        before = self._level
        self._level = before + 1 if self.racing else self.folds
        fits = [
            Fit(trial.number, fold, trial.settings, trial.epochs, trial.first, trial.goes_on)
            for trial in self._running()
            for fold in range(before, self._level)
        ]
        self._open |= {(fit.trial, fit.fold) for fit in fits}
        return fits

    def _end_round(self) -> None:
        for trial in self._round:
            # The mean so far of one that gave up is what is known of it, and it is not good.
            score: Any = None if trial.status == "failed" else self._sign * fmean(trial.scores)
            if score is not None and self.objectives and hears_all(self.oracle):
                score = self.values(trial)
            self.oracle.tell(trial.number, score)
        self._round = []

    def _settle(self, trial: Trial) -> None:
        if trial.status != "running" or any(f not in trial.told for f in range(trial.limit)):
            return
        trial.status = "failed" if trial.errors else "finished"
        self.settled.append(trial)
        if not trial.errors:
            return
        row = [trial]
        for others in (self.trials[: trial.number][::-1], self.trials[trial.number + 1 :]):
            tried = (other for other in others if other.status != "refused")
            row += itertools.takewhile(lambda other: other.status == "failed", tried)
        if len(row) >= self.max_failures:
            self.failed_in_a_row = sorted(row, key=lambda failed: failed.number)
            self.stop("failures")

    def _race(self, racing: Racing | Race) -> None:
        rivals = [t for t in self.trials if t.status in ("running", "finished")]
        scores = self._scores(rivals, self._level)
        hits = hits_of(rivals, self._level)
        numbers = [t.number for t in rivals]
        for at, (leader, p) in racing.losers(scores, hits, numbers, self.folds).items():
            trial = rivals[at]
            if trial.status == "running":
                trial.gave_up = GaveUp(self._level, numbers[leader], p)
                trial.status = "gave_up"
                self.settled.append(trial)


def _comparable(ranked: list[Trial]) -> list[Trial]:
    """The best of those that were trained as long as the first: no scores of other budgets."""
    return [trial for trial in ranked if trial.epochs == ranked[0].epochs][:COMPARED]
