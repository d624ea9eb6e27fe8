"""`ilsvrc bench suite --scaling`: the same sweep for each number of workers, and its figures."""

from __future__ import annotations

import itertools

import yaml

from experiments.bench import suite
from experiments.config import settings


def test_the_same_sweep_is_timed_for_each_number_of_workers_and_once_more(monkeypatch):
    asked, clock = [], itertools.accumulate([0.0, 40.0, 2.0, 0.0, 25.0, 3.0])
    scores = iter([0.9, 0.9, 0.9, 0.8])

    def swept(path, folder):
        asked.append(settings.parse(yaml.safe_load(path.read_text())))
        return {"runs": [{"test_top1": next(scores), "val_loss": 1.0}]}

    monkeypatch.setattr(suite, "_sweep", swept)
    monkeypatch.setattr(suite.time, "perf_counter", lambda: next(clock))
    found = suite.scaling(runs=3)
    assert [config.launch.workers for config in asked] == [1, 1, 2, 2]
    assert {config.train.threads for config in asked} == {1}
    assert [list(config.sweep.axes["seed"]) for config in asked] == [[1, 2, 3]] * 4
    assert found["rows"] == [
        {"workers": 1, "seconds": 40.0, "again": 2.0, "speedup": 1.0},
        {"workers": 2, "seconds": 25.0, "again": 3.0, "speedup": 1.6},
    ]
    assert found["equal"], "the second calls' scores were compared"
    assert suite.scaling_report(found).splitlines() == [
        "3 runs, workers 1: 40 s, speedup 1.00; again, all done: 2.0 s",
        "3 runs, workers 2: 25 s, speedup 1.60; again, all done: 3.0 s",
        "scores are equal",
    ]
    assert "NOT equal" in suite.scaling_report(found | {"equal": False})
