"""From what a search hands out to what it is told: journal first, oracle second, store third."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from experiments.config.objectives import PLANNED
from experiments.errors import BadInput
from experiments.jobs.job import FitPath, Job, Outcome, path_text
from experiments.jobs.pace import duration
from experiments.launch.executors import Inline, at_a_time
from experiments.launch.pool import Backlog, Pool
from experiments.launch.progress import Display
from experiments.presentation.columns import rounded
from experiments.presentation.formatting import in_words, score
from experiments.search import pairs, race
from experiments.search.bounds import excess, scarcity
from experiments.search.candidates import Candidates
from experiments.search.heard import epochs_of, heard
from experiments.search.promotion import Promotions
from experiments.search.space import objective_of, objectives_of, tested_score
from experiments.search.tracking import SearchRuns
from experiments.search.trial_run import TrialRun
from experiments.tracking.initial import drop_initial, fetch_initial
from experiments.tracking.search_journal import State
from experiments.tracking.tracked_run import FINAL, MEMBER
from experiments.training import snapshots
from tuning.nested import Nested, Task
from tuning.trial import Fit, Trial


class Drive:
    """One start of a search, from what the journal holds to its end.

    Args:
        work: the searches and refits, fresh.
        candidates: makes their jobs.
        state: the journal.
        tracked: the runs.
        display: for people.
        planned: fits in all, refits included; None where only the budget ends it.
        began: when this start began, on the monotonic clock.
    """

    def __init__(
        self,
        work: Nested,
        candidates: Candidates,
        state: State,
        tracked: SearchRuns,
        display: Display,
        planned: int | None = None,
        began: float | None = None,
    ):
        self.study = candidates.study
        self.config, self.work, self.candidates = self.study.config, work, candidates
        self.state, self.tracked, self.display = state, tracked, display
        self.planned, self.budget = planned, self.study.section.budget
        self.objective = objective_of(self.config)
        self.measured = [one.name for one in objectives_of(self.config) if one.name not in PLANNED]
        self.best_by = tested_score(self.config)
        self.fits = 0
        """Fits that have ended, those of earlier starts included."""
        self.failed = 0
        self.images = 0
        self.refits: dict[int, tuple[Outcome, str]] = {}
        """Outcome and run id of the refit of each outer fold's winner, and of the final fit."""
        self.members: dict[tuple[int, int], tuple[Outcome, str]] = {}
        """The same of each member of a front that is refitted, by outer fold and trial."""
        self._tasks: dict[FitPath, Task] = {}
        self._held: list[Task] = []  # refits whose winner is not certain
        self._backlog = Backlog(wanted=lambda job: self.work.wants(self._tasks[job.path]))
        self._began: dict[FitPath, float] = {}
        self._sent = [0] * len(work.searches)  # settled trials that were tracked
        self._started = self._working = time.monotonic()
        if began is not None:
            self._started = began
        self._earlier = state.elapsed
        self._replaying, self._estimated = True, False
        self.seconds: list[float] = []
        """Of each fit of this start."""
        self.promotions = Promotions(work, candidates, display.say)

    @property
    def elapsed(self) -> float:
        """Seconds that the budget counts: of all starts, from when fits could run."""
        return self._earlier + time.monotonic() - self._working

    @property
    def wall(self) -> float:
        """Seconds of this start, and those of the earlier ones up to their last fit."""
        return self._earlier + time.monotonic() - self._started

    def run(self, executor: Inline | Pool) -> None:
        """Replay the journal, then run what is left."""
        if self.state.ended:
            self.display.say(f"{len(self.state.ended)} fits already done")
            self.display.ended = len(self.state.ended)
        self._release()
        self._replaying = False
        self.promotions.clear_snapshots()
        for job, outcome in executor.run(self._backlog, self._on_event):
            self.display.drop(job)
            self._end(self._tasks[job.path], job.path, outcome, len(job.train))
            if outcome.status == "finished":
                drop_initial(job)
                if job.measured:
                    snapshots.clear(Path(job.directory))
            self._release()
            self.promotions.clear_snapshots()
        for search in self.work.searches:
            search.close()
            if few := scarcity(search):
                self.display.say(few)
        if self.tracked.missed:  # a store that failed may answer again
            self._replaying, self._sent = True, [0] * len(self._sent)
            self._track()

    def _release(self) -> None:
        """Queue what may run now; what the journal holds is told instead."""
        while tasks := self._due():
            self.state.propose(list(self._new_trials(tasks)))
            todo = []
            for task in tasks:
                path = self.candidates.path(task)
                self._tasks[path] = task
                record = self.state.ended.get(path)
                if record and not (task.fit is None and self._outdated(task, record)):
                    self._tell(task, record)
                elif self._is_sound(task, path):
                    todo.append(task)
            self._spend()
            self._backlog.add(self._jobs(todo))
        self._track()

    def _due(self) -> list[Task]:
        """What may run now. Of the fits that a spent budget leaves under way one may yet win, so
        the refit waits for them."""
        ready = self.work.ready()
        members = [task.outer for task in ready if task.member is not None]
        self._expect(len(members) - len(set(members)))  # one of each front was planned
        tasks = self._held + ready
        if all(task.fit is not None for task in tasks):
            return tasks
        busy = {outer for path in self._began for outer in self._tasks[path].outers}
        self._held = [task for task in tasks if task.fit is None and task.outer in busy]
        return [task for task in tasks if task.fit is not None or task.outer not in busy]

    def _expect(self, more: int) -> None:
        if self.planned is not None:
            self.planned += more
            self.display.total += more

    def _outdated(self, task: Task, record: dict[str, Any]) -> bool:
        """Is this refit of another winner, found before the search was taken further, or failed?"""
        winner = self.work.repeated(task)
        assert winner is not None
        return record["trial"] != winner.number or record["outcome"]["status"] != "finished"

    def _jobs(self, tasks: list[Task]) -> Iterator[Job]:
        for task in tasks:
            yield self.candidates.job(task, self._winner(task))

    def _winner(self, task: Task) -> Trial | None:
        """What a refit repeats; None of a fit, as ranking every trial for each takes its time."""
        return self.work.repeated(task) if task.fit is None else None

    def _is_sound(self, task: Task, path: FitPath) -> bool:
        """False, and told so, for settings that do not go with data or network."""
        if not self.work.wants(task):
            return False
        try:
            if task.fit is None:
                self.candidates.job(task, self._winner(task))
            else:
                self.candidates.prepared(task.fit.settings, task.fit.epochs)
        except BadInput as error:
            outcome = Outcome(path, "failed", error=str(error), bad_input=True)
            self._end(task, path, outcome, 0)
            return False
        return True

    def _new_trials(self, tasks: list[Task]) -> Iterator[dict[str, Any]]:
        seen = set()
        for task in tasks:
            outer = 0 if self.study.shared else task.outer  # shared, all propose the same
            if task.fit is not None and (outer, task.fit.trial) not in seen:
                seen.add((outer, task.fit.trial))
                yield {
                    "outer": outer,
                    "trial": task.fit.trial,
                    "settings": dict(task.fit.settings),
                    "epochs": task.fit.epochs,
                }

    def _on_event(self, job: Job, event: dict[str, Any]) -> None:
        if event["kind"] == "begin":
            self._began[job.path] = time.time()
            fetch_initial(job, self.tracked.experiment, self.study.source)
        if event["kind"] == "epoch":
            self._point(self._tasks[job.path], job, event)
        self.display.event(job, event)

    def _point(self, task: Task, job: Job, event: dict[str, Any]) -> None:
        """Track an epoch of a trial, or of both that share a fit, or of a refit under way."""
        if task.fit is None:
            level = self._level(task)
            self.tracked.refit_point(job, level, event["epoch"], event["values"])
            return
        fit, began = task.fit, self._began[job.path]
        for outer, fold, scored in self.work.sides(task):
            path = path_text((*self.study.below(outer), "trial", fit.trial))
            values = event["values"] if scored is None else pairs.on_fold(event["values"], scored)

            def trial(path: str = path) -> TrialRun:
                config = self.candidates.prepared(fit.settings, fit.epochs).config
                return TrialRun(path, fit.trial, config, fit.settings, "running", None, [], began)

            number = None if self.work.searches[outer].folds == 1 else fold
            self.tracked.point(path, number, event["epoch"], values, trial)

    def _end(self, task: Task, path: FitPath, outcome: Outcome, images: int) -> None:
        """Journal how a fit ended, and tell the search."""
        began = self._began.pop(path, time.time())
        winner = self._winner(task)
        record = self.state.end(
            path,
            outcome,
            trial=winner.number if winner else task.fit.trial if task.fit else None,
            fingerprint=self.study.source.fingerprint,
            began=began,
            seconds=time.time() - began,
            images=images * (len(outcome.history) - self.promotions.epochs_kept(task, outcome)),
            elapsed=self.elapsed,
        )
        self._tell(task, record, fresh=True)
        self.seconds.append(record["seconds"])
        self._spend()

    def _tell(self, task: Task, record: dict[str, Any], *, fresh: bool = False) -> None:
        outcome = Outcome.from_record(record)
        self.fits += 1
        self.failed += outcome.status != "finished"
        if task.fit is None:
            self._tell_refit(task, outcome, fresh)
            return
        self.images += record["images"]
        told = heard(outcome, self.work.sides(task), self.objective, self.measured)
        error, epochs = outcome.error, None
        if outcome.status == "finished":
            prepared = self.candidates.prepared(task.fit.settings, task.fit.epochs)
            epochs = epochs_of(outcome, prepared.config)
            error = None if told.score is not None else f"there is no {self.objective}"
        self.work.tell(task, outcome.status, told.score, error, epochs, told.right, told.figures)

    def _tell_refit(self, task: Task, outcome: Outcome, fresh: bool) -> None:
        value = outcome.scores.get(self.best_by.replace("val_", "test_"))
        self.work.tell(task, outcome.status, value, outcome.error)
        run_id = ""
        with contextlib.suppress(BadInput):  # settings that cannot be refitted, as the error says
            winner = self._winner(task)
            job = self.candidates.job(task, winner)
            scores = outcome.scores | self._inner(task, winner)
            told = replace(outcome, scores=scores)
            run_id = self.tracked.refit(job, told, self._level(task), fresh=fresh)
        if task.member is not None:
            self.members[task.outer, task.member] = outcome, run_id
        if self._is_winner(task):
            self.refits[task.outer] = outcome, run_id
        if fresh and self.study.is_final(task.outer):
            self.display.say(f"final fit: {outcome.error or 'trained on all images, not tested'}")
        elif fresh:
            words = [
                f"{k} {score(k, v)}" for k, v in outcome.scores.items() if k.startswith("test_")
            ]
            came_to = outcome.error or ", ".join(words) or "no test"
            of_trial = "" if task.member is None else f" of trial {task.member}"
            self.display.say(f"{self.study.in_words(task.outer)}refit{of_trial}: {came_to}")

    def _inner(self, task: Task, winner: Trial | None) -> dict[str, float]:
        """The winner's score in the search, for the run of its outer fold."""
        if (
            self._level(task) not in ("outer_fold", MEMBER)
            or winner is None
            or winner.score is None
        ):
            return {}
        score: dict[str, float] = {self.objective: winner.score}
        return {f"inner_{name}": value for name, value in (score | rounded(score)).items()}

    def _level(self, task: Task) -> str:
        """Of the run of a refit."""
        if self.study.is_final(task.outer):
            return FINAL
        if not self._is_winner(task):
            return MEMBER
        return "outer_fold" if self.study.nested else "refit"

    def _is_winner(self, task: Task) -> bool:
        """Is a refit that of the winner, and not of another member of the front?"""
        winner = self.work.winner(task.outer) if task.member is not None else None
        return winner is None or winner.number == task.member

    def _spend(self) -> None:
        """Stop handing out fits once the budget is spent; refits of what was found still run."""
        if self.budget.seconds is not None and self.elapsed >= self.budget.seconds:
            self.work.stop("seconds")
        if self.budget.images is not None and self.images >= self.budget.images:
            self.work.stop("images")

    def _track(self) -> None:
        """Announce and track the trials that have ended since."""
        for outer, search in enumerate(self.work.searches):
            for trial in search.settled[self._sent[outer] :]:
                run = self._trial_run(outer, trial)
                if not self._replaying:
                    self._announce(outer, trial, run.outcomes)
                self.tracked.trial(run)
            self._sent[outer] = len(search.settled)

    def outcomes(self, outer: int, trial: Trial) -> list[dict[str, Any]]:
        """Records of a trial's folds in order, up to the first that is missing or failed; of a
        shared fit what this outer fold sees of it."""
        records = []
        for fold in range(trial.folds):
            task = self.work.task(outer, Fit(trial.number, fold, trial.settings, trial.epochs))
            record = self.state.ended.get(self.candidates.path(task))
            if record is None or fold not in trial.told:
                break
            for side, _, scored in self.work.sides(task):
                if side == outer and scored is not None:
                    record = pairs.record_on_fold(record, scored)
            records.append(record)
            if trial.told.get(fold) is None:
                break
        return records

    def _trial_run(self, outer: int, trial: Trial) -> TrialRun:
        records = self.outcomes(outer, trial)
        try:
            config = self.candidates.prepared(trial.settings, trial.epochs).config
        except BadInput:
            config = self.config  # its settings do not go together; the error says so
        return TrialRun(
            path=path_text((*self.study.below(outer), "trial", trial.number)),
            number=trial.number,
            config=config,
            chosen=trial.settings,
            status=trial.status,
            error=trial.error,
            outcomes=[Outcome.from_record(record) for record in records],
            began=min((record["began"] for record in records), default=time.time()),
            cost=trial.refused,
        )

    def _announce(self, outer: int, trial: Trial, outcomes: list[Outcome]) -> None:
        """A line a trial, and after the first one how long the rest may take."""
        words = trial.error
        if trial.refused:
            words = f"refused: {excess(trial.refused, self.study.section.constraints)}"
        if trial.score is not None:
            spread = "" if trial.std is None else f" ± {score(self.objective, trial.std)}"
            words = f"{self.objective} {score(self.objective, trial.score)}{spread}"
        elif trial.gave_up:
            words = race.in_words(self.work.searches[outer], trial)
        count = f"{self.fits}/{self.planned or '?'} fits"
        shown = ", ".join(
            f"{key.rpartition('.')[2]}={in_words(value)}" for key, value in trial.settings.items()
        )
        shown += self.promotions.length_in_words(trial, next(iter(outcomes), None))
        trial_words = f"{self.study.in_words(outer)}trial {trial.number}"
        self.display.say(f"[{count}] {trial_words} ({shown}): {words}")
        if not self._estimated and self.seconds and (self.planned or 0) > self.fits:
            self._estimated = True
            each, left = median(self.seconds), (self.planned or 0) - self.fits
            whole = duration(left * each / at_a_time(self.config.launch))
            self.display.say(f"about {whole} to go: {left} fits of {each:.2g} s")
