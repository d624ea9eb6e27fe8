"""`ilsvrc bench search`: what a search costs beside its training steps, and beside KerasTuner.

LeNet-5 on digits, of 16x16 unless told. Our search and stock KerasTuner (random search, folds in
`run_trial`, every fold a network built anew) run the same candidates on the same folds, in turns, a
trial each; the ratio is that of the medians over trials, and the scores must be equal.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np

from experiments.errors import BadInput, FailedWork

FOLDS = 3
IMAGE_SIZE = 16  # as in configs/search-random.yaml
MIB = 2**20


class Side:
    """One process of `bench_search_worker`, a trial at a time."""

    def __init__(
        self,
        side: str,
        trials: int,
        epochs: int,
        image_size: int = IMAGE_SIZE,
        train_fraction: float = 1.0,
    ):
        job = {
            "side": side, "trials": trials, "epochs": epochs, "folds": FOLDS,
            "train_fraction": train_fraction, "image_size": image_size,
        }  # fmt: skip
        self.name = side
        self.process = subprocess.Popen(  # nosec B603  # a worker of this suite, no shell
            [sys.executable, "-m", "experiments.bench_search_worker", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self._hear()  # ready for the first

    def trial(self) -> dict[str, Any]:
        """Let it run one: seconds, step_seconds, scores, rss."""
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        found = self._hear()
        self._hear()  # ready for the next
        return found

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise FailedWork(f"bench search: the process of {self.name} ended before its time")
        found: dict[str, Any] = json.loads(line)
        return found


def overhead(trials: int = 16, epochs: int = 10, image_size: int = IMAGE_SIZE) -> dict[str, Any]:
    """Wall time over the time inside training and evaluation steps; tracking and the first trial,
    which is traced, apart."""
    side = Side("ours", trials, epochs, image_size)
    rows = [side.trial() for _ in range(trials)]
    side.end()
    wall = sum(row["seconds"] for row in rows[1:])
    steps = sum(row["step_seconds"] for row in rows[1:])
    return {
        "trials": trials, "folds": FOLDS, "epochs": epochs,
        "first_trial_seconds": rows[0]["seconds"], "seconds": wall, "step_seconds": steps,
        "wall_over_steps": wall / steps,
        "worst_trial": max(row["seconds"] / row["step_seconds"] for row in rows[1:]),
    }  # fmt: skip


def against_keras_tuner(trials: int, epochs: int, image_size: int = IMAGE_SIZE) -> dict[str, Any]:
    """Medians of the seconds of a trial, in turns, and whether every score is the same."""
    sides = [Side(name, trials, epochs, image_size) for name in ("ours", "stock")]
    rows: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    for number in range(trials):
        for side in sides if number % 2 else sides[::-1]:
            rows[side.name].append(side.trial())
    for side in sides:
        side.end()
    seconds = {name: [row["seconds"] for row in own] for name, own in rows.items()}
    scores = {name: [x for row in own for x in row["scores"]] for name, own in rows.items()}
    # ours are fractions in double precision, Keras's in single
    equal = np.array(scores["ours"], np.float32) == np.array(scores["stock"], np.float32)
    return {
        "trials": trials, "folds": FOLDS, "epochs": epochs,
        "median_seconds": {name: median(own) for name, own in seconds.items()},
        "ratio": median(seconds["stock"]) / median(seconds["ours"]),
        "ratio_of_all": sum(seconds["stock"]) / sum(seconds["ours"]),
        "scores": len(equal), "equal_scores": int(equal.sum()),
        "mean_score": float(np.mean(scores["ours"])),
    }  # fmt: skip


def memory(fits: int = 100, warm: int = 4) -> dict[str, Any]:
    """MiB by which the process grows a fit, after `warm` trials: short fits of few images."""
    found = {}
    for name in ("ours", "stock"):
        trials = -(-fits // FOLDS)
        side = Side(name, warm + trials, 1, train_fraction=0.1)
        rss = [side.trial()["rss"] for _ in range(warm + trials)]
        side.end()
        found[name] = (rss[-1] - rss[warm - 1]) / MIB / (trials * FOLDS)
    return {"fits": trials * FOLDS, "mib_a_fit": found}


def run(
    trials: int, only: Sequence[str], say: Callable[[str], None], image_size: int = IMAGE_SIZE
) -> dict[str, Any]:
    """All figures, or those named: overhead, two_epochs, ten_epochs, memory (always at 16x16).

    Raises:
        BadInput: there is no such part.
    """
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "overhead": lambda: overhead(trials, image_size=image_size),
        "two_epochs": lambda: against_keras_tuner(trials, 2, image_size),
        "ten_epochs": lambda: against_keras_tuner(trials, 10, image_size),
        "memory": memory,
    }
    for name in only:
        if name not in parts:
            raise BadInput(f"bench search: no part {name!r}; expected {', '.join(parts)}")
    document = {}
    for name, part in parts.items():
        if not only or name in only:
            say(f"{name} ...")
            document[name] = part()
    return document


def text(document: dict[str, Any]) -> str:
    """The figures for people."""
    lines = []
    if own := document.get("overhead"):
        lines.append(
            f"{own['trials']} trials x {own['folds']} folds x {own['epochs']} epochs: wall time "
            f"{own['wall_over_steps']:.3f} of the time inside steps (tracking apart)"
        )
    for name in ("two_epochs", "ten_epochs"):
        if own := document.get(name):
            lines.append(
                f"{own['epochs']} epochs: KerasTuner takes {own['ratio']:.1f} times as long "
                f"(median of {own['trials']} trials; {own['equal_scores']} of {own['scores']} "
                "scores equal)"
            )
    if own := document.get("memory"):
        sizes = ", ".join(f"{name} {size:.3f}" for name, size in own["mib_a_fit"].items())
        lines.append(f"memory, MiB a fit over {own['fits']} fits: {sizes}")
    return "\n".join(lines)
