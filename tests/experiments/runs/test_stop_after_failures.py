"""A sweep whose runs fail one after the other starts no more, and goes on once that is mended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from blank_store import blank_store
from command import TINY, inside, refused, write_config

from experiments.config import settings
from experiments.config.identity import config_hash
from experiments.fitting import fit
from experiments.jobs.job import Outcome
from experiments.tracking import status

SEEDS = [1, 2, 3, 4, 5, 6]


@pytest.fixture
def sweep(tmp_path, monkeypatch, capsys):
    """(exit code, JSON, what was said, seeds that were tried) of a sweep; `failing` seeds fail."""
    store = blank_store(tmp_path)
    file = write_config(tmp_path, sweep={"seed": SEEDS}, launch={"executor": "inline"})

    def run(failing, *words, command="sweep"):
        tried = []

        def attempt(job, emit):
            tried.append(job.config.seed)
            if job.config.seed in failing:
                return Outcome(job.path, "failed", error="no such luck")
            return Outcome(job.path, "finished", {"test_top1": 0.5}, [{"val_top1": 0.5}])

        monkeypatch.setattr(fit, "attempt", attempt)
        code = inside(monkeypatch, command, file, f"tracking.uri={store}", "--json", *words)
        out, err = capsys.readouterr()
        return code, json.loads(out), err, tried

    return run


def test_so_many_in_a_row_end_it_and_the_same_command_goes_on(sweep):
    limit = "launch.stop_after_failures=2"
    code, answer, said, tried = sweep({1, 3, 4, 6}, limit)
    assert (code, answer["status"], tried) == (1, "failed", [1, 2, 3, 4])
    assert [row["status"] for row in answer["runs"]] == ["failed", "finished", "failed", "failed"]
    assert (
        "stopped after 2 failed runs in a row (launch.stop_after_failures), 2 not begun: mend what "
        "the last ones say, and run the same command to go on" in said
    )
    [row] = status.status("tiny")
    assert (row["done"], row["failed"], row["left"]) == (1, 3, 2)

    code, answer, said, tried = sweep({}, limit)
    assert (code, answer["status"], tried) == (0, "finished", [1, 3, 4, 5, 6])
    assert len(answer["runs"]) == len(SEEDS)
    assert "stopped after" not in said


def test_without_it_all_are_tried(sweep):
    code, answer, said, tried = sweep(set(SEEDS))
    assert (code, tried) == (1, SEEDS)
    assert {row["status"] for row in answer["runs"]} == {"failed"}
    assert "stopped after" not in said


def test_an_ensemble_ends_so_too(sweep):
    team = "evaluate.ensemble={kind: seeds, size: 4}"
    words = (team, "sweep={}", "launch.stop_after_failures=1")
    code, answer, said, tried = sweep({1, 2, 3, 4}, *words, command="ensemble")
    assert (code, answer["status"], len(tried)) == (1, "failed", 1)
    assert [row["status"] for row in answer["members"]] == ["failed"]
    assert "3 not begun" in said


def test_it_changes_no_result():
    plain = settings.parse(TINY)
    limited = settings.parse(TINY | {"launch": {"stop_after_failures": 3}})
    assert config_hash(plain) == config_hash(limited)


@pytest.mark.parametrize("word", ["sweep.stop_after_failures=3", "stop_after_failures=3"])
def test_where_it_belongs_is_said(tmp_path, monkeypatch, capsys, word):
    file = write_config(tmp_path, sweep={"seed": SEEDS})
    line = refused(monkeypatch, capsys, "sweep", file, word)
    assert "launch.stop_after_failures" in line
    assert not Path(".ilsvrc").exists()
