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
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any, Literal

from tuning.oracles import Oracle, Promoting, Proposal, Waiting

FEWEST_FOLDS = 3  # that a race tests: two differences have a spread by chance alone
ENDLESS = 64  # candidates asked for at a time of an independent oracle that never ends

Status = Literal["running", "finished", "failed", "gave_up", "unfinished", "refused"]

Refuse = Callable[[Mapping[str, Any]], Mapping[str, float] | None]
"""The cost for which settings are not to be fitted; None where they are."""


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


@dataclass(frozen=True)
class Racing:
    """When a candidate gives up its remaining folds.

    After each fold from `after_folds` on, its paired differences to the leader over the folds done
    are tested one-sided with the corrected resampled t (Nadeau and Bengio 2003): below `alpha`, and
    worse on average by `margin` or more, it gives up. Each test is at `alpha`; they are not
    corrected for their number. Two differences, or any that are equal but for rounding, say nothing
    of the spread: nothing is tested then, and nobody gives up.
    """

    after_folds: int = 2
    alpha: float = 0.05
    margin: float = 0.0
    ratio: float = 0.5
    """Validation over training images, the correction for training parts that overlap."""

    def loses(self, differences: Sequence[float]) -> float | None:
        """p of the leader's lead, if a candidate so far behind gives up; else None."""
        p = self.p(differences)
        return p if p < self.alpha and fmean(differences) >= self.margin else None

    def p(self, differences: Sequence[float]) -> float:
        """One-sided p of a mean difference above 0; 1 where there is nothing to test it against."""
        from tuning.significance import all_equal, corrected_resampled_t

        if len(differences) < FEWEST_FOLDS or all_equal(differences):
            return 1.0
        test = corrected_resampled_t(differences, 1.0, self.ratio, alternative="greater")
        return test.p_value


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
        refuses: candidates that are not fitted: they count for nothing, and others take their
            place.
    """

    def __init__(
        self,
        oracle: Oracle,
        folds: int,
        *,
        max_failures: int = 3,
        parallel: int = 1,
        racing: Racing | None = None,
        minimise: bool = False,
        refuses: Refuse = lambda settings: None,
    ):
        if folds < 1 or max_failures < 1 or parallel < 1:
            raise ValueError(
                "folds, max_failures and parallel: expected 1 or more. "
                f"Received: {folds}, {max_failures}, {parallel}"
            )
        self.oracle, self.folds, self.minimise = oracle, folds, minimise
        self.max_failures, self.parallel, self.refuses = max_failures, parallel, refuses
        self.racing = racing if racing and folds > max(racing.after_folds, FEWEST_FOLDS) else None
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
    ) -> None:
        """Hear how a fit ended.

        Args:
            fit: one that `ready` gave.
            status: "finished"; anything else counts as failed, and so does a score that is no
                finite number.
            score: of this fold.
            error: why it failed.
            epochs: that gave the score.

        Raises:
            ValueError: the fit was not handed out, or was told before.
        """
        trial = self.trials[fit.trial] if 0 <= fit.trial < len(self.trials) else None
        if trial is None or fit.fold in trial.told or fit.fold >= max(self._level, 1):
            raise ValueError(f"trial {fit.trial}, fold {fit.fold}: not a fit that is under way")
        self._open.discard((fit.trial, fit.fold))
        if status == "finished" and score is not None and math.isfinite(score):
            trial.told[fit.fold] = float(score)
            trial.lengths[fit.fold] = epochs or 0
        else:
            trial.told[fit.fold] = None
            if status == "finished":
                error = f"the score is not a number: {score}"
            trial.errors[fit.fold] = error or "failed"
            # Folds before the failed one still run, so that which fold failed first, and the
            # scores before it, are the same whatever order the workers took them in.
            self._open -= {(fit.trial, later) for later in range(fit.fold + 1, self.folds)}
        self._settle(trial)

    def wants(self, fit: Fit) -> bool:
        """False for a fit that needs no longer run."""
        return not self.stopped and (fit.trial, fit.fold) in self._open

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
        """The finished trial with the best score, the first of equals; None without any."""
        return next(iter(self.ranked()), None)

    def ranked(self) -> list[Trial]:
        """Finished trials, best first, equals in the order of their numbers.

        Longer ones come before shorter ones: their scores are not of the same training.
        """
        finished = [trial for trial in self.trials if trial.status == "finished"]
        return sorted(
            finished, key=lambda trial: (-(trial.epochs or 0), -self._sign * (trial.score or 0.0))
        )

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
            score = None if trial.status == "failed" else self._sign * fmean(trial.scores)
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

    def _race(self, racing: Racing) -> None:
        level = self._level
        rivals = [t for t in self.trials if t.status in ("running", "finished")]
        leader = max(rivals, key=lambda t: (self._sign * fmean(t.scores[:level]), -t.number))
        for trial in self._running():
            pairs = zip(leader.scores[:level], trial.scores[:level], strict=True)
            p = racing.loses([self._sign * (best - score) for best, score in pairs])
            if p is not None:
                trial.gave_up = GaveUp(level, leader.number, p)
                trial.status = "gave_up"
                self.settled.append(trial)
