"""`ilsvrc bench search`: what a search costs beside its training steps, and beside KerasTuner.

LeNet-5 on digits, of 16x16 unless told. Our search and stock KerasTuner (random search, folds in
`run_trial`, every fold a network built anew) run the same candidates on the same folds, in turns, a
trial each; the ratio is that of the medians over trials, and the scores must be equal.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from experiments.bench.course import Course, missing_lines
from experiments.bench.process import BenchProcess
from experiments.errors import BadInput

FOLDS = 3
IMAGE_SIZE = 16  # as in configs/search-random.yaml
MEMORY_TRIALS = 34  # 102 fits
MIB = 2**20
Rows = dict[str, list[dict[str, Any]]]  # of each side: seconds, step_seconds, scores, rss


class Workload(NamedTuple):
    """What both sides of a part do."""

    trials: int
    epochs: int
    image_size: int = IMAGE_SIZE
    train_fraction: float = 1.0


class SearchProcess(BenchProcess):
    """One side, a process of `search_worker`, a trial at a time."""

    def __init__(self, side: str, workload: Workload, folder: Path):
        job = {"side": side, "folds": FOLDS, **workload._asdict()}
        self.name = side
        super().__init__("experiments.bench.search_worker", job, folder)

    def trial(self) -> dict[str, Any]:
        """Let it run one: seconds, step_seconds, scores, rss."""
        self.tell("go")
        document: dict[str, Any] = self.answer()
        self.answer()  # ready for the next
        return document


def in_turns(course: Course, part: str, names: Sequence[str], workload: Workload) -> Rows:
    """What each trial came to on each side, as far as they came."""
    rows: Rows = {name: [] for name in names}
    with course.until_stopped(), course.trying(part), ExitStack() as started:
        folder = Path(started.enter_context(tempfile.TemporaryDirectory()))
        sides = [started.enter_context(SearchProcess(name, workload, folder)) for name in names]
        for side in sides:
            side.answer()  # ready: nothing of it runs while another is timed
        for number in range(workload.trials):
            for side in sides if number % 2 else sides[::-1]:
                rows[side.name].append(side.trial())
    return rows


def overhead(course: Course, workload: Workload) -> dict[str, Any]:
    """Wall time over the time inside training and evaluation steps; tracking and the first trial,
    which is traced, apart."""
    rows = in_turns(course, "overhead", ["ours"], workload)["ours"]
    if len(rows) < 2:
        return {}
    wall = sum(row["seconds"] for row in rows[1:])
    steps = sum(row["step_seconds"] for row in rows[1:])
    return {
        "trials": len(rows), "folds": FOLDS, "epochs": workload.epochs,
        "first_trial_seconds": rows[0]["seconds"], "seconds": wall, "step_seconds": steps,
        "wall_over_steps": wall / steps,
        "worst_trial": max(row["seconds"] / row["step_seconds"] for row in rows[1:]),
    }  # fmt: skip


def against_keras_tuner(course: Course, part: str, workload: Workload) -> dict[str, Any]:
    """Medians of the seconds of a trial, in turns, and whether every score is the same."""
    rows = in_turns(course, part, ["ours", "stock"], workload)
    done = min(map(len, rows.values()))
    if not done:
        return {}
    rows = {name: results[:done] for name, results in rows.items()}
    seconds = {name: [row["seconds"] for row in results] for name, results in rows.items()}
    scores = {name: [x for row in results for x in row["scores"]] for name, results in rows.items()}
    # ours are fractions in double precision, Keras's in single
    equal = np.array(scores["ours"], np.float32) == np.array(scores["stock"], np.float32)
    return {
        "trials": done, "folds": FOLDS, "epochs": workload.epochs,
        "median_seconds": {name: median(values) for name, values in seconds.items()},
        "ratio": median(seconds["stock"]) / median(seconds["ours"]),
        "ratio_of_all": sum(seconds["stock"]) / sum(seconds["ours"]),
        "scores": len(equal), "equal_scores": int(equal.sum()),
        "mean_score": float(np.mean(scores["ours"])),
    }  # fmt: skip


def memory(course: Course, trials: int = MEMORY_TRIALS, warm: int = 4) -> dict[str, Any]:
    """MiB by which the process grows a fit, after `warm` trials: short fits of few images."""
    grown_by: dict[str, float] = {}
    done = {"ours": 0, "stock": 0}
    for name in done:
        if not course.stopped:
            workload = Workload(warm + trials, 1, train_fraction=0.1)
            rows = in_turns(course, "memory", [name], workload)[name]
            done[name] = max(0, len(rows) - warm)
        if done[name]:
            grown = rows[-1]["rss"] - rows[warm - 1]["rss"]
            grown_by[name] = grown / MIB / (done[name] * FOLDS)
    fits = FOLDS * min((done[name] for name in grown_by), default=0)
    return {"trials": min(done.values()), "fits": fits, "mib_a_fit": grown_by} if grown_by else {}


def run(
    trials: int, only: Sequence[str], say: Callable[[str], None], image_size: int = IMAGE_SIZE
) -> dict[str, Any]:
    """All figures, or those named: overhead, two_epochs, ten_epochs, memory (always at 16x16).

    Stopped, or where a side fails, they are of the trials that were measured, as `missing` says.

    Raises:
        BadInput: there is no such part.
        FailedWork: nothing could be measured.
        Stopped: before anything was.
    """
    course = Course()
    two, ten = (Workload(trials, epochs, image_size) for epochs in (2, 10))
    parts: dict[str, tuple[int, Callable[[], dict[str, Any]]]] = {
        "overhead": (trials, lambda: overhead(course, ten)),
        "two_epochs": (trials, lambda: against_keras_tuner(course, "two_epochs", two)),
        "ten_epochs": (trials, lambda: against_keras_tuner(course, "ten_epochs", ten)),
        "memory": (MEMORY_TRIALS, lambda: memory(course)),
    }
    for name in only:
        if name not in parts:
            raise BadInput(f"bench search: no part {name!r}; expected {', '.join(parts)}")
    wanted = {name: part for name, part in parts.items() if name in (only or parts)}
    document: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name, (asked, part) in wanted.items():
        if course.stopped:
            figures = {}
        else:
            say(f"{name} ...")
            figures = part()
        missing |= course.missing([(name, name, figures.get("trials", 0))], asked, "trials")
        if figures:
            document[name] = figures
    if not document:
        raise course.nothing("bench search", missing)
    return document | {"status": course.status(missing), "missing": missing}


def text(document: dict[str, Any]) -> str:
    """The figures for people."""
    lines = []
    if part := document.get("overhead"):
        lines.append(
            f"{part['trials']} trials x {part['folds']} folds x {part['epochs']} epochs: wall time "
            f"{part['wall_over_steps']:.3f} of the time inside steps (tracking apart)"
        )
    for name in ("two_epochs", "ten_epochs"):
        if part := document.get(name):
            lines.append(
                f"{part['epochs']} epochs: KerasTuner takes {part['ratio']:.1f} times as long "
                f"(median of {part['trials']} trials; {part['equal_scores']} of {part['scores']} "
                "scores equal)"
            )
    if part := document.get("memory"):
        sizes = ", ".join(f"{name} {size:.3f}" for name, size in part["mib_a_fit"].items())
        lines.append(f"memory, MiB a fit over {part['fits']} fits: {sizes}")
    return "\n".join([*lines, *missing_lines(document["missing"])])
