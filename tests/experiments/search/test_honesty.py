"""Real networks on noise: the nested estimate is chance, the score of the search itself is not."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest

import pipelines
from experiments.config import settings
from experiments.fitting import worker_state
from experiments.search import study
from experiments.search.results.plots import pictures
from experiments.search.run import run

REPLICATES = 6

T = 2.57  # of 5 degrees, 95 %


def noise(seed):
    """Opens the digits with their labels shuffled."""

    def open_source(data):
        source = pipelines.open_source("digits")
        source.labels = np.random.default_rng(seed).permutation(source.labels)
        return source

    return open_source


@pytest.mark.parametrize("folds", [{"outer": 2, "inner": 2}, {"outer": 3}], ids=["own", "shared"])
def test_on_noise_the_nested_accuracy_is_chance_and_the_naive_one_is_better(monkeypatch, folds):
    monkeypatch.setattr(pictures, "write", lambda *_: [])
    results = []
    for seed in range(REPLICATES):
        monkeypatch.setattr(study, "open_source", noise(seed))
        monkeypatch.setattr(worker_state, "open_source", noise(seed))
        config = settings.parse(
            {
                "name": f"noise-{seed}",
                "seed": seed,
                "data": {
                    "source": "digits", "image_size": 16, "train_fraction": 0.1,
                    "max_pixels": 1_000_000 + seed,  # another source, for what is kept of them
                },
                "model": {"name": "mlp"},
                "train": {"epochs": 1},
                "validation": {**folds, "seed": seed},
                "search": {
                    "strategy": "grid",
                    "space": {"train.optimizer.learning_rate": [0.01, 0.03, 0.1, 0.2, 0.3]},
                },
                "launch": {"executor": "inline"},
                "bench": {"latency_calls": 2, "throughput_batches": 1},
                "tracking": {"save_model": "none", "uri": f"sqlite:///{Path.cwd()}/mlflow.db"},
            }
        )  # fmt: skip
        results.append(run("nested", config, "noise.yaml"))
        assert results[-1]["shared"] is ("inner" not in folds)
    tests = [result["mean_test_top1"] for result in results]
    naive = [result["best_inner_score"] for result in results]
    half = T * stdev(tests) / len(tests) ** 0.5
    assert abs(fmean(tests) - 0.1) < half < 0.01
    assert fmean(naive) - T * stdev(naive) / len(naive) ** 0.5 > 0.1
    assert fmean(result["optimism"] for result in results) > 0
