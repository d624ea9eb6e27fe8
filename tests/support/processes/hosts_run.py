"""One of several hosts that train a small network, in a process of its own: a script.

    python hosts_run.py PART FOLDER

PART is `stopped`: to the end first, and again until the second host is sent SIGTERM, and from there
until it is killed; or `continued`: from there to the end. FOLDER gets weights and what was said.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments import errors
from experiments.config import settings
from experiments.errors import FailedWork, Stopped
from experiments.fitting import fit
from experiments.jobs.plan import prepare
from experiments.runtime import devices, hosts
from experiments.runtime.startup import prepare_process
from experiments.training import loop

PART, FOLDER = sys.argv[1], Path(sys.argv[2])
SECOND = os.environ["ILSVRC_HOST_INDEX"] == "1"
BASE: dict[str, Any] = {
    "data": {"source": "digits", "image_size": 16, "train_fraction": 0.2, "batch_size": 50},
    "model": {
        "name": "mlp",
        "options": {"hidden": [24], "normalization": "batch", "dropout": 0.5},
    },
    "train": {
        "devices": "hosts",
        "epochs": 3,
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "schedule": {"name": "cosine", "warmup_epochs": 0.5},
    },
    "augment": {"steps": [{"op": "mixup"}]},
    "tracking": {"save_model": "best"},
    "bench": {"latency_calls": 1, "throughput_batches": 1},
}


def run(directory: str, every_seconds: float, at: Callable[[int], None]) -> list[str]:
    """What a run says, until it ends; `at` hears of each update on the second host."""
    said: list[str] = []

    def hear(event: dict[str, Any]) -> None:
        if event["kind"] == "note":
            said.append(event["text"])
        if event["kind"] == "progress" and SECOND:
            at(event["step"])

    words = [f"train.checkpoint.every_seconds={every_seconds}"]
    job = prepare(settings.parse(settings.override(BASE, words))).job(("run",))
    try:
        outcome = fit.run(replace(job, directory=str(FOLDER / directory)), hear)
    except Stopped:
        said.append("stopped")
    except FailedWork as error:
        said.append(str(error))
    else:
        said.append(json.dumps([outcome.history, outcome.scores]))
        [trainer] = fit.WORKER.trainers.values()
        np.savez(FOLDER / f"{directory}.npz", *trainer.model.get_weights())
    errors._asked = hosts._wished = hosts._settled = False
    return said


def when(step: int, number: int) -> Callable[[int], None]:
    """Send this process a signal after an update."""
    return lambda made: os.kill(os.getpid(), number) if made == step else None


def main() -> None:
    loop.TICK_SECONDS = hosts.SECONDS = 0.0
    # JAX's hosts meet once in a process
    hosts._leave = lambda devices: hosts.agreed(devices, True)  # type: ignore[assignment]
    prepare_process(1, True)
    devices.chosen("hosts")
    said = {}
    if PART == "stopped":
        said["whole"] = run("whole", 0, lambda step: None)
        said["asked"] = run("own", 3600, when(3, signal.SIGTERM))
        said["killed"] = run("own", 1e-9, when(8, signal.SIGKILL))
    else:
        said["continued"] = run("own", 3600, lambda step: None)
    (FOLDER / f"{PART}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main()
