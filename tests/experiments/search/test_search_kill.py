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
SAMPLED = {
    **CONFIG,
    "train": {"epochs": 1},
    "validation": {"test_fraction": 0.2},
    "search": {
        "trials": 7,
        "parallel": 2,
        "space": {
            "train.optimizer.name": ["sgd", "adam"],
            "train.optimizer.learning_rate": {
                "type": "float", "low": 0.001, "high": 0.3, "log": True,
            },
            "train.optimizer.momentum": {
                "type": "float", "low": 0, "high": 0.9, "when": {"train.optimizer.name": "sgd"},
            },
            "seed": {"type": "int", "low": 1, "high": 64},
        },
    },
}  # fmt: skip
STRATEGIES = {
    "random": {},
    "bayesian": {"bayesian": {"initial_points": 3}},
    "hyperband": {"trials": None, "hyperband": {"max_epochs": 3}},
    "tpe": {"tpe": {"startup_trials": 2}},
    "nsga2": {"nsga2": {"population": 2}},
    "qmc": {},
    "cmaes": {"cmaes": {"population": 2}},
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


@pytest.fixture(scope="module")
def starts():
    made = Starts()
    yield made
    made.parent.kill()
    made.parent.communicate()


@pytest.mark.parametrize(
    ("command", "fits", "kills"), [("search", 6 * 3 + 2, KILLS), ("nested", 6 * 3 + 4, 3)]
)
def test_kills_at_random_points_change_nothing(tmp_path, starts, command, fits, kills):
    whole, cut, seen = whole_and_cut(tmp_path, starts, command, CONFIG, kills)
    folder = tmp_path / "cut"
    final = ended(folder)
    assert len(final) == len(set(final)) == fits  # none twice, none missing
    for earlier, later in itertools.pairwise([*seen, final]):
        assert later[: len(earlier)] == earlier
    assert len({len(paths) for paths in seen}) == kills + 1
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


@pytest.mark.parametrize("strategy", [
    pytest.param(strategy, marks=[] if strategy == "tpe" else pytest.mark.full)
    for strategy in STRATEGIES
])  # fmt: skip
def test_a_killed_search_proposes_what_a_whole_one_does(tmp_path, starts, strategy):
    search = {**SAMPLED["search"], "strategy": strategy, **STRATEGIES[strategy]}
    whole, cut, _ = whole_and_cut(tmp_path, starts, "search", {**SAMPLED, "search": search}, 1)
    proposed = [
        [trial for event in events(tmp_path / name, "proposed") for trial in event["trials"]]
        for name in ("whole", "cut")
    ]
    assert proposed[0] == proposed[1]  # bit-identical settings
    assert len(proposed[0]) == (6 if strategy == "hyperband" else 7)
    assert strip(cut["trials"]) == strip(whole["trials"])


def whole_and_cut(folder, starts, command, config, kills):
    """Results of a search that ran in one go and of one that was killed and went on, and the fits
    that had ended at each kill."""
    for name in ("whole", "cut"):
        (folder / name).mkdir()
        (folder / name / "k.yaml").write_text(yaml.safe_dump(config))
    results, rng, seen = {}, random.Random(5), [[]]
    # each kill comes some fits, and a part of a fit, after the one before
    for _ in range(kills):
        pid, target = starts.start(command, folder / "cut"), len(seen[-1]) + rng.randint(1, 2)
        wait_until(lambda target=target: len(ended(folder / "cut")) >= target)
        time.sleep(rng.uniform(0, 0.05))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        assert starts.wait() == signal.SIGKILL
        seen.append(ended(folder / "cut"))
    for name in ("cut", "whole"):
        starts.start(command, folder / name)
        assert starts.wait() == 0
        results[name] = json.loads((folder / name / "out.json").read_text())
        assert results[name]["status"] == "finished"
    return results["whole"], results["cut"], seen


def events(folder, kind):
    """Those of a kind that the journal holds, in order, as the program reads it."""
    kept = []
    for journal in folder.glob(".ilsvrc/k/*-*/journal.jsonl"):
        for line in journal.read_bytes().split(b"\n"):
            with contextlib.suppress(ValueError):  # torn
                event = json.loads(line)
                kept += [event] if event["event"] == kind else []
    return kept


def ended(folder):
    """The fits that the journal holds, in order."""
    return ["/".join(map(str, event["path"])) for event in events(folder, "ended")]


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
