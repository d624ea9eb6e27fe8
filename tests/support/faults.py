"""Faults for runs of a sweep, by their seed, and workers that commit them. None of it is in the
product: a worker is started with its list and wraps `experiments.fit.run`."""

from __future__ import annotations

import functools
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from experiments.config import settings
from experiments.jobs.job import Job, Outcome
from experiments.launch import processes
from experiments.launch.processes import Child
from experiments.runtime.share import Share

RATES = {"crash": 0.05, "nan": 0.08, "slow": 0.05, "corrupt": 0.05}
"""Share of the runs that get each fault; a tracker's outages are apart (`soak.OUTAGES`)."""
ERRORS = {
    "crash": "ended by SIGKILL",  # of the worker, after the first epoch
    "nan": "learning_rate",  # far too large, so that the loss is no number
    "corrupt": "damaged.png",  # half of a file is missing when the worker reads it
}
"""What a run's error says; a fault that is not here costs time only."""
SLOW_SECONDS = 3.0
DAMAGED = "damaged"
"""Ending of the folder that lies beside the good one."""

Fit = Callable[[Job, Callable[[dict[str, Any]], None]], Outcome]


def draw(seeds: Iterable[int], seed: int, rates: Mapping[str, float] = RATES) -> dict[int, str]:
    """Fault by run; runs without one are absent."""
    rng, drawn = random.Random(seed), {}
    for one in seeds:
        at, up_to = rng.random(), 0.0
        for fault, rate in rates.items():
            up_to += rate
            if at < up_to:
                drawn[one] = fault
                break
    return drawn


def images(folder: Path, classes: int = 5, each: int = 24) -> Path:
    """Drawn images in class folders, and beside them the same with one file cut in half."""
    rng = np.random.default_rng(1)
    for label in range(classes):
        place = folder / f"class{label}"
        place.mkdir(parents=True)
        for number in range(each):
            pixels = rng.integers(0, 60, (16, 16, 3), np.uint8)
            pixels[3 * label : 3 * label + 4] += 150  # a bar, whose height tells the class
            Image.fromarray(pixels).save(place / f"{number}.png")
    damaged = Path(f"{folder}-{DAMAGED}")
    shutil.copytree(folder, damaged)
    whole = (damaged / "class0" / "0.png").read_bytes()
    (damaged / "class0" / "0.png").unlink()
    (damaged / "class0" / "damaged.png").write_bytes(whole[: len(whole) // 2])
    return folder


def wrapped(real: Fit, faults: Mapping[int, str], slow: float = SLOW_SECONDS) -> Fit:
    """`experiments.fit.run` as it goes wrong for some seeds."""

    def run(job: Job, emit: Callable[[dict[str, Any]], None]) -> Outcome:
        fault = faults.get(job.config.seed)
        if fault == "slow":
            time.sleep(slow)
        elif fault == "nan":
            job = _changed(job, "train.optimizer.learning_rate=3e38")
        elif fault == "corrupt":
            job = _changed(job, f"data.source={job.config.data.source}-{DAMAGED}")
        elif fault == "crash":
            emit = functools.partial(_crash, emit)
        return real(job, emit)

    return run


def _crash(emit: Callable[[dict[str, Any]], None], event: dict[str, Any]) -> None:
    emit(event)
    if event["kind"] == "epoch":
        os.kill(os.getpid(), signal.SIGKILL)


def _changed(job: Job, *words: str) -> Job:
    raw = settings.override(job.config.model_dump(mode="json"), words)
    return replace(job, config=settings.parse(raw))


class FaultyChild(Child):
    """A worker's process that commits the faults of its list."""

    def __init__(self, share: Share | None, faults: Mapping[int, str]):
        super().__init__(share)
        self.faults = dict(faults)

    def start(self) -> None:
        with mock.patch.object(processes, "serve", functools.partial(serve, self.faults)):
            super().start()


def serve(faults: dict[int, str], connection: Connection, share: Share) -> None:
    """`launch.serve` with faults, in the child."""
    share.take()
    from experiments.fitting import fit

    fit.run = wrapped(fit.run, faults)
    processes.serve(connection, share)
