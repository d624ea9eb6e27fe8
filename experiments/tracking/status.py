"""`ilsvrc status`: what is done, failed, running and left, from the journals alone."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from experiments.errors import BadInput
from experiments.jobs.job import ROOT
from experiments.tracking.journal import COMMANDS, Journal
from experiments.tracking.lock import holder


def status(name: str | None = None) -> list[dict[str, Any]]:
    """One row an experiment: counts and, where runs are left, an estimate in seconds.

    Raises:
        BadInput: there is no such experiment here.
    """
    folders = ROOT.iterdir() if ROOT.is_dir() else []
    known = sorted(path.name for path in folders if path.is_dir() and path.name[0] != ".")
    if name is not None and name not in known:
        have = f"; here are: {', '.join(known)}" if known else "; nothing has run here yet"
        raise BadInput(f"status: no experiment {name} in {ROOT.absolute()}{have}")
    return [_row(experiment) for experiment in ([name] if name else known)]


@contextlib.contextmanager
def _or_a_word(journal: Journal) -> Iterator[None]:
    """A journal that cannot be understood costs a warning; the others are counted."""
    try:
        with journal.understood():
            yield
    except BadInput as error:
        warnings.warn(f"status: left out: {error}", stacklevel=3)


def _row(name: str) -> dict[str, Any]:
    root = ROOT / name
    fits = {str(path.parent) for path in root.glob("*/journal.jsonl") if _is_fit(path)}
    workers = 1
    for path in sorted(root.glob("sweep-*")):
        book = Journal(path)
        with _or_a_word(book):
            if planned := book.last("planned"):
                fits |= {cell["directory"] for cell in planned["cells"]}
                workers = planned["workers"]
    states = []
    for fit in map(Journal, map(Path, sorted(fits))):
        with _or_a_word(fit):
            states.append(_state(fit))
    counts = dict.fromkeys(("done", "failed", "running", "left"), 0)
    seconds = []
    for state, took in states:
        counts[state] += 1
        if took is not None:
            seconds.append(took)
    for path in sorted([*root.glob("search-*"), *root.glob("nested-*")]):
        with _or_a_word(Journal(path)):
            of_search, took_each, workers = _search(path, workers)
            counts = {state: count + of_search[state] for state, count in counts.items()}
            seconds += took_each
    remaining = counts["left"] + counts["running"]
    estimate = median(seconds) * remaining / workers if seconds and remaining else None
    return {"name": name, "runs": sum(counts.values()), **counts, "seconds_left": estimate}


def _is_fit(path: Path) -> bool:
    return not path.parent.name.startswith(COMMANDS)


def _search(path: Path, workers: int) -> tuple[dict[str, int], list[float], int]:
    """Fits of a search in each state, the seconds of those that are done, its workers."""
    events = Journal(path).events()
    ended = {tuple(event["path"]): event for event in events if event["event"] == "ended"}
    done = [event for event in ended.values() if event["outcome"]["status"] == "finished"]
    begun = next((e for e in reversed(events) if e["event"] in ("planned", "finished")), None)
    left = running = 0
    if begun and begun["event"] == "planned":
        workers = begun["workers"]
        left = max((begun["fits"] or 0) - len(ended), 0)
        running = min(workers, left) if holder(path) else 0
    counts = {
        "done": len(done), "failed": len(ended) - len(done), "running": running,
        "left": left - running,
    }  # fmt: skip
    return counts, [event["seconds"] for event in done], workers


def _state(journal: Journal) -> tuple[str, float | None]:
    """Where a fit stands, and the seconds that it took if it is done."""
    started, ended = journal.last("started"), journal.last("ended")
    if journal.is_under_way:
        return ("running" if holder(journal.directory) else "left"), None
    if not ended:
        return "left", None
    kind = ended["outcome"]["status"]
    if kind == "finished":
        # a clock that was set meanwhile tells nothing
        return "done", max(ended["time"] - started["time"], 0) or None if started else None
    return ("failed" if kind == "failed" else "left"), None
