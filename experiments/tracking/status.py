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
from experiments.jobs.pace import Pace, Work, seconds_of, together
from experiments.presentation import settled
from experiments.tracking.journal import ABOVE_FITS, COMMANDS, Journal
from experiments.tracking.lock import holder
from experiments.tracking.progress import pace, progress_of

SHOWN = ("epoch", "epochs", "fraction")


def status(name: str | None = None) -> list[dict[str, Any]]:
    """One row an experiment: counts, where runs are left an estimate in seconds, how far those are
    that are under way, and of sweeps with `until` the rows that are not settled.

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
    fits = {str(path.parent): str(path.parent.name) for path in _fits(root)}
    works: dict[str, Work] = {}
    workers = 1
    undecided: list[dict[str, Any]] = []
    for path in sorted(path for kind in ABOVE_FITS for path in root.glob(f"{kind}*")):
        book = Journal(path)
        with _or_a_word(book):
            if planned := book.last("planned"):
                fits |= {cell["directory"]: cell["label"] for cell in planned["cells"]}
                works |= {
                    c["directory"]: Work(**c["work"]) for c in planned["cells"] if "work" in c
                }
                workers = planned["workers"]
        with _or_a_word(book):
            undecided += _undecided(book)
    counts = dict.fromkeys(("done", "failed", "running", "left"), 0)
    seconds: list[float] = []
    paces: list[Pace] = []
    unfinished = []
    under_way = []
    for directory, label in sorted(fits.items()):
        fit = Journal(Path(directory))
        with _or_a_word(fit):
            state, took = _state(fit)
            counts[state] += 1
            if took is not None:
                seconds.append(took)
                paces += filter(None, [pace(fit)])
            if state in ("running", "left"):
                told = progress_of(Path(directory)) if state == "running" else None
                unfinished.append((works.get(directory), told))
                if told:
                    under_way.append({"run": label, **{k: told[k] for k in SHOWN}})
    estimate = _weighed(unfinished, paces, workers)
    for path in sorted([*root.glob("search-*"), *root.glob("nested-*")]):
        with _or_a_word(Journal(path)):
            of_search, took_each, workers = _search(path, workers)
            counts = {state: count + of_search[state] for state, count in counts.items()}
            seconds += took_each
    remaining = counts["left"] + counts["running"]
    if remaining > len(unfinished) or estimate is None:  # of fits of which no work is known
        estimate = median(seconds) * remaining / workers if seconds and remaining else None
    return {
        "name": name, "runs": sum(counts.values()), **counts, "seconds_left": estimate,
        "under_way": under_way, "undecided": undecided,
    }  # fmt: skip


def _undecided(book: Journal) -> list[dict[str, Any]]:
    """Rows of a sweep with `until` that its newest look has not settled."""
    keys = ("name", "against", "seeds", "difference", "difference_interval", "seeds_more")
    rows = settled.undecided(book.last("look") or {"rows": []})
    return [{key: row[key] for key in keys} for row in rows]


def _weighed(
    unfinished: list[tuple[Work | None, dict[str, Any] | None]], paces: list[Pace], workers: int
) -> float | None:
    """Seconds of fits by what each has to do and has done; None where too little is known."""
    for work, told in unfinished:
        if not paces and work and work.amount and told and told["fraction"] > 0:
            took = told["time"] - told["began"]
            paces = [Pace(work.macs, took / (told["fraction"] * work.amount), 0.0)]
    left = []
    for work, told in unfinished:
        whole = None if work is None else seconds_of(work, paces)
        if whole is None:
            return None
        left.append(whole * (1 - (told["fraction"] if told else 0.0)))
    return together(left, workers) if left else None


def _fits(root: Path) -> Iterator[Path]:
    return (path for path in root.glob("*/journal.jsonl") if _is_fit(path))


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
