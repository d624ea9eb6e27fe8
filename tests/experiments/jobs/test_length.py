"""A length in updates: what it makes of epochs, schedules, forecasts, hashes and words."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from experiments.config import settings
from experiments.config.identity import config_hash, graph_key
from experiments.errors import BadInput
from experiments.jobs.length import in_words
from experiments.jobs.pace import work_of
from experiments.jobs.plan import prepare
from experiments.optimization.schedules import LearningRate
from experiments.runs.train import headline
from experiments.search import space

BASE = {
    "data": {"source": "digits", "image_size": 16, "train_fraction": 0.2, "batch_size": 50},
    "model": {"name": "mlp", "options": {"hidden": [8]}},
}


def parsed(*words):
    return settings.parse(settings.override(BASE, words))


@pytest.fixture(scope="module")
def images():
    return len(prepare(parsed()).split.train)


def test_epochs_follow_from_updates_and_the_images(images):
    each = -(-images // 50)
    assert each == 5
    for updates, epochs in ((1, 1), (5, 1), (6, 2), (13, 3)):
        plan = prepare(parsed(f"train.updates={updates}", "train.epochs=99"))
        assert plan.config.train.epochs == epochs
        job = plan.job(("run",))
        assert job.config.train.epochs == epochs
        work = work_of(plan.config, plan.input_shape, images)
        assert work.images == pytest.approx(images * updates / each)
    assert "13 updates (3 epochs)" in headline(plan)
    assert (in_words(None, 4), in_words(1, 1)) == ("4 epochs", "1 update (1 epoch)")


def test_only_what_counts_is_in_the_hash(images):
    hashes = {
        config_hash(parsed("train.updates=13", *words))
        for words in ((), ("train.epochs=99",), ("train.epochs=1",))
    }
    plan = prepare(parsed("train.updates=13"))
    assert len(hashes) == 1
    assert config_hash(parsed("train.updates=14")) not in hashes
    again = settings.parse(json.loads(plan.config.model_dump_json()))
    assert config_hash(again) == config_hash(plan.config)
    assert "epochs" not in plan.config.model_dump()["train"]
    assert "updates" not in parsed().model_dump()["train"]
    keys = {graph_key(parsed(w), (16, 16, 1), 10) for w in ("train.updates=13", "train.epochs=3")}
    assert len(keys) == 1


def test_schedules_are_drawn_over_the_updates():
    """A line from 0.1 to 0 over 8 updates of 5 an epoch."""
    config = parsed(
        "train.updates=8", "train.schedule.name=polynomial", "train.optimizer.learning_rate=0.1"
    )
    rates = LearningRate(config, 5)
    got = [*rates.of_epoch(0), *rates.of_epoch(1)]
    assert got[:8] == pytest.approx(0.1 * (1 - np.arange(8) / 8))


def test_what_a_length_in_updates_cannot_be_is_said_in_a_line():
    short = "train.schedule={name: cosine, epochs: 2}"
    with pytest.raises(
        BadInput, match=r"schedule\.epochs: .*13 updates \(3 epochs\)\. Received: 2"
    ):
        prepare(parsed("train.updates=13", short))
    with pytest.raises(BadInput, match=r"train\.updates"):
        parsed("train.updates=0")
    search = "search={strategy: hyperband, space: {seed: {type: int, low: 1, high: 9}}}"
    config = parsed(search, "train.updates=13")
    with pytest.raises(BadInput, match=r"train\.updates: hyperband gives its candidates epochs"):
        space.check(config, "h.yaml", 1)


def test_a_run_makes_its_updates_and_no_more(tmp_path, monkeypatch):
    """Of 5 updates an epoch, 7: journal and progress end with the second of the last epoch."""
    from experiments.fitting import fit

    monkeypatch.setattr("experiments.training.updates.CALL_SECONDS", 0.0)
    monkeypatch.setattr("experiments.training.loop.TICK_SECONDS", 0.0)
    job = prepare(parsed("train.updates=7", "train.checkpoint.every_seconds=0")).job(("run",))
    events = []
    outcome = fit.run(replace(job, directory=str(tmp_path), measured=False), events.append)
    told = [(e["step"], e["steps"]) for e in events if e["kind"] == "progress"]
    assert told == [(step, 7) for step in range(1, 8)]
    assert [e["epoch"] for e in events if e["kind"] == "epoch"] == [1, 2]
    assert len(outcome.history) == 2
