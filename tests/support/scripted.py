"""Fits that only say that they go on: the coordinator with its journals and stores, no training."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from command import TINY
from rich.console import Console

from experiments.config import settings
from experiments.config.identity import config_hash
from experiments.config.schema import Tracking
from experiments.jobs.job import Job, Outcome, run_directory
from experiments.launch.progress import Display
from experiments.runs import execute as execution
from experiments.tracking.experiment import Experiment
from experiments.tracking.journal import Journal

NETWORK, PREDICTIONS = "model.keras", "predictions.parquet"


def job(seed: int, name: str = "scripted", **sections: Any) -> Job:
    """A fit that differs from the others by its seed, or by sections of its config."""
    config = settings.parse(TINY | {"name": name, "seed": seed} | sections)
    directory = Journal(run_directory(name, config_hash(config))).open().directory
    part = np.arange(4)
    return Job(("cell", seed), config, part, part, part, "graph", str(directory), {"seed": seed})


class Scripted:
    """An executor whose fits have `epochs` epochs; `between` is called before each of them."""

    def __init__(self, epochs: int, between: Callable[[Job, int], None] = lambda job, epoch: None):
        self.epochs, self.between = epochs, between

    def run(self, jobs: Any, on_event: Callable[[Job, dict[str, Any]], None]) -> Any:
        for one in jobs:
            on_event(one, {"kind": "begin"})
            history = []
            for epoch in range(1, self.epochs + 1):
                self.between(one, epoch)
                values = {"val_top1": epoch / 1000, "train_loss": 1 / epoch}
                history.append(values)
                on_event(one, {"kind": "epoch", "epoch": epoch, "values": values})
            scores = {"test_top1": 0.5 + one.config.seed / 100}
            yield one, Outcome(one.path, "finished", scores, history, {"macs": 12.0})


class Trained(Scripted):
    """Its fits leave a network and predictions, as `fit` does: under another name first."""

    def __init__(self, content: bytes):
        super().__init__(1)
        self.content = content

    def run(self, jobs: Any, on_event: Callable[[Job, dict[str, Any]], None]) -> Any:
        for one, outcome in super().run(jobs, on_event):
            files = [Path(one.directory) / name for name in (NETWORK, PREDICTIONS)]
            for file in files:
                unfinished = file.with_name("writing")
                unfinished.write_bytes(self.content)
                os.replace(unfinished, file)
            yield one, replace(outcome, model=str(files[0]), predictions=str(files[1]))


def execute(executor: Scripted, jobs: list[Job], uri: str, parent: str | None = None) -> Any:
    """Run them. Returns (experiment, the tracked runs, all that a person was told)."""
    said = io.StringIO()
    experiment = Experiment(jobs[0].config.name, Tracking(uri=uri))
    with Display(len(jobs)) as display:
        display._bars.live.console = Console(file=said, width=300)
        prints = {one.path: "fingerprint" for one in jobs}
        ended = list(execution.execute(jobs, executor, experiment, prints, display, parent=parent))
    return experiment, [run for _, _, run in ended], said.getvalue()


def curve(client: Any, run_id: str, name: str) -> list[tuple[int, float]]:
    """(step, value) of every row that the store has of a metric."""
    return sorted((m.step, m.value) for m in client.get_metric_history(run_id, name))


def whole(epochs: int) -> list[tuple[int, float]]:
    """The curve of `val_top1` of such a fit."""
    return [(epoch, epoch / 1000) for epoch in range(1, epochs + 1)]
