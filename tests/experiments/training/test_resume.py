"""A fit that was stopped, anywhere and again and again, ends with the bits of one that was not."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import forked
import keras
import numpy as np
import pandas as pd
import pytest
from resumed_run import LIVED, assert_same, live, planned, stopped_again_and_again, weights, whole

from experiments import errors
from experiments.config.identity import config_hash
from experiments.errors import FailedWork, Stopped
from experiments.fitting import fit
from experiments.launch import processes
from experiments.runtime.devices import Devices
from experiments.training import snapshots
from experiments.training.resume import Keeper, keeper
from experiments.training.trainer import Trainer

STAGE = "{model: {name: mlp, options: {hidden: [24]}}, epochs: 2}"

WHOLE, BATCH = "whole epochs as one call", "a call a batch"
DROPPING = "dropout when scored"
EARLY = "train.early_stopping={monitor: val_loss, patience: 2}"
CASES = {
    "momentum, plateau": [
        WHOLE,
        "train.schedule={name: plateau, patience: 1}",
        "train.optimizer.learning_rate=0.3",
        "train.epochs=6",
    ],
    "adam, batch norm, dropout, augmentation": [
        BATCH,
        "model.options={hidden: [24], normalization: batch, dropout: 0.5}",
        "train.optimizer={name: adam, learning_rate: 0.01}",
        "train.schedule={name: cosine, warmup_epochs: 0.5}",
        "augment={steps: [{op: horizontal_flip}, {op: pad_and_crop, padding: 2}]}",
        "train.class_weights=balanced",
    ],
    "several updates a call, in parts": [
        BATCH,
        "train.steps_per_execution=2",
        "train.accumulate=3",
        "train.epochs=6",
        "train.schedule={name: cosine, warmup_epochs: 0.5, epochs: 9}",
    ],
    "early stopping": [
        BATCH,
        EARLY,
        "train.epochs=30",
        "train.optimizer={learning_rate: 0.8, ema: {momentum: 0.5}, clip: {global_norm: 9.0}}",
    ],
    "plateau by error, factors, mean squares of 1": [
        BATCH,
        "train.schedule={name: plateau, monitor: val_top1, patience: 1, smallest_rate: 0.001}",
        "train.optimizer={name: rmsprop, epsilon: 1.0, initial_square: 1.0, learning_rate: 0.3, "
        "factors: {'*bias': {rate: 2}}}",
    ],
    "updates, whose last epoch is a part of one": [
        WHOLE,
        "train.updates=18",
        "train.schedule.name=polynomial",
    ],
    "updates, batch by batch": [BATCH, "train.updates=18", "train.schedule.name=one_cycle"],
    "updates, several a call": [BATCH, "train.updates=33", "train.steps_per_execution=2"],
    "warm-up by training error": [
        WHOLE,
        "train.optimizer.ema={kind: mean, start: 7}",
        "train.schedule.warmup={rate: 0.02, until_train_error: 0.4}",
        "train.epochs=6",
    ],
    "loss scale, mixup": [
        WHOLE,
        "train.precision=mixed_float16",
        "train.optimizer.ema.momentum=0.9",
        "augment={steps: [{op: mixup, alpha: 0.4}]}",
        "tracking.save_model=best",
    ],
    "stages": [BATCH, f"train.stages=[{STAGE}, {STAGE}]", "train.epochs=2"],
    "layer statistics": [BATCH, "train.layer_statistics=true"],
    DROPPING: [
        WHOLE,
        "model.options={hidden: [24], dropout: 0.5, monte_carlo: true}",
        "train.optimizer.ema={momentum: 0.8, warmup: false}",
        "evaluate.dropout_samples=2",
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_a_stopped_fit_goes_on_bit_for_bit(case, tmp_path, monkeypatch):
    by, *words = CASES[case]
    monkeypatch.setattr("experiments.training.updates.CALL_SECONDS", 0.0)  # an update a call
    if by == BATCH:
        monkeypatch.setattr("experiments.training.batches.Batches._resident", lambda *a, **k: None)
    job = planned(tmp_path / "run", *words, prediction_epochs=(1, 2))
    want = whole(job)
    got = stopped_again_and_again(job, monkeypatch, writes=9)
    outcome, _, events, starts = got
    assert_same(got, want)
    assert starts >= 3
    assert outcome.artifacts == want[0].artifacts
    if job.config.train.early_stopping:
        assert outcome.tags["stopped_early"] == "true"
    if job.config.train.layer_statistics:
        tables = [pd.read_csv(x.files[0]) for x in (outcome, want[0])]
        pd.testing.assert_frame_equal(*tables)
    said = [e["text"] for e in events if e["kind"] == "note" and "goes on" in e["text"]]
    assert len(said) == starts - 1


KILLS = 5

SEED = "ILSVRC_TEST_KILL_SEED"
"""Names the points of a run that failed, to have them again."""


def last_serial(folder):
    return max((int(x.name.partition("-")[0]) for x in folder.glob("*-*.npz")), default=0)


def test_a_process_killed_at_random_points_ends_with_the_same_bits(tmp_path):
    """42 snapshots are written in all, one after each update and one after each epoch."""
    directory, report = tmp_path / "run", str(tmp_path / "end")
    seed = os.environ.get(SEED) or os.urandom(4).hex()
    print(f"to kill at the same points: {SEED}={seed}")
    folder, points = directory / snapshots.FOLDER, random.Random(seed)
    context = forked.context()
    for _ in range(KILLS):
        process = context.Process(target=live, args=(directory, report))
        process.start()
        until = last_serial(folder) + points.randint(1, 6)
        while last_serial(folder) < until:
            assert process.is_alive(), "it ended before it was killed"
            time.sleep(0.001)
        time.sleep(points.uniform(0, 0.02))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    process = context.Process(target=live, args=(directory, report))
    process.start()
    process.join()
    assert process.exitcode == 0

    expected, last = whole(planned(directory, *LIVED))
    assert json.loads(Path(f"{report}.json").read_text()) == [expected.history, expected.scores]
    with np.load(f"{report}.npz") as got:
        assert [got[name].tobytes() for name in got.files] == [w.tobytes() for w in last]


def test_sigterm_takes_a_snapshot_between_two_updates(tmp_path, monkeypatch):
    monkeypatch.setattr(errors, "_asked", False)
    monkeypatch.setattr("experiments.training.updates.CALL_SECONDS", 0.0)
    monkeypatch.setattr("experiments.training.loop.TICK_SECONDS", 0.0)
    job = planned(tmp_path / "run", "train.checkpoint.every_seconds=3600", "train.epochs=3")
    want = whole(job)
    before = signal.getsignal(signal.SIGTERM)

    def told(event):
        if event.get("step") == 7:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)  # Slurm and the coordinator both send it

    with pytest.raises(Stopped):
        fit.run(job, told)
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.setattr(errors, "_asked", False)
    events = []
    outcome = fit.run(job, events.append)
    assert_same((outcome, weights()), want)
    assert "goes on from its snapshot, after epoch 1 of 3 and 3 of 5 updates" in [
        event.get("text") for event in events
    ]


def stopped(job, monkeypatch):
    """The events of a fit that is stopped at its first snapshot."""
    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "due", lambda keeper: True)
        patch.setattr(errors, "_asked", True)
        with pytest.raises(Stopped):
            fit.run(job, lambda event: None)


def test_a_snapshot_of_other_data_is_not_gone_on_from(tmp_path, monkeypatch):
    job = planned(tmp_path / "run", "train.epochs=2")
    want = whole(job)
    stopped(job, monkeypatch)
    source = fit.WORKER.batches(job).source
    known = source.fingerprint
    monkeypatch.setattr(type(source), "fingerprint", "other images")
    events = []
    assert_same((fit.run(job, events.append), weights()), want)
    said = [event["text"] for event in events if event["kind"] == "note"]
    assert [text.partition("not used, ")[2] for text in said] == [
        f"for it was taken with data {known} (now other images)"
    ]


def test_a_snapshot_of_another_backend_is_not_gone_on_from(tmp_path, monkeypatch):
    job = planned(tmp_path / "run", "train.epochs=2")
    stopped(job, monkeypatch)
    fingerprint, events = fit.WORKER.batches(job).source.fingerprint, []
    assert keeper(job, fingerprint, events.append, Devices()).resumes(0)
    assert events == []
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert not keeper(job, fingerprint, events.append, Devices()).resumes(0)
    [event] = events
    assert event["text"].endswith("taken with backend tensorflow (now jax)")


def test_updates_go_on_while_a_snapshot_is_written(tmp_path, monkeypatch):
    job = planned(tmp_path / "run", "train.checkpoint.every_seconds=3600")
    want = whole(job)
    steps, at_disk, write = [], [], snapshots.Snapshots.write
    monkeypatch.setattr("experiments.training.updates.CALL_SECONDS", 0.0)
    monkeypatch.setattr("experiments.training.loop.TICK_SECONDS", 0.0)
    monkeypatch.setattr(Keeper, "due", lambda keeper: len(steps) == 3)
    on_disk = threading.Event()

    def told(event):
        if event["kind"] == "progress":
            steps.append(event["step"])
            if len(steps) == 12:  # three epochs' worth of changes to what the snapshot holds
                on_disk.set()

    def slow(store, snapshot):
        assert on_disk.wait(60)
        at_disk.append(snapshot.state["loop"]["step"])
        return write(store, snapshot)

    monkeypatch.setattr(snapshots.Snapshots, "write", slow)
    fit.run(job, told)
    assert at_disk[0] < 12
    assert len(steps) > 12
    monkeypatch.undo()
    events = []
    outcome = fit.run(job, events.append)  # from that snapshot, for it was not cleared
    assert any("goes on from its snapshot" in event.get("text", "") for event in events)
    assert_same((outcome, weights()), want)


def test_a_snapshot_that_cannot_be_written_ends_the_fit_at_the_next(tmp_path, monkeypatch):
    def full(store, snapshot):
        raise FailedWork("no room")

    monkeypatch.setattr(snapshots.Snapshots, "write", full)
    with pytest.raises(FailedWork, match="no room"):
        fit.run(planned(tmp_path / "run"), lambda event: None)
    assert not [thread for thread in threading.enumerate() if thread.name == "snapshot"]


def test_one_that_is_stopped_in_validation_has_a_snapshot_from_before_it(tmp_path, monkeypatch):
    monkeypatch.setattr(errors, "_asked", False)
    job = planned(tmp_path / "run", "train.checkpoint.every_seconds=3600", *CASES[DROPPING][1:])
    want = whole(job)
    score, calls = Trainer.score, []

    def score_and_stop(trainer, images):
        calls.append(1)
        made = score(trainer, images)
        if len(calls) == 2:
            errors.ask_to_stop()
            score(trainer, images)
        return made

    monkeypatch.setattr(Trainer, "score", score_and_stop)
    with pytest.raises(Stopped):
        fit.run(job, lambda event: None)
    monkeypatch.setattr(errors, "_asked", False)
    outcome = fit.run(job, lambda event: None)
    assert_same((outcome, weights()), want)


def test_workers_are_given_time_to_take_their_snapshots(tmp_path, monkeypatch):
    monkeypatch.setattr(processes.mp, "get_context", lambda kind: forked.context())
    job = planned(tmp_path / "run", "train.checkpoint.every_seconds=3600", "train.epochs=1000000")

    def stop(job, event):
        if event["kind"] == "epoch":
            raise Stopped

    with pytest.raises(Stopped), processes.Processes(1, grace=60) as executor:
        list(executor.run([job], stop))
    [path] = (tmp_path / "run" / snapshots.FOLDER).iterdir()
    assert path.suffix == ".npz"


def test_fits_that_are_not_measured_and_runs_that_do_not_want_them_have_no_snapshots(tmp_path):
    def note(event):
        assert event["kind"] != "note"

    fit.run(planned(tmp_path, measured=False), note)
    assert not (tmp_path / snapshots.FOLDER).exists()
    one, other = (
        planned(tmp_path, f"train.checkpoint={{every_seconds: {seconds}, keep: {keep}}}")
        for seconds, keep in ((0, 1), (60, 5))
    )
    assert config_hash(one.config) == config_hash(other.config)
