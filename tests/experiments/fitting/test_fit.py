"""One job: what a fit that is not measured leaves out, and what a worker keeps for the next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import pipelines.statistics
from experiments.config import settings
from experiments.fitting import fit, worker_state
from experiments.jobs.plan import prepare
from experiments.runtime import measure
from experiments.runtime.machine import PeakMemory

BASE = {
    "data": {"source": "digits", "image_size": 8, "train_fraction": 0.2, "batch_size": 50},
    "model": {"name": "mlp", "options": {"hidden": [24]}},
    "train": {"epochs": 2, "optimizer": {"learning_rate": 0.05}},
    "bench": {"latency_calls": 1, "throughput_batches": 1},
}


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    planned = prepare(settings.parse(BASE))
    return replace(planned.job(("run",)), directory=str(tmp_path_factory.mktemp("measured")))


@pytest.fixture(scope="module")
def measured(job):
    return fit.run(job, lambda event: None)


def lean(job, directory):
    return fit.run(replace(job, measured=False, directory=str(directory)), lambda event: None)


def test_a_fit_that_is_not_measured_scores_the_same(job, measured, tmp_path, monkeypatch):
    for name in ("inference", "PeakMemory.start"):
        owner = PeakMemory if "." in name else measure
        monkeypatch.setattr(owner, name.rpartition(".")[2], None)
    outcome = lean(job, tmp_path)
    apart = ("train_top1", "train_top5", "majority_top1", "chance_top1")
    kept = {k: v for k, v in measured.scores.items() if k not in apart}
    assert outcome.scores == kept
    assert outcome.history == measured.history
    assert (outcome.model, outcome.files) == (None, [])
    assert set(outcome.cost) == {"train_seconds", "train_images_per_second", "step_seconds"}
    assert Path(measured.model).exists()
    pd.testing.assert_frame_equal(
        pd.read_parquet(outcome.predictions), pd.read_parquet(measured.predictions)
    )


def test_steps_are_timed_in_both_ways_of_training(job, tmp_path, monkeypatch):
    """Each call counts as one second: whole epochs and scoring, or every batch by itself."""
    monkeypatch.setattr(
        measure.Clock, "stop", lambda clock: setattr(clock, "seconds", clock.seconds + 1)
    )
    whole = lean(job, tmp_path).cost["step_seconds"]
    monkeypatch.setattr("experiments.training.batches.Batches._resident", lambda *a, **k: None)
    by_batch = lean(job, tmp_path).cost["step_seconds"]
    updates = job.config.train.epochs * -(-len(job.train) // job.config.data.batch_size)
    scored = job.config.train.epochs + 2  # validation of each epoch, and at the end with the test
    assert by_batch == updates + 2 * scored  # two batches of 256 a part
    assert scored < whole < by_batch


def test_a_worker_decodes_and_counts_once(job, measured, tmp_path, monkeypatch):
    counted = []
    once = pipelines.statistics.fit
    monkeypatch.setattr(
        "pipelines.statistics.fit", lambda *a, **k: (counted.append(1), once(*a, **k))[1]
    )
    monkeypatch.setattr(worker_state, "open_source", None)
    again = lean(job, tmp_path)
    assert not counted
    fewer = lean(replace(job, train=job.train[:-20]), tmp_path)
    assert len(counted) == 1
    assert fewer.scores != again.scores
    assert fewer.artifacts["statistics.json"]["images"] == len(job.train) - 20
    other = settings.parse(BASE | {"data": BASE["data"] | {"source": "directions"}})
    monkeypatch.setattr(worker_state, "open_source", lambda data: prepare(other).source)
    planned = prepare(other)
    fit.run(replace(planned.job(("run",)), measured=False, directory=str(tmp_path)), counted.append)
    assert len([x for x in counted if x == 1]) == 2


def test_the_peak_of_memory_is_told_only_where_nothing_of_another_size_ran_before(
    job, tmp_path, monkeypatch
):
    monkeypatch.setattr(fit, "WORKER", worker_state.WorkerState())
    data = job.config.data
    larger = replace(
        job,
        directory=str(tmp_path),
        config=job.config.model_copy(
            update={"data": data.model_copy(update={"batch_size": 2 * data.batch_size})}
        ),
    )
    same = replace(job, directory=str(tmp_path))
    outcomes = [fit.run(each, lambda event: None) for each in (same, same, larger, same)]
    assert ["peak_memory_bytes" in x.cost for x in outcomes] == [True, True, False, False]
    assert outcomes[0].cost["peak_memory_bytes"] > 5e7
