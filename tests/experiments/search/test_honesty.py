"""What nested cross-validation tests was never seen before, and on noise its estimate is chance."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from ruined_digits import ruined_digits
from search_fits import watched
from small_search import config, uri

import pipelines
from experiments.config import settings
from experiments.fitting import worker_state
from experiments.search import study
from experiments.search.results import text
from experiments.search.run import run
from tuning.statistics.intervals import of_folds

pytestmark = pytest.mark.usefixtures("own_store")

REPLICATES = 6
T = 2.57  # of 5 degrees, 95 %

NESTED = {
    "validation": {"outer": 2, "inner": 2},
    "search": {"strategy": "grid", "space": {"train.optimizer.learning_rate": [0.1, 0.3]}},
}


def run_nested(monkeypatch, name, spoilt=None):
    """Its JSON and every job that was run."""
    words = ["data.group_duplicates=false"]
    with monkeypatch.context() as patch:
        jobs = watched(patch)
        if spoilt is not None:
            words.append("data.max_pixels=1000000")  # another source, for what is kept of them
            patch.setattr(study, "open_source", ruined_digits(spoilt))
            patch.setattr(worker_state, "open_source", ruined_digits(spoilt))
        result = run("nested", config(name, *words, **NESTED), "n.yaml")
    return result, jobs


def test_nested_tests_each_image_once_and_nothing_sees_it_before(monkeypatch, tmp_path):
    result, jobs = run_nested(monkeypatch, "n")
    assert result["status"] == "finished"
    outer = result["outer"]
    assert [row["fold"] for row in outer] == [0, 1]
    tops = [row["test_top1"] for row in outer]
    assert result["mean_test_top1"] == pytest.approx(np.mean(tops))
    assert result["std_test_top1"] == pytest.approx(np.std(tops, ddof=1))
    inner = [row["inner_score"] for row in outer]
    assert result["best_inner_score"] == pytest.approx(np.mean(inner))
    assert result["optimism"] == pytest.approx(np.mean(inner) - np.mean(tops))
    for row in outer:
        own = [t for t in result["trials"] if t["outer"] == row["fold"]]
        assert row["inner_score"] == max(trial["score"] for trial in own)
        assert "test_top5" in row
    assert len(jobs) == result["fits"]["planned"] == 2 * (2 * 2 + 1)
    told = of_folds(tops, held=[899, 898], trained=[0.15 * 898, 0.15 * 899], images=1797)
    assert result["interval"] == asdict(told)
    assert result["nested_interval"] is None  # of fits without two folds, that are not there
    assert "of the whole procedure, search included" in text.of_result(result)
    assert "outer folds; inner scores of the winners" in text.of_result(result)

    refits = {job.path[1]: job for job in jobs if job.path[-1] == "refit"}
    tested = np.concatenate([job.test for job in refits.values()])
    assert np.array_equal(np.sort(tested), np.arange(1797))
    for job in jobs:
        test = set(refits[job.path[1]].test)
        predictions = pd.read_parquet(Path(job.directory) / "predictions.parquet")
        assert test.isdisjoint(job.train)
        if job.path[-1] == "refit":
            assert job.validation is None
            assert set(predictions["part"]) == {"test"}
            assert set(predictions["index"]) == test
        else:
            assert job.test is None
            assert test.isdisjoint(job.validation)
            assert set(job.train).isdisjoint(job.validation)
            assert set(predictions["index"]) == set(job.validation)
    # a seed for each inner fold, whatever the trial, and for each refit
    assert len({job.config.seed for job in jobs}) == 2 * (2 + 1)

    client = MlflowClient(uri())
    [refit] = client.search_runs(["1"], "tags.path = 'outer/1/refit'")
    assert refit.data.tags["level"] == "outer_fold"
    assert refit.info.run_id == outer[1]["run_id"]
    parent = client.get_run(result["run_id"])
    assert parent.data.metrics["optimism"] == pytest.approx(result["optimism"])
    assert parent.data.metrics["mean_test_top1_low"] == result["interval"]["low"]
    assert parent.data.metrics["mean_test_top1_high"] == result["interval"]["high"]
    assert "(corrected resampled t); of the whole procedure" in parent.data.tags["interval"]

    # The marker: with the test images of outer fold 0 ruined, all that was fitted or chosen there
    # comes out the same to the last bit, and only the test itself differs.
    ruined, _ = run_nested(monkeypatch, "ruined", refits[0].test)
    for old, new in zip(result["trials"], ruined["trials"], strict=True):
        assert (old["scores"] == new["scores"]) is (old["outer"] == 0)
    assert ruined["outer"][0]["hyperparameters"] == outer[0]["hyperparameters"]
    assert ruined["outer"][0]["train_top1"] == outer[0]["train_top1"]
    assert ruined["outer"][0]["test_top1"] < outer[0]["test_top1"]


def noise(seed):
    """Opens the digits with their labels shuffled."""

    def open_source(data):
        source = pipelines.open_source("digits")
        source.labels = np.random.default_rng(seed).permutation(source.labels)
        return source

    return open_source


@pytest.mark.parametrize("folds", [{"outer": 2, "inner": 2}, {"outer": 3}], ids=["own", "shared"])
def test_on_noise_the_nested_accuracy_is_chance_and_the_naive_one_is_better(monkeypatch, folds):
    results = []
    for seed in range(REPLICATES):
        monkeypatch.setattr(study, "open_source", noise(seed))
        monkeypatch.setattr(worker_state, "open_source", noise(seed))
        made = settings.parse(
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
                "tracking": {"save_model": "none", "uri": uri()},
            }
        )  # fmt: skip
        results.append(run("nested", made, "noise.yaml"))
        assert results[-1]["shared"] is ("inner" not in folds)
    tests = [result["mean_test_top1"] for result in results]
    naive = [result["best_inner_score"] for result in results]
    half = T * stdev(tests) / len(tests) ** 0.5
    assert abs(fmean(tests) - 0.1) < half < 0.01
    assert fmean(naive) - T * stdev(naive) / len(naive) ** 0.5 > 0.1
    assert fmean(result["optimism"] for result in results) > 0
