"""A small run that is stopped anywhere and started again, and the same run whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.config import settings
from experiments.errors import Stopped
from experiments.fitting import fit
from experiments.jobs.plan import prepare
from experiments.training import snapshots, updates
from experiments.training.resume import Keeper

BASE = {
    "data": {"source": "digits", "image_size": 16, "train_fraction": 0.2, "batch_size": 50},
    "model": {"name": "mlp", "options": {"hidden": [24]}},
    "train": {
        "epochs": 4,
        "optimizer": {"learning_rate": 0.05},
        "checkpoint": {"every_seconds": 1e-9},  # after every call
    },
    "bench": {"latency_calls": 1, "throughput_batches": 1},
}


def planned(directory, *words, **fields):
    job = prepare(settings.parse(settings.override(BASE, words))).job(("run",))
    return replace(job, directory=str(directory), **fields)


def weights():
    trainers = fit.WORKER.trainers
    return [np.asarray(w) for w in trainers[max(trainers)].model.get_weights()]


def whole(job):
    """Outcome and last weights of a run that nothing stops, and takes no snapshots."""
    train = job.config.train
    quiet = train.model_copy(
        update={"checkpoint": train.checkpoint.model_copy(update={"every_seconds": 0.0})}
    )
    config = job.config.model_copy(update={"train": quiet})
    outcome = fit.run(
        replace(job, config=config, directory=f"{job.directory}-whole"), lambda event: None
    )
    assert not Path(f"{job.directory}-whole", snapshots.FOLDER).exists()
    return outcome, weights()


def stopped_again_and_again(job, monkeypatch, writes):
    """The same of one that is stopped at every `writes`-th snapshot; and what it said."""
    write, events, starts = Keeper.write, [], 0
    while True:
        left = iter(range(writes))

        def write_or_stop(keeper, *state, left=left):
            write(keeper, *state)
            if next(left) == writes - 1:
                raise Stopped

        monkeypatch.setattr(Keeper, "write", write_or_stop)
        starts += 1
        try:
            return fit.run(job, events.append), weights(), events, starts
        except Stopped:
            continue


def assert_same(got, want):
    (outcome, last, *_), (expected, expected_last) = got, want
    assert outcome.scores == expected.scores
    assert outcome.history == expected.history
    assert len(last) == len(expected_last)
    for a, b in zip(last, expected_last, strict=True):
        np.testing.assert_array_equal(a, b)
    pd.testing.assert_frame_equal(
        pd.read_parquet(outcome.predictions), pd.read_parquet(expected.predictions)
    )
    assert outcome.tags == expected.tags


LIVED = [
    "model.options={hidden: [24], dropout: 0.5}",
    "train.optimizer={name: adam, learning_rate: 0.01}",
    "train.epochs=7",
]


def live(directory, report):
    """A process's life: the run from where it stands to its end, and its weights in a file."""
    updates.CALL_SECONDS = 0.0
    outcome = fit.run(planned(directory, *LIVED), lambda event: None)
    np.savez(report, *weights())
    Path(f"{report}.json").write_text(json.dumps([outcome.history, outcome.scores]))
