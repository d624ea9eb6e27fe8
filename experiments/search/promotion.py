"""What becomes of promoted candidates: which go on from their snapshots, and what that saves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from experiments.errors import BadInput
from experiments.jobs.job import WENT_ON_AFTER, Outcome
from experiments.search.candidates import Candidates, starts_anew
from experiments.search.study import Study
from experiments.training import snapshots
from tuning.nested import Nested, Task
from tuning.oracles.oracle import Promoting
from tuning.trial import Fit, Trial


def announcement(study: Study, work: Nested) -> str | None:
    """What promotions cost, in a line; None where nothing is promoted."""
    oracle = work.searches[0].oracle
    if not isinstance(oracle, Promoting):
        return None
    anew, going_on = oracle.epochs_in_all(goes_on=False), oracle.epochs_in_all(goes_on=True)
    if why := starts_anew(study.config):
        return f"{anew:,} epochs in all: promoted candidates start anew, since {why}"
    return (
        f"{going_on:,} epochs in all: promoted candidates go on from their snapshots, which saves "
        f"{anew - going_on:,} of {anew:,}"
    )


class Promotions:
    """The promotions of one search.

    Args:
        work: the searches.
        candidates: makes their jobs.
        say: hears why a candidate starts anew, if the announcement did not say it.
    """

    def __init__(self, work: Nested, candidates: Candidates, say: Callable[[str], None]):
        self._work, self._candidates, self._say = work, candidates, say
        self._said = {starts_anew(candidates.study.config)}
        self._cleared: set[tuple[int, int]] = set()

    def epochs_kept(self, task: Task, outcome: Outcome) -> int:
        """Epochs that a promoted candidate had before, and was not trained for again."""
        if task.fit is None:
            return 0
        trials = self._work.searches[task.outer].trials
        earlier = trials[task.fit.trial].earlier
        if earlier is None or WENT_ON_AFTER not in outcome.tags:
            return 0
        return trials[earlier].epochs or 0

    def length_in_words(self, trial: Trial, outcome: Outcome | None) -> str:
        """How long a trial was trained, and on from which; nothing where all are as long."""
        if trial.epochs is None:
            return ""
        words = f"; {trial.epochs} epoch{'s' * (trial.epochs != 1)}"
        if trial.earlier is None:
            return words
        if outcome and WENT_ON_AFTER in outcome.tags:
            return f"{words}, on from trial {trial.earlier}"
        why = None
        with contextlib.suppress(BadInput):  # which is what the trial failed of
            why = starts_anew(self._candidates.prepared(trial.settings, trial.epochs).config)
        if why not in self._said:
            self._said.add(why)
            self._say(f"trial {trial.number} starts anew, since {why}")
        return f"{words}, anew"

    def clear_snapshots(self) -> None:
        """Delete those of candidates that will not be promoted any more."""
        for outer, search in enumerate(self._work.searches):
            if not isinstance(search.oracle, Promoting):
                continue
            needed = search.unended_rows
            for trial in search.settled:
                row, first = (outer, trial.number), trial.goes_on and trial.first is None
                if first and trial.number not in needed and row not in self._cleared:
                    self._cleared.add(row)
                    path = self._candidates.path(Task(outer, Fit(trial.number, 0, {})))
                    snapshots.clear(self._candidates.folder(path))
