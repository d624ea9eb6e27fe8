"""What a person sees while work goes on: bars with an ETA, a line a finished run; where there is no
terminal, a line a minute inside runs. On stderr."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn

from experiments.jobs.baseline import remark
from experiments.jobs.job import FitPath, Job, Outcome
from experiments.jobs.pace import Pace, Work, duration, pace_of, seconds_of, together
from experiments.presentation.columns import progress_line
from experiments.presentation.formatting import short_id
from experiments.presentation.terminal import Terminal

LOADING = "loading"
LINE_SECONDS = 60.0
"""From one line to the next inside runs, where there is no terminal."""


@dataclass
class Fit:
    """One under way. Marks are (fraction of its training that is done, seconds)."""

    began: float
    work: Work | None
    task: Any
    first: tuple[float, float] | None = None
    last: tuple[float, float] | None = None
    words: str = LOADING

    def mark(self, fraction: float, now: float) -> None:
        """Hear how far it is. The first mark is behind loading and tracing."""
        self.first = self.first or (fraction, now)
        self.last = (fraction, now)

    @property
    def training(self) -> float | None:
        """Seconds of all of its training at the pace between the marks."""
        if not self.first or not self.last or self.last[0] <= self.first[0]:
            return None
        return (self.last[1] - self.first[1]) / (self.last[0] - self.first[0])

    @property
    def pace(self) -> Pace | None:
        if self.training is None or self.work is None or self.first is None or not self.work.amount:
            return None
        around = self.first[1] - self.began - self.first[0] * self.training
        return Pace(self.work.macs, self.training / self.work.amount, max(around, 0.0))

    def seconds_left(self, now: float, paces: list[Pace]) -> float | None:
        if self.training is not None and self.last is not None:
            return max((1 - self.last[0]) * self.training - (now - self.last[1]), 0.0)
        whole = None if self.work is None else seconds_of(self.work, paces)
        return None if whole is None else max(whole - (now - self.began), 0.0)


class Display:
    """Bars where the terminal can draw them; plain lines elsewhere.

    Args:
        total: fits in all.
        every_epoch: a line an epoch, whether there is a terminal or not.
        works: what the fits that are still to come have to do, where that is known.
        workers: fits at a time.
    """

    def __init__(
        self,
        total: int,
        *,
        every_epoch: bool = False,
        works: Mapping[FitPath, Work] | None = None,
        workers: int = 1,
    ):
        self.console = Terminal(stderr=True)
        self.total, self.ended = total, 0
        self.every_epoch = every_epoch
        self.paces: list[Pace] = []
        """Of fits that have ended, those of earlier starts too."""
        self.waiting = dict(works or {})
        """Fits that have not begun."""
        self._workers = workers
        self._fits: dict[FitPath, Fit] = {}
        self._took: list[float] = []
        self._spoke = time.monotonic()
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TextColumn("ETA {task.fields[eta]}", markup=False),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._whole: Any = None

    def __enter__(self) -> Display:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def expect(self, works: Mapping[FitPath, Work], ended: int = 0) -> None:
        """Hear of fits that are still to come, and of so many that had ended before."""
        self.waiting |= works
        self.total += len(works) + ended
        self.ended += ended

    def say(self, text: str) -> None:
        """One line, above the bars."""
        self._spoke = time.monotonic()
        self._bars.console.print(text, soft_wrap=True)

    def event(self, job: Job, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind == "begin":
            task = self._bars.add_task(job.label, total=None, note=LOADING, eta="?")
            work = self.waiting.pop(job.path, None)
            self._fits[job.path] = Fit(time.monotonic(), work, task)
        elif kind == "progress":
            self._advance(job, event["step"] / event["steps"])
            task = self._fits[job.path].task
            self._bars.update(task, completed=event["step"], total=event["steps"])
        elif kind == "epoch":
            self._hear_epoch(job, event)
        elif kind == "note":
            self.say(f"{job.label}: {event['text']}")

    def _hear_epoch(self, job: Job, event: dict[str, Any]) -> None:
        train, values, fit = job.config.train, event["values"], self._fits[job.path]
        at = f"epoch {event['epoch']}/{train.epochs}"
        top1 = f"  val top-1 {values['val_top1']:.2%}" if "val_top1" in values else ""
        fit.words = at + top1
        self._bars.update(fit.task, note=fit.words)
        if event.get("earlier"):  # told before it was stopped
            return
        if self.every_epoch:
            self.say(f"{at}  {progress_line(values)}{self._to_go()}")
        stages = sum(stage.epochs for stage in train.stages)
        self._advance(job, (stages + event["epoch"]) / (stages + train.epochs))

    def _advance(self, job: Job, fraction: float) -> None:
        """Hear that a fit has come so far, and say so where that is due."""
        fit, now = self._fits[job.path], time.monotonic()
        fit.mark(fraction, now)
        if fit.words == LOADING:
            fit.words = "training"
            self._bars.update(fit.task, note=fit.words)
        own = fit.seconds_left(now, self.paces)
        self._bars.update(fit.task, eta="?" if own is None else duration(own))
        if self.console.is_terminal:
            self._draw_whole()
        elif now - self._spoke >= LINE_SECONDS:
            self.say(
                f"[{self.ended}/{self.total or '?'}] {job.label}: {fraction:.0%}, {fit.words}"
                f"{self._to_go()}"
            )

    def _draw_whole(self) -> None:
        """A bar of the whole, where there is more than one fit."""
        if self.total < 2:
            return
        if self._whole is None:
            self._whole = self._bars.add_task("all", total=self.total, note="", eta="?")
        left = self.seconds_left()
        self._bars.update(
            self._whole,
            total=self.total,
            description=f"all ({self.ended}/{self.total})",
            completed=self.ended,
            eta="?" if left is None else duration(left),
        )

    def seconds_left(self) -> float | None:
        """Of the whole; None as long as nothing tells."""
        unknown = self.total - self.ended - len(self._fits) - len(self.waiting)
        if unknown < 0 or (unknown and not self._took):
            return None
        now = time.monotonic()
        paces = self.paces + [fit.pace for fit in self._fits.values() if fit.pace is not None]
        left = [fit.seconds_left(now, paces) for fit in self._fits.values()]
        left += [seconds_of(work, paces) for work in self.waiting.values()]
        left += [median(self._took)] * unknown if unknown else []
        known = [seconds for seconds in left if seconds is not None]
        return together(known, self._workers) if known and len(known) == len(left) else None

    def _to_go(self) -> str:
        left = self.seconds_left()
        return "" if left is None or left < 1 else f"; about {duration(left)} to go"

    def drop(self, job: Job) -> float:
        """Take a job's bar away; the seconds that it took."""
        self.ended += 1
        self.waiting.pop(job.path, None)
        fit = self._fits.pop(job.path, None)
        if fit is None:
            return 0.0
        self._bars.remove_task(fit.task)
        self._took.append(time.monotonic() - fit.began)
        return self._took[-1]

    def end(self, job: Job, outcome: Outcome, run_id: str = "") -> None:
        """Say how a fit ended, and in which run it is tracked."""
        seconds = self.drop(job)
        if outcome.status == "finished" and (pace := pace_of(outcome, seconds)):
            self.paces.append(pace)
        words = outcome.error
        if outcome.status == "finished":
            words = progress_line(outcome.scores) + remark(outcome.scores)
        run = f", run {short_id(run_id)}" if run_id else ""
        self.say(
            f"[{self.ended}/{self.total}] {job.label}: {outcome.status}, {words} "
            f"({seconds:.0f} s{run}){self._to_go()}"
        )
