"""The command line itself: light commands stay light, JSON is JSON, usage errors are plain."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from command import finished, inside
from PIL import Image

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


def test_what_the_suite_warns_of_is_one_line(tmp_path):
    for part, classes in (
        ("train", ("n00000001", "n00000002")),
        ("val", ("n00000001", "n00000002", "n00000003")),
    ):
        for name in classes:
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for k in range(2):
                pixels = np.full((8, 8, 3), 9 * k + len(name + part), np.uint8)
                Image.fromarray(pixels).save(folder / f"{name}_{k}.JPEG")
    _, err = finished(tmp_path, "data", "check", f"ilsvrc:{tmp_path}")
    [line] = [line for line in err.splitlines() if "n00000003" in line]
    assert line.startswith("ilsvrc: 1 of 3 classes")
    assert "validation part only" in line
