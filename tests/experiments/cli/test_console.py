"""What the console shows is as it was: every --help to the letter, every --json key."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import console

KEPT = Path(__file__).parents[2] / "data" / "before_rooms"


def kept(name):
    return json.loads((KEPT / name).read_text(encoding="utf-8"))


def test_help_of_every_command():
    assert console.helps() == kept("help.json")


def test_keys_of_every_answer(tmp_path):
    """In a process of its own, for the commands settle signals and what TensorFlow fixes."""
    made = tmp_path / "made"
    (made / "work").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, console.__file__, str(made)],
        cwd=made / "work",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((made / "json_keys.json").read_text(encoding="utf-8"))
    assert found == kept("json_keys.json")
