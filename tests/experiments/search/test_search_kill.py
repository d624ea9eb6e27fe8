"""A search that is killed (-9) and started again ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import yaml
from mlflow import MlflowClient

KILLS = 5
PARENT = """
import os, sys
from experiments.runtime.startup import load_tensorflow
load_tensorflow()
import mlflow.store.tracking.sqlalchemy_store
from experiments.cli import commands
from experiments.fitting import fit
from experiments.search import run
from experiments.search.results.plots import pictures
from experiments.training import trainer
pictures.write = lambda *_: []  # seconds, and tested elsewhere
for line in sys.stdin:
    command, folder = line.split(maxsplit=1)
    pid = os.fork()
    if not pid:
        os.chdir(folder.strip())
        sys.argv, sys.stdout = ["ilsvrc", command, "k.yaml", "--json"], open("out.json", "w")
        code = 1
        try:
            commands.main()
        except SystemExit as ended:
            code = ended.code or 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""
CONFIG = {
    "name": "k",
    "data": {"source": "digits", "image_size": 16, "train_fraction": 0.15},
    "model": {"name": "mlp"},
    "train": {"epochs": 2},
    "validation": {"folds": 3, "outer": 3},
    "launch": {"executor": "inline"},
    "bench": {"latency_calls": 2, "throughput_batches": 1},
    "tracking": {"save_model": "none"},
    "search": {
        "strategy": "grid",
        "space": {
            "train.optimizer.learning_rate": [0.02, 0.1, 0.3],
            "data.batch_size": [16, 32],
        },
        "refit": True,
        "final": True,
    },
}


class Starts:
    """Starts the command in processes of its own, forked from one that has loaded the libraries:
    starting them afresh would cost six seconds each."""

    def __init__(self):
        self.parent = subprocess.Popen(
            [sys.executable, "-c", PARENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self, command, folder):
        print(command, folder, file=self.parent.stdin, flush=True)
        return int(self.parent.stdout.readline())

    def wait(self):
        return int(self.parent.stdout.readline())


@pytest.fixture
def starts():
    made = Starts()
    yield made
    made.parent.kill()
    made.parent.communicate()


@pytest.mark.parametrize(
    ("command", "fits", "kills"), [("search", 6 * 3 + 2, KILLS), ("nested", 6 * 3 + 4, 3)]
)
def test_kills_at_random_points_change_nothing(tmp_path, starts, command, fits, kills):
    results = {}
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "k.yaml").write_text(yaml.safe_dump(CONFIG))
    folder = tmp_path / "cut"
    rng = random.Random(5)
    seen = [ended(folder)]
    # each kill comes some fits, and a part of a fit, after the one before
    for _ in range(kills):
        pid, target = starts.start(command, folder), len(seen[-1]) + rng.randint(1, 2)
        wait_until(lambda target=target: len(ended(folder)) >= target)
        time.sleep(rng.uniform(0, 0.05))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        assert starts.wait() == signal.SIGKILL
        seen.append(ended(folder))
    for name in ("cut", "whole"):
        starts.start(command, tmp_path / name)
        assert starts.wait() == 0
        results[name] = json.loads((tmp_path / name / "out.json").read_text())

    final = ended(folder)
    assert len(final) == len(set(final)) == fits  # none twice, none missing
    for earlier, later in itertools.pairwise([*seen, final]):
        assert later[: len(earlier)] == earlier
    assert len({len(paths) for paths in seen}) == kills + 1
    for one in results.values():
        assert one["status"] == "finished"
    whole, cut = results["whole"], results["cut"]
    found = ("trials", "best", "refit") if command == "search" else ("trials", "outer", "optimism")
    for key in (*found, "final"):
        assert strip(cut[key]) == strip(whole[key])  # bit-identical scores

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    [experiment] = [e for e in client.search_experiments() if e.name == "k"]
    runs = client.search_runs([experiment.experiment_id])
    paths = sorted(run.data.tags["path"] for run in runs)
    trials = [f"trial/{number}" for number in range(6)]
    if command == "search":
        assert paths == sorted(["final", "refit", "search", *trials])
    else:  # each pair of folds is fitted once, and is of a trial in both of them
        below = [f"outer/{outer}/{last}" for outer in range(3) for last in ("refit", *trials)]
        assert paths == sorted(["final", "nested", *below])
    assert {run.info.status for run in runs} == {"FINISHED"}


def ended(folder):
    """The fits that the journal holds, in order, as the program reads it."""
    paths = []
    for journal in folder.glob(".ilsvrc/k/*-*/journal.jsonl"):
        for line in journal.read_bytes().split(b"\n"):
            try:
                event = json.loads(line)
            except ValueError:
                continue  # torn
            if event["event"] == "ended":
                paths.append("/".join(map(str, event["path"])))
    return paths


def strip(value):
    """Without what may differ: times and the ids of runs."""
    if isinstance(value, dict):
        return {k: strip(v) for k, v in value.items() if k not in ("seconds", "run_id")}
    return [strip(item) for item in value] if isinstance(value, list) else value


def wait_until(condition, seconds=120):
    """Poll; the bound only keeps a broken program from hanging the tests."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)
