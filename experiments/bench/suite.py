"""`ilsvrc bench`: what this tool itself costs, measured on this machine."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from experiments.bench.course import Course, missing_lines
from experiments.errors import FailedWork

ROUNDS = 11
COMMANDS = {"python -c pass": None, "ilsvrc --help": ["--help"], "ilsvrc models": ["models"]}


def run(with_quickstart: bool = False) -> dict[str, Any]:
    """{"status", "missing", "rows" of `startup`, "memory", "quickstart" if asked for}, as far as
    they were measured."""
    course = Course()
    document: dict[str, Any] = {"rows": startup(course)}
    parts: dict[str, Callable[[], dict[str, Any]]] = {"memory": memory}
    if with_quickstart:
        parts["quickstart"] = quickstart
    for name, part in parts.items():
        if not course.stopped:
            with course.until_stopped(), course.trying(name):
                document[name] = part()
    measured = {row["name"]: row["rounds"] for row in document["rows"]}
    missing = course.missing(((name, name, measured.get(name, 0)) for name in COMMANDS), ROUNDS)
    missing |= course.missing(((name, name, name in document) for name in parts), 1)
    return document | {"status": course.status(missing), "missing": missing}


def startup(course: Course, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Seconds from start to exit of the light commands, interleaved with a bare Python.

    Columns: name, median, low, high in seconds over `rounds`; a round before them warms the disk
    cache.
    """
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with course.until_stopped():
        for name in (rounds + 1) * list(COMMANDS):
            if name not in course.failed:
                with course.trying(name):
                    times[name].append(_seconds(COMMANDS[name]))
    return [
        {"name": name, "median": median(row), "low": min(row), "high": max(row),
         "rounds": len(row)}
        for name, (_, *row) in ((name, row) for name, row in times.items() if len(row) > 1)
    ]  # fmt: skip


def _seconds(words: list[str] | None) -> float:
    """That a command takes; of None, a bare Python."""
    command = [sys.executable, "-c", "pass"] if words is None else [_ilsvrc(), *words]
    start = time.perf_counter()
    done = subprocess.run(  # nosec B603  # the command that is timed, own words
        command, check=False, stdout=subprocess.DEVNULL
    )
    if done.returncode:
        raise FailedWork(f"it ended with exit code {done.returncode}")
    return time.perf_counter() - start


def memory(model: str = "lenet5", runs: int = 10) -> dict[str, Any]:
    """Peak resident memory of each run in a sweep over seeds of one network, in run order."""
    config = {
        "name": "memory",
        "data": {"source": "digits"},
        "model": {"name": model},
        "train": {"epochs": 2},
        "sweep": {"seed": list(range(1, runs + 1))},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.yaml"
        path.write_text(yaml.safe_dump(config))
        peaks = [run["peak_memory_bytes"] for run in _sweep(path, folder)["runs"]]
    return {"model": model, "peaks": peaks, "last_over_second": peaks[-1] / peaks[1]}


def quickstart() -> dict[str, Any]:
    """Wall time of the quickstart sweep in an empty folder, packages installed."""
    from importlib.resources import as_file, files

    with (
        tempfile.TemporaryDirectory() as folder,
        as_file(files("experiments.configs") / "quickstart.yaml") as path,
    ):
        start = time.perf_counter()
        done = _sweep(path, folder)
        return {"seconds": time.perf_counter() - start, "runs": len(done["runs"])}


def scaling(counts: Sequence[int] = (1, 2), runs: int = 16, epochs: int = 40) -> dict[str, Any]:
    """Wall time of one sweep for each number of workers, a thread a worker, start-up included.

    LeNet-5 on the digits, a run a seed. Its rows: workers, seconds, speedup over the first number,
    and `again`, the seconds of the same command with nothing left to do. `equal`: every number of
    workers gave the same scores. `status` and `missing`: stopped or failed, the rows are those of
    the numbers that were measured.
    """
    config = {
        "name": "scaling",
        "data": {"source": "digits"},
        "model": {"name": "lenet5"},
        "train": {"epochs": epochs, "threads": 1},
        "sweep": {"seed": list(range(1, runs + 1))},
    }
    rows: list[dict[str, Any]] = []
    scores = []
    course = Course()
    with course.until_stopped():
        for count in counts:
            with course.trying(f"workers {count}"), tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "scaling.yaml"
                path.write_text(yaml.safe_dump(config | {"launch": {"workers": count}}))
                start = time.perf_counter()
                done = _sweep(path, folder)
                between = time.perf_counter()
                _sweep(path, folder)
                row = {
                    "workers": count,
                    "seconds": between - start,
                    "again": time.perf_counter() - between,
                }
                rows.append(row | {"speedup": (rows or [row])[0]["seconds"] / row["seconds"]})
                scores.append([(run["test_top1"], run["val_loss"]) for run in done["runs"]])
    measured = {row["workers"] for row in rows}
    missing = course.missing(((f"workers {n}", f"workers {n}", n in measured) for n in counts), 1)
    return {
        "status": course.status(missing),
        "missing": missing,
        "runs": runs,
        "rows": rows,
        "equal": all(one == scores[0] for one in scores),
    }


def scaling_report(document: dict[str, Any]) -> str:
    """Those figures for people."""
    lines = [
        f"{document['runs']} runs, workers {row['workers']}: {row['seconds']:.0f} s, speedup "
        f"{row['speedup']:.2f}; again, all done: {row['again']:.1f} s"
        for row in document["rows"]
    ]
    if len(lines) > 1:
        lines.append(f"scores are {'equal' if document['equal'] else 'NOT equal'}")
    return "\n".join([*lines, *missing_lines(document["missing"])])


def report(document: dict[str, Any]) -> str:
    """The figures of `run` for people."""
    lines = [
        f"{row['name']:16} {row['median']:.3f} s  ({row['low']:.3f} to {row['high']:.3f})"
        for row in document["rows"]
    ]
    if peaks := document.get("memory"):
        mib = [f"{peak / 2**20:.0f}" for peak in peaks["peaks"]]
        lines.append(f"peak memory over a sweep of {peaks['model']}, MiB: {' '.join(mib)}")
        lines.append(f"last over second: {peaks['last_over_second']:.3f}")
    if timed := document.get("quickstart"):
        lines.append(f"quickstart: {timed['runs']} runs in {timed['seconds']:.0f} s")
    return "\n".join([*lines, *missing_lines(document["missing"])])


def _sweep(config: Path, folder: str) -> dict[str, Any]:
    import json

    done = subprocess.run(  # nosec B603  # the installed ilsvrc, no shell
        [_ilsvrc(), "sweep", str(config), "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise FailedWork(f"the sweep of {config.name} ended with exit code {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _ilsvrc() -> str:
    return str(Path(sys.executable).with_name("ilsvrc"))
