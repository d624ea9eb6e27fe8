"""What the console shows is as it was: every --help to the letter, every --json key."""

from __future__ import annotations

import json
import os
from pathlib import Path

import console
from command import inside

from experiments.fitting import fit
from experiments.fitting.worker_state import WorkerState

KEPT = Path(__file__).parents[2] / "data" / "before_rooms"


def kept(name):
    return json.loads((KEPT / name).read_text(encoding="utf-8"))


def test_help_of_every_command():
    assert console.helps() == kept("help.json")


def test_keys_of_every_answer(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GIT_DIR", os.devnull)  # what is not committed would be warned of

    def answer(*words):
        monkeypatch.setattr(fit, "WORKER", WorkerState())  # as in a process of its own
        capsys.readouterr()
        assert inside(monkeypatch, *words, "--json") == 0
        return json.loads(capsys.readouterr().out)

    assert console.keys(console.answers(tmp_path, answer)) == kept("json_keys.json")
