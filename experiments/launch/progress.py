"""What a person sees while work goes on: a bar with an ETA, one line a finished run. On stderr."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from experiments.jobs.job import Job, Outcome
from experiments.presentation.columns import progress_line
from experiments.presentation.terminal import Terminal


class Display:
    """Bars where the terminal can draw them; plain lines elsewhere."""

    def __init__(self, total: int, *, every_epoch: bool = False):
        self.console = Terminal(stderr=True)
        self.total, self.ended = total, 0
        self.every_epoch = every_epoch
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TextColumn("ETA"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._tasks: dict[tuple[str | int, ...], Any] = {}
        self._began: dict[tuple[str | int, ...], float] = {}

    def __enter__(self) -> Display:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """One line, above the bars."""
        self._bars.console.print(text, soft_wrap=True)

    def event(self, job: Job, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind == "begin":
            self._began[job.path] = time.perf_counter()
            self._tasks[job.path] = self._bars.add_task(job.label, total=None, note="loading")
        elif kind == "progress":
            self._bars.update(self._tasks[job.path], completed=event["step"], total=event["steps"])
        elif kind == "epoch":
            values, at = event["values"], f"epoch {event['epoch']}/{job.config.train.epochs}"
            short = f"{at}  val top-1 {values['val_top1']:.1%}" if "val_top1" in values else at
            self._bars.update(self._tasks[job.path], note=short)
            if self.every_epoch and not event.get("earlier"):  # told before it was stopped
                self.say(f"{at}  {progress_line(values)}")
        elif kind == "note":
            self.say(f"{job.label}: {event['text']}")

    def drop(self, job: Job) -> float:
        """Take a job's bar away; the seconds that it took."""
        self.ended += 1
        task = self._tasks.pop(job.path, None)
        if task is not None:
            self._bars.remove_task(task)
        return time.perf_counter() - self._began.pop(job.path, time.perf_counter())

    def end(self, job: Job, outcome: Outcome) -> None:
        seconds = self.drop(job)
        words = progress_line(outcome.scores) if outcome.status == "finished" else outcome.error
        self.say(
            f"[{self.ended}/{self.total}] {job.label}: {outcome.status}, {words} ({seconds:.0f} s)"
        )
