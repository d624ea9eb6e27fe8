"""Run `ilsvrc` in the tests: inside this process for speed, or as a user's own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"source": "digits", "image_size": 16, "train_fraction": 0.25},
    "model": {"name": "lenet5"},
    "train": {"epochs": 1, "optimizer": {"learning_rate": 0.05}},
    "bench": {"latency_calls": 3, "throughput_batches": 1},
}


def write_config(folder: Path, **sections: Any) -> Path:
    """The tiny config with some sections replaced, as NAME.yaml."""
    document = TINY | sections
    path = folder / f"{document['name']}.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def inside(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Exit code of the command, run in this process."""
    from experiments.cli import commands

    monkeypatch.setattr(sys, "argv", ["ilsvrc", *map(str, words)])
    monkeypatch.setattr(commands.signal, "signal", lambda *_: None)
    try:
        commands.main()
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def outside(folder: Path, *words: object) -> subprocess.Popen[str]:
    """The installed command, started in a folder."""
    return subprocess.Popen(
        [Path(sys.executable).with_name("ilsvrc"), *map(str, words)],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finished(folder: Path, *words: object, code: int = 0) -> tuple[str, str]:
    """stdout and stderr of the installed command, which must end with this exit code."""
    process = outside(folder, *words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err + out
    return out, err


def answer(folder: Path, *words: object, code: int = 0) -> Any:
    """What the installed command prints with --json."""
    return json.loads(finished(folder, *words, "--json", code=code)[0])


def refused(monkeypatch, capsys, *words):
    """The one line that the command prints; it must exit with 2."""
    code = inside(monkeypatch, *words)
    out, err = capsys.readouterr()
    assert code == 2, err
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    assert err.startswith("ilsvrc: ")
    return err
