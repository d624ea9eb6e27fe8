"""Whole epochs as one call: the same bits as Keras's `fit`, one trace, and no stale constant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import pipelines.statistics
from experiments import errors
from experiments.config import settings
from experiments.errors import FailedWork
from experiments.fitting.scoring import score_part
from experiments.jobs.plan import prepare
from experiments.runtime.startup import prepare_process
from experiments.training.batches import Batches
from experiments.training.loop import Hooks
from experiments.training.trainer import Trainer

BASE = {
    "data": {"source": "digits", "image_size": 16, "batch_size": 64, "train_fraction": 0.15},
    "model": {"name": "lenet5"},
    "train": {"epochs": 3, "optimizer": {"learning_rate": 0.05, "momentum": 0.9}},
}
COLOUR = "data.source=synthetic:classes=3,size=16,examples=150"
EVERY_OP = """{steps: [
  {op: horizontal_flip}, {op: pad_and_crop, padding: 2}, {op: rotate, fill: mean},
  {op: brightness, probability: 0.5}, {op: random_erasing, fill: mean}, {op: pca_jitter}]}"""


def plan(*words):
    return prepare(settings.parse(settings.override(BASE, words)))


def trainer_of(planned):
    prepare_process(0, True)
    return Trainer(planned.config, planned.input_shape, planned.classes)


def batches_of(planned, train=None):
    train = planned.split.train if train is None else train
    size = planned.config.data.image_size
    statistics = pipelines.statistics.fit(planned.source, train, size=size)
    return Batches(planned.config, planned.source, train, statistics)


def fit(trainer, planned, *, whole, seed=3, batches=None, emit=lambda event: None):
    """History, weights and every variable of the optimizer after a fit."""
    batches = batches or batches_of(planned)
    config = planned.config
    trainer.reset(seed, *batches.normalisation())
    images = batches.held_out if whole else batches.evaluation
    held_out = images(planned.split.validation)

    def validate():
        result = score_part(trainer, held_out, "val")
        return {"val_loss": result.loss, **result.scores}

    data = batches.training(7)
    assert data.rows is not None
    if not whole:
        data = replace(data, rows=None)
    history = trainer.fit(config, data, Hooks(emit, validate))
    state = [np.asarray(v) for v in (*trainer.model.variables, *trainer.model.optimizer.variables)]
    return history, state


@pytest.fixture(scope="module")
def plain():
    """A plan and its network, which knows how long a batch takes, for the tests that trace none."""
    planned = plan("model.options.dropout=0.3", "train.epochs=2")
    trainer = trainer_of(planned)
    return planned, trainer, fit(trainer, planned, whole=True)


def assert_equal(one, other):
    assert one[0].epochs == other[0].epochs
    assert one[0].best_epoch == other[0].best_epoch
    for got, want in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    "words",
    [
        ["model.options={normalization: batch, dropout: 0.3}", "train.class_weights=balanced"],
        ["augment={steps: [{op: mixup}, {op: cutmix}]}", "train.class_weights=balanced",
         "train.schedule={name: cosine, warmup_epochs: 1}", "train.accumulate=2",
         "train.optimizer={name: adamw, ema: {momentum: 0.9}, clip: {norm: 0.1}}"],
        ["augment={steps: [{op: random_resized_crop}, {op: horizontal_flip}]}",
         "data.transfer=uint8", "train.schedule={name: plateau, patience: 1}"],
        ["train.early_stopping={patience: 1, monitor: val_loss}", "train.epochs=8",
         "train.optimizer={learning_rate: 0.3, weight_decay: 0.01, nesterov: true}"],
        ["model.name=autoencoder_undercomplete", "train.optimizer.name=adam"],
        ["train.updates=7", "train.schedule={name: one_cycle}", "model.options.dropout=0.3"],
        [COLOUR, "augment={steps: [{op: horizontal_flip}, {op: pca_jitter}]}",
         "data.transfer=uint8"],
    ],
    ids=["norm-dropout-weights", "mixing", "window-bytes", "stopping", "images", "updates",
         "offsets"],
)  # fmt: skip
def test_whole_epochs_give_the_bits_of_fit(words):
    planned = plan(*words)
    assert len(planned.split.train) % planned.config.data.batch_size  # a batch is left over
    trainer = trainer_of(planned)
    by_fit = fit(trainer, planned, whole=False)
    whole = fit(trainer, planned, whole=True)
    assert_equal(whole, by_fit)
    assert len(whole[0].epochs) >= 2


def test_nothing_is_traced_again_and_every_value_acts(monkeypatch):
    """Folds, sizes, rates, schedules, statistics and seeds on one network, each with the result of
    a network built for it alone."""
    crops = "augment={steps: [{op: pad_and_crop, padding: 2}]}"
    colour = [COLOUR, crops, "train.optimizer.weight_decay=0.001", "train.epochs=1"]
    first = plan(*colour)
    trainer = trainer_of(first)
    traced = []
    step = trainer.model.train_step
    monkeypatch.setattr(trainer.model, "train_step", lambda data: (traced.append(1), step(data))[1])
    fit(trainer, first, whole=True)
    assert len(traced) == 1
    held = batches_of(first).held_out(first.split.validation).held
    dark, bright = np.argsort(np.asarray(held.views).mean(axis=(1, 2, 3))).reshape(2, -1)[:, :70]
    others = [
        (plan(*colour, "train.optimizer.learning_rate=0.01"), None),
        (plan(*colour, "train.optimizer.momentum=0.5", "data.batch_size=33"), None),
        (plan(*colour, "train.optimizer.weight_decay=0.1", "data.eval_batch_size=11"), None),
        (plan(*colour, "train.schedule={name: cosine, warmup_epochs: 1}", "train.epochs=2"), None),
        (first, dark),
        (first, bright),
    ]
    results = [fit(trainer, p, whole=True, batches=batches_of(p, rows)) for p, rows in others]
    assert len(traced) == 1
    kernels = {tuple(result[1][2].ravel()) for result in results}
    assert len(kernels) == len(results)
    planned, _ = others[2]
    assert_equal(results[2], fit(trainer_of(planned), planned, whole=True))


def test_statistics_of_the_training_part_are_no_constants_of_the_trace():
    """Every op on parts of other colours, on one network: fill and axes are each part's own."""
    planned = plan(
        COLOUR, f"augment={EVERY_OP}", "train.epochs=2", "model.options.normalization=batch"
    )
    trainer = trainer_of(planned)
    views = np.asarray(batches_of(planned).held_out(np.arange(1)).held.views)
    order = np.argsort(views.mean(axis=(1, 2, 3)))
    for rows in (order[:70], order[-70:]):
        batches = batches_of(planned, rows)
        whole = fit(trainer, planned, whole=True, batches=batches)
        assert_equal(whole, fit(trainer, planned, whole=False, batches=batches))


def test_calls_of_one_batch_give_what_calls_of_many_give(plain, monkeypatch):
    planned, trainer, many = plain
    events = []
    monkeypatch.setattr("experiments.training.updates.CALL_SECONDS", 0.0)
    monkeypatch.setattr("experiments.training.loop.TICK_SECONDS", 0.0)
    single = fit(trainer, planned, whole=True, emit=events.append)
    assert_equal(single, many)
    steps = [e["step"] for e in events if e["kind"] == "progress"]
    assert steps == list(range(1, 2 * batches_of(planned).steps + 1))


def test_a_stop_is_heard_between_calls(plain, monkeypatch):
    planned, trainer, _ = plain
    monkeypatch.setattr("experiments.training.updates.CALL_SECONDS", 0.0)
    monkeypatch.setattr("experiments.training.loop.TICK_SECONDS", 0.0)
    heard = []

    def emit(event):
        heard.append(event["step"])
        errors.ask_to_stop()

    monkeypatch.setattr(errors, "_asked", False)
    with pytest.raises(errors.Stopped):
        fit(trainer, planned, whole=True, emit=emit)
    assert heard == [1]


def test_nan_ends_an_epoch_early(plain, monkeypatch):
    planned = plan("model.options.dropout=0.3", "train.optimizer.learning_rate=1e38")
    monkeypatch.setattr("experiments.training.updates.CALL_SECONDS", 0.0)
    monkeypatch.setattr("experiments.training.loop.TICK_SECONDS", 0.0)
    with pytest.raises(FailedWork, match=r"loss became (NaN|infinite) in epoch 1, by update [23];"):
        fit(plain[1], planned, whole=True)


def validated(plain, losses, *words):
    """History of a fit of which validation gives these losses, epoch by epoch."""
    planned, trainer = plan("model.options.dropout=0.3", *words), plain[1]
    batches, left = batches_of(planned), iter(losses)
    trainer.reset(3, *batches.normalisation())
    hooks = Hooks(lambda event: None, lambda: {"val_loss": next(left)})
    return trainer.fit(planned.config, batches.training(7), hooks)


def test_a_plateau_lowers_the_rate_that_updates_take_and_the_log_tells(plain):
    words = ["train.schedule={name: plateau, patience: 1, factor: 0.5}", "train.epochs=5"]
    history = validated(plain, [1.0, 1.0, 0.9, 1.0, 0.8], *words, "train.optimizer.learning_rate=1")
    assert [e["learning_rate"] for e in history.epochs] == [1.0, 1.0, 0.5, 0.5, 0.25]
    assert float(plain[1].model.optimizer.learning_rate) == 0.25


@pytest.mark.parametrize(
    ("losses", "best", "min_delta"), [([1.0, 0.8, 0.75, 0.72, 0.71], 2, 0.1), ([0.5] * 4, 1, 0.0)]
)
def test_early_stopping_runs_patience_epochs_beyond_the_best(plain, losses, best, min_delta):
    """The best is better by more than min_delta."""
    stopping = f"{{monitor: val_loss, patience: 3, min_delta: {min_delta}}}"
    history = validated(plain, losses, f"train.early_stopping={stopping}", "train.epochs=9")
    assert history.stopped_early
    assert history.best_epoch == best
    assert len(history.epochs) == best + 3


def test_a_config_of_another_traced_program_is_refused(plain):
    planned, trainer, _ = plain
    for word in ("train.optimizer.momentum=0", "train.loss.label_smoothing=0.1"):
        with pytest.raises(FailedWork, match="differs from what was traced"):
            fit(trainer, plan("model.options.dropout=0.3", word), whole=True)
    data = batches_of(planned).training(1)
    weighted = replace(data.rows, class_weights=np.ones(10, "float32"))
    with pytest.raises(FailedWork, match="rows: not of the config"):
        trainer.fit(planned.config, replace(data, rows=weighted), Hooks(print))


@pytest.mark.parametrize("updates", [2, 3, 100])
def test_several_updates_a_call_give_the_bits_of_one(plain, updates):
    """On batches of a pipeline: five an epoch, each at its own rate."""
    schedule = "train.schedule={name: cosine, warmup_epochs: 0.5}"
    words = ["model.options.dropout=0.3", "data.batch_size=40", schedule]
    trainer, one = plain[1], fit(plain[1], plan(*words), whole=True)
    several = plan(*words, f"train.steps_per_execution={updates}")
    assert batches_of(several).steps == 5
    assert_equal(fit(trainer, several, whole=False), one)


def test_xla_compiles_the_updates_whoever_feeds_them(recwarn):
    """Also where they are deterministic, which Keras's `fit` would leave uncompiled, and with a
    loss scale."""
    planned = plan(
        "model={name: mlp, options: {hidden: [8]}}", "data.image_size=8", "data.batch_size=100",
        "data.eval_batch_size=500",
        "train.jit=true", "train.precision=mixed_float16", "train.optimizer.clip.global_norm=1.0",
    )  # fmt: skip
    trainer = trainer_of(planned)
    whole = fit(trainer, planned, whole=True)
    assert_equal(fit(trainer, planned, whole=False), whole)
    assert trainer.step.get_concrete_function().function_def.attr["_XlaMustCompile"].b
    assert whole[0].epochs[1]["train_loss"] < whole[0].epochs[0]["train_loss"]
    assert not [x for x in recwarn if "jit_compile" in str(x.message)]


def test_what_cannot_be_held_goes_through_the_pipeline(monkeypatch):
    monkeypatch.setattr("pipelines.in_memory.VIEW_LIMIT_BYTES", 10**6)
    planned = plan("data.image_size=40")
    batches = Batches(planned.config, planned.source, planned.split.train, None)
    assert batches.training(1).rows is None
    images, labels = next(iter(batches.held_out(planned.split.validation)))
    assert len(images) == len(labels) > 1
