"""Counts and the estimate, from journals written by hand."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import pytest

from experiments.errors import BadInput
from experiments.jobs.job import ROOT, Outcome, run_directory
from experiments.tracking import journal
from experiments.tracking.lock import held
from experiments.tracking.status import status


def fit(name, started=None, ended=None, took=10.0, pid=None):
    """A journal as a fit leaves it: never started, running, or ended."""
    book = journal.Journal(run_directory("exp", name)).open()
    if started:
        book.append("started", run_id="r", store="s", pid=pid or os.getpid())
    if ended:
        book.ended(Outcome(("cell", 0), ended), "print", "r", "s")
        lines = book.file.read_text().splitlines()
        first = json.loads(lines[0])["time"]
        last = json.loads(lines[-1])
        last["time"] = first + took
        book.file.write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")
    return str(book.directory)


def dead_pid():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def test_every_state_is_counted_and_the_rest_estimated():
    cells = [
        fit("a", True, "finished", took=10),
        fit("b", True, "finished", took=20),
        fit("c", True, "finished", took=90),
        fit("d", True, "failed"),
        fit("e", True),
        fit("f", True, pid=dead_pid()),
        fit("g", True, "killed"),
        str(ROOT / "exp" / "never"),
    ]
    book = journal.of_sweep("exp", "x").open()
    book.append("planned", cells=[{"directory": c, "label": "l"} for c in cells], workers=2)
    assert status("exp") == [
        {
            "name": "exp",
            "runs": 8,
            "done": 3,
            "failed": 1,
            "running": 1,
            "left": 3,
            "seconds_left": 20 * (3 + 1) / 2,  # median of three runs, over two workers
        }
    ]


def test_an_unknown_name_lists_what_is_here():
    fit("a", True, "finished")
    with pytest.raises(BadInput, match=r"no experiment ex in .*; here are: exp"):
        status("ex")


def test_fits_of_a_search_count_as_they_are_journaled():
    folder = ROOT / "exp" / "search-x"
    book = journal.Journal(folder).open()
    book.append("planned", fits=10, workers=2)
    for fold, state in enumerate(("finished", "finished", "failed")):
        path = ("trial", 0, "fold", fold)
        outcome = asdict(Outcome(path, state))
        book.append("ended", path=path, outcome=outcome, seconds=4.0 + 2 * fold)
    row = {"name": "exp", "runs": 10, "done": 2, "failed": 1, "running": 0, "left": 7}
    assert status("exp") == [row | {"seconds_left": 5.0 * 7 / 2}]
    with held(folder):
        assert status("exp")[0]["running"] == 2
        assert status("exp")[0]["left"] == 5
    book.append("finished", status="finished")
    assert status("exp") == [row | {"runs": 3, "left": 0, "seconds_left": None}]
