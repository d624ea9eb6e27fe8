"""The command line itself: light commands stay light, JSON is JSON, usage errors are plain."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from command import finished, inside

HEAVY = ("tensorflow", "keras", "mlflow", "pandas", "sklearn", "matplotlib")


@pytest.mark.parametrize(
    "words", [["--help"], ["models"], ["models", "resnet", "--json"], ["status"]]
)
def test_light_commands_import_nothing_heavy(words, tmp_path):
    script = (
        "import sys\n"
        f"sys.argv = ['ilsvrc', *{words!r}]\n"
        "from experiments.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_the_installed_command_answers(tmp_path):
    out, _ = finished(tmp_path, "--help")
    for command in ("train", "sweep", "compare", "status", "ui", "models", "describe"):
        assert command in out


@pytest.mark.parametrize("words", [["trian"], ["train"], ["compare"], ["train", "--epochs", "3"]])
def test_usage_errors_exit_with_2_and_no_traceback(monkeypatch, capsys, words):
    assert inside(monkeypatch, *words) == 2
    err = capsys.readouterr().err
    assert err
    assert "Traceback" not in err


def test_status_of_an_empty_folder(monkeypatch, capsys):
    assert inside(monkeypatch, "status", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
