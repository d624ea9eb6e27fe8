"""Counts and the estimate, from journals written by hand."""

from __future__ import annotations

import json
import os

import pytest

from experiments import journal
from experiments.errors import BadInput
from experiments.jobs import Outcome
from experiments.status import status


def fit(name, started=None, ended=None, took=10.0, pid=None):
    """A journal as a fit leaves it: never started, running, or ended."""
    book = journal.of_run("exp", name).open()
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
        str(journal.ROOT / "exp" / "never"),
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
