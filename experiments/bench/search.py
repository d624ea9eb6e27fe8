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
from typing import Any

import numpy as np

from experiments.bench import course as bench_partial
from experiments.bench.course import Course
from experiments.bench.process import Worker
from experiments.errors import BadInput

FOLDS = 3

IMAGE_SIZE = 16  # as in configs/search-random.yaml

MEMORY_TRIALS = 34  # 102 fits

MIB = 2**20

Rows = dict[str, list[dict[str, Any]]]  # of each side: seconds, step_seconds, scores, rss


class Side(Worker):
    """One process of `bench_search_worker`, a trial at a time."""

    def __init__(
        self,
        side: str,
        trials: int,
        epochs: int,
        folder: Path,
        image_size: int = IMAGE_SIZE,
        train_fraction: float = 1.0,
    ):
        job = {
            "side": side, "trials": trials, "epochs": epochs, "folds": FOLDS,
            "train_fraction": train_fraction, "image_size": image_size,
        }  # fmt: skip
        self.name = side
        super().__init__("experiments.bench.search_worker", job, folder)

    def trial(self) -> dict[str, Any]:
        """Let it run one: seconds, step_seconds, scores, rss."""
        self.tell("go")
        found: dict[str, Any] = self.answer()
        self.answer()  # ready for the next
        return found


def in_turns(
    course: Course, part: str, names: Sequence[str], trials: int, epochs: int, **own: Any
) -> Rows:
    """What each trial came to on each side, as far as they came."""
    rows: Rows = {name: [] for name in names}
    with course.until_stopped(), course.trying(part), ExitStack() as started:
        folder = Path(started.enter_context(tempfile.TemporaryDirectory()))
        sides = [started.enter_context(Side(name, trials, epochs, folder, **own)) for name in names]
        for side in sides:
            side.answer()  # ready: nothing of it runs while another is timed
        for number in range(trials):
            for side in sides if number % 2 else sides[::-1]:
                rows[side.name].append(side.trial())
    return rows


def overhead(
    course: Course, trials: int = 16, epochs: int = 10, image_size: int = IMAGE_SIZE
) -> dict[str, Any]:
    """Wall time over the time inside training and evaluation steps; tracking and the first trial,
    which is traced, apart."""
    rows = in_turns(course, "overhead", ["ours"], trials, epochs, image_size=image_size)["ours"]
    if len(rows) < 2:
        return {}
    wall = sum(row["seconds"] for row in rows[1:])
    steps = sum(row["step_seconds"] for row in rows[1:])
    return {
        "trials": len(rows), "folds": FOLDS, "epochs": epochs,
        "first_trial_seconds": rows[0]["seconds"], "seconds": wall, "step_seconds": steps,
        "wall_over_steps": wall / steps,
        "worst_trial": max(row["seconds"] / row["step_seconds"] for row in rows[1:]),
    }  # fmt: skip


def against_keras_tuner(
    course: Course, part: str, trials: int, epochs: int, image_size: int = IMAGE_SIZE
) -> dict[str, Any]:
    """Medians of the seconds of a trial, in turns, and whether every score is the same."""
    rows = in_turns(course, part, ["ours", "stock"], trials, epochs, image_size=image_size)
    done = min(map(len, rows.values()))
    if not done:
        return {}
    rows = {name: own[:done] for name, own in rows.items()}
    seconds = {name: [row["seconds"] for row in own] for name, own in rows.items()}
    scores = {name: [x for row in own for x in row["scores"]] for name, own in rows.items()}
    # ours are fractions in double precision, Keras's in single
    equal = np.array(scores["ours"], np.float32) == np.array(scores["stock"], np.float32)
    return {
        "trials": done, "folds": FOLDS, "epochs": epochs,
        "median_seconds": {name: median(own) for name, own in seconds.items()},
        "ratio": median(seconds["stock"]) / median(seconds["ours"]),
        "ratio_of_all": sum(seconds["stock"]) / sum(seconds["ours"]),
        "scores": len(equal), "equal_scores": int(equal.sum()),
        "mean_score": float(np.mean(scores["ours"])),
    }  # fmt: skip


def memory(course: Course, trials: int = MEMORY_TRIALS, warm: int = 4) -> dict[str, Any]:
    """MiB by which the process grows a fit, after `warm` trials: short fits of few images."""
    found: dict[str, float] = {}
    done = {"ours": 0, "stock": 0}
    for name in done:
        if not course.stopped:
            rows = in_turns(course, "memory", [name], warm + trials, 1, train_fraction=0.1)[name]
            done[name] = max(0, len(rows) - warm)
        if done[name]:
            grown = rows[-1]["rss"] - rows[warm - 1]["rss"]
            found[name] = grown / MIB / (done[name] * FOLDS)
    fits = FOLDS * min((done[name] for name in found), default=0)
    return {"trials": min(done.values()), "fits": fits, "mib_a_fit": found} if found else {}


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
    parts: dict[str, tuple[int, Callable[[], dict[str, Any]]]] = {
        "overhead": (trials, lambda: overhead(course, trials, image_size=image_size)),
        "two_epochs": (
            trials, lambda: against_keras_tuner(course, "two_epochs", trials, 2, image_size)
        ),
        "ten_epochs": (
            trials, lambda: against_keras_tuner(course, "ten_epochs", trials, 10, image_size)
        ),
        "memory": (MEMORY_TRIALS, lambda: memory(course)),
    }  # fmt: skip
    for name in only:
        if name not in parts:
            raise BadInput(f"bench search: no part {name!r}; expected {', '.join(parts)}")
    wanted = {name: part for name, part in parts.items() if name in (only or parts)}
    document: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name, (asked, part) in wanted.items():
        if course.stopped:
            found = {}
        else:
            say(f"{name} ...")
            found = part()
        missing |= course.missing([(name, name, found.get("trials", 0))], asked, "trials")
        if found:
            document[name] = found
    if not document:
        raise course.nothing("bench search", missing)
    return document | {"status": course.status(missing), "missing": missing}


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
    return "\n".join([*lines, *bench_partial.lines(document["missing"])])
