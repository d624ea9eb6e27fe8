"""Counts and the estimate, from journals written by hand."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict
from pathlib import Path

import pytest
import scripted

from experiments.errors import BadInput
from experiments.jobs.job import ROOT, Outcome, run_directory
from experiments.tracking import journal
from experiments.tracking.lock import held
from experiments.tracking.progress import Progress, progress_of
from experiments.tracking.status import status


def fit(name, started=None, ended=None, took=10.0, pid=None):
    """A journal as a fit leaves it: never started, running, or ended."""
    book = journal.Journal(run_directory("exp", name)).open()
    if started:
        book.append("started", run_id="r", store="s", pid=pid or os.getpid())
        if pid:  # its number may belong to another process now
            name = {"pid": pid, "host": socket.gethostname(), "started": 1.0}
            (book.directory / "lock").write_text(json.dumps(name))
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
        fit("h", True, pid=os.getppid()),
        fit("g", True, "killed"),
        str(ROOT / "exp" / "never"),
    ]
    book = journal.of_sweep("exp", "x").open()
    book.append("planned", cells=[{"directory": c, "label": "l"} for c in cells], workers=2)
    with held(Path(cells[4])):
        rows = status("exp")
    assert rows == [
        {
            "name": "exp",
            "runs": 9,
            "done": 3,
            "failed": 1,
            "running": 1,
            "left": 4,
            "seconds_left": 20 * (4 + 1) / 2,  # median of three runs, over two workers
            "under_way": [],
            "undecided": [],
        }
    ]


def test_what_is_left_is_weighed_by_its_work_and_what_is_running_says_how_far_it_is():
    small, large = {"macs": 1e6, "images": 1000}, {"macs": 39e6, "images": 1000}
    cells = [(fit("a", True), small, "mlp"), (str(ROOT / "exp" / "b"), large, "resnet")]
    book = journal.of_sweep("exp", "x").open()
    planned = [{"directory": d, "label": label, "work": work} for d, work, label in cells]
    book.append("planned", cells=planned, workers=1)
    with held(Path(cells[0][0])):
        assert status("exp")[0]["seconds_left"] is None
        told = {"began": 100.0, "time": 110.0, "epoch": 1, "fraction": 0.25, "epochs": 4}
        (Path(cells[0][0]) / "progress.json").write_text(json.dumps(told))
        [row] = status("exp")
    assert row["seconds_left"] == pytest.approx(30 + 20 * 40)  # 40 s in all, and 20 times that
    assert row["under_way"] == [{"run": "mlp", "epoch": 1, "epochs": 4, "fraction": 0.25}]


def test_a_fit_says_how_far_it_is_until_it_ends():
    one = scripted.job(1, name="exp", train={"epochs": 4})
    progress = Progress(one)
    progress.hear({"kind": "begin"})
    assert progress_of(Path(one.directory)) is None
    progress.hear({"kind": "epoch", "epoch": 1})
    told = progress_of(Path(one.directory))
    assert told is not None
    assert (told["epoch"], told["epochs"], told["fraction"]) == (1, 4, 0.25)
    progress.end()
    assert progress_of(Path(one.directory)) is None


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
    row["under_way"] = row["undecided"] = []
    assert status("exp") == [row | {"seconds_left": 5.0 * 7 / 2}]
    with held(folder):
        assert status("exp")[0]["running"] == 2
        assert status("exp")[0]["left"] == 5
    book.append("finished", status="finished")
    assert status("exp") == [row | {"runs": 3, "left": 0, "seconds_left": None}]


@pytest.mark.parametrize("line", ["1", "null", "{}", "[]", '{"event": 5}'])
def test_a_line_that_is_no_event_is_named_and_the_rest_is_counted(line):
    folder = fit("a", True, "finished")
    with (Path(folder) / "journal.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.warns(UserWarning, match=r"exp/\S*journal\.jsonl: line 3 is no event; left out"):
        [row] = status("exp")
    assert (row["runs"], row["done"]) == (1, 1)


def test_one_journal_that_cannot_be_understood_does_not_stop_the_others():
    fit("a", True, "finished")
    book = journal.Journal(run_directory("exp", "b")).open()
    book.append("ended")
    journal.Journal(ROOT / "other" / "search-x").open().append("ended", path=None)
    journal.Journal(ROOT / "third" / "sweep-x").open().append("planned")
    with pytest.warns(UserWarning, match="status: left out: ") as said:
        rows = {row["name"]: row["done"] for row in status()}
    assert rows == {"exp": 1, "other": 0, "third": 0}
    assert len(said) == 3
    assert all("not as this suite writes it" in str(one.message) for one in said)


def test_a_clock_that_was_set_back_changes_no_state():
    folder = Path(fit("a", True, "finished", took=-3600.0))
    book = journal.Journal(folder)
    assert not book.is_under_way
    [row] = status("exp")
    assert (row["done"], row["left"], row["seconds_left"]) == (1, 0, None)
    book.append("started", run_id="r")
    assert book.is_under_way
