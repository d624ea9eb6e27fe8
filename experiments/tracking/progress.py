"""How far fits are, and how long those took that ended: what lies beside their journals."""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.errors import BadInput
from experiments.jobs.job import ROOT, Job, Outcome
from experiments.jobs.pace import Pace, pace_of
from experiments.tracking.journal import COMMANDS, Journal

FILE = "progress.json"
EVERY_SECONDS = 5.0
MOST_PACES = 100  # the newest


class Progress:
    """Of one fit under way: a small file that may be lost, since it tells what a run does now."""

    def __init__(self, job: Job):
        self.file = Path(job.directory) / FILE
        self._epochs = job.config.train.epochs
        self._before = sum(stage.epochs for stage in job.config.train.stages)
        self._told: dict[str, Any] = {"began": time.time(), "epoch": 0, "fraction": 0.0}
        self._next = 0.0

    def hear(self, event: dict[str, Any]) -> None:
        """Of an event of the fit."""
        if event["kind"] not in ("epoch", "progress"):
            return
        if event["kind"] == "epoch":
            self._told["epoch"] = event["epoch"]
            done = self._before + event["epoch"]
            self._told["fraction"] = done / (self._before + self._epochs)
        else:
            self._told["fraction"] = event["step"] / event["steps"]
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_SECONDS
        now = {**self._told, "epochs": self._epochs, "time": time.time()}
        with contextlib.suppress(OSError):
            partial = self.file.with_suffix(".partial")
            partial.write_text(json.dumps(now), encoding="utf-8")
            os.replace(partial, self.file)

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self.file.unlink(missing_ok=True)


def progress_of(directory: Path) -> dict[str, Any] | None:
    """began, epoch, fraction, epochs and time of a fit under way; None where it has not said."""
    try:
        told: dict[str, Any] = json.loads((directory / FILE).read_text(encoding="utf-8"))
        return {key: told[key] for key in ("began", "epoch", "fraction", "epochs", "time")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def pace(journal: Journal) -> Pace | None:
    """Of a fit that finished; None where its journal does not tell."""
    started, ended = journal.last("started"), journal.last("ended")
    if not started or not ended or ended["outcome"]["status"] != "finished":
        return None
    seconds = ended["time"] - started["time"]
    return pace_of(Outcome.from_record(ended), seconds) if seconds > 0 else None


def paces(name: str) -> list[Pace]:
    """Of all fits of an experiment; where it has none, of all that were trained in this folder."""
    return list(_paces(ROOT / name)) or [
        each for folder in sorted(ROOT.glob("*")) for each in _paces(folder)
    ]


def _paces(folder: Path) -> Iterator[Pace]:
    fits = [p for p in folder.glob("*/journal.jsonl") if not p.parent.name.startswith(COMMANDS)]
    for path in heapq.nlargest(MOST_PACES, fits, key=lambda path: path.stat().st_mtime):
        journal = Journal(path.parent)
        with contextlib.suppress(BadInput), journal.understood():
            if (taken := pace(journal)) is not None:
                yield taken
