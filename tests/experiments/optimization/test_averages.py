"""Averages of the weights are what is validated, kept and tested; training goes on without them."""

from __future__ import annotations

import numpy as np

from experiments.config import settings
from experiments.fitting.scoring import score_part
from experiments.jobs.plan import prepare
from experiments.runtime.startup import prepare_process
from experiments.training.batches import Batches
from experiments.training.loop import Hooks
from experiments.training.trainer import Trainer

BASE = {
    "data": {"source": "digits", "image_size": 8, "batch_size": 64, "train_fraction": 0.2},
    "model": {"name": "mlp", "options": {"hidden": [16]}},
    "train": {"epochs": 3, "optimizer": {"learning_rate": 0.1}},
}
AVERAGED = ["train.optimizer.ema={momentum: 0.8, warmup: false}"]
MEAN, SCALE = np.array([80.0], "float32"), np.array([60.0], "float32")


def plan(*words):
    return prepare(settings.parse(settings.override(BASE, words)))


def fit(planned, monkeypatch, trainer=None, seed=4):
    """Trainer, history, its weights after every update, and those seen by what follows an epoch."""
    monkeypatch.setattr("experiments.training.updates.CALL_SECONDS", 0.0)  # an update a call
    monkeypatch.setattr("experiments.training.loop.TICK_SECONDS", 0.0)
    prepare_process(0, True)
    config = planned.config
    trainer = trainer or Trainer(config, planned.input_shape, planned.classes)
    batches = Batches(config, planned.source, planned.split.train, None)
    held_out = batches.held_out(planned.split.validation)

    def validate():
        result = score_part(trainer, held_out, "val")
        return {"val_loss": result.loss, **result.scores}

    weights, shown = [], []

    def emit(event):
        if event["kind"] == "progress":
            weights.append(trainer.model.get_weights())

    trainer.reset(seed, MEAN, SCALE)
    hooks = Hooks(emit, validate, lambda epoch: shown.append(trainer.model.get_weights()))
    history = trainer.fit(config, batches.training(7), hooks)
    return trainer, history, weights, shown, validate


def averages(weights, momentum):
    """After every update, in NumPy."""
    found = [weights[0]]
    for now in weights[1:]:
        pairs = zip(found[-1], now, strict=True)
        found.append([momentum * a + (1 - momentum) * w for a, w in pairs])
    return found


def assert_close(got, expected):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_averages_are_measured_and_kept_and_training_goes_on_without_them(monkeypatch):
    _, plain, weights, *_ = fit(plan(), monkeypatch)
    trainer, history, own, shown, validate = fit(plan(*AVERAGED), monkeypatch)
    for a, b in zip(own, weights, strict=True):  # trained as ever
        for got, expected in zip(a, b, strict=True):
            np.testing.assert_array_equal(got, expected)
    assert [e["train_loss"] for e in history.epochs] == [e["train_loss"] for e in plain.epochs]

    expected = averages(weights, 0.8)
    steps = len(weights) // 3
    for epoch, seen in enumerate(shown, start=1):  # predictions of checkpoints, layer statistics
        assert_close(seen, expected[epoch * steps - 1])
    last = trainer.model.get_weights()  # scored and saved
    assert_close(last, expected[-1])
    assert max(np.abs(a - b).max() for a, b in zip(last, weights[-1], strict=True)) > 0.01
    assert validate() == {key: history.epochs[-1][key] for key in validate()}
    assert history.epochs[-1]["val_loss"] != plain.epochs[-1]["val_loss"]


def test_early_stopping_restores_the_averages_of_the_best_epoch(monkeypatch):
    words = [
        *AVERAGED, "train.epochs=40", "train.optimizer.learning_rate=0.4",
        "train.early_stopping={monitor: val_loss, patience: 2}",
    ]  # fmt: skip
    trainer, history, _, shown, validate = fit(plan(*words), monkeypatch)
    assert history.stopped_early
    best = history.best_epoch - 1
    for got, expected in zip(trainer.model.get_weights(), shown[best], strict=True):
        np.testing.assert_array_equal(got, expected)
    assert validate()["val_loss"] == min(e["val_loss"] for e in history.epochs)
    assert best < len(history.epochs) - 1


def test_another_momentum_and_bound_need_no_new_trace_and_a_reset_forgets(monkeypatch):
    words = ["train.optimizer={ema: {momentum: 0.8}, clip: {global_norm: 1.0}}"]
    trainer, _, *_ = fit(plan(*words), monkeypatch)
    traced = []
    step = trainer.model.train_step
    monkeypatch.setattr(trainer.model, "train_step", lambda data: (traced.append(1), step(data))[1])
    other = plan("train.optimizer={ema: {momentum: 0.1}, clip: {global_norm: 0.01}}")
    used = fit(other, monkeypatch, trainer, seed=5)[0].model.get_weights()
    assert not traced
    fresh = fit(other, monkeypatch, seed=5)[0].model.get_weights()
    for a, b in zip(used, fresh, strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_update_no_averages(monkeypatch):
    trainer, *_ = fit(plan(*AVERAGED, "train.epochs=0"), monkeypatch)
    assert np.abs(trainer.model.get_weights()[0]).max() > 0
