"""The compiled network: reset equals fresh, nothing is traced twice, transfer and freezing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import pipelines
from experiments.config import settings
from experiments.errors import BadInput, FailedWork
from experiments.jobs.job import seed_for
from experiments.jobs.plan import prepare
from experiments.optimization.objective import joined
from experiments.runtime.startup import prepare_process
from experiments.training.batches import Batches
from experiments.training.loop import Hooks
from experiments.training.trainer import Trainer
from experiments.training.weights import leaves

MEAN, SCALE = np.array([80.0], "float32"), np.array([60.0], "float32")
BASE = {
    "data": {"source": "digits", "image_size": 16, "batch_size": 100, "train_fraction": 0.2},
    "model": {"name": "lenet5"},
    "train": {"epochs": 2},
}


def plan(*words):
    return prepare(settings.parse(settings.override(BASE, words)))


def trainer_of(planned):
    prepare_process(0, True)
    return Trainer(planned.config, planned.input_shape, planned.classes)


def piped(batches, seed):
    """Its training data as tf.data makes it."""
    return replace(batches.training(seed), rows=None)


def fit(trainer, planned, seed, weights_from=None):
    trainer.reset(seed, MEAN, SCALE, weights_from)
    batches = Batches(planned.config, planned.source, planned.split.train, statistics=None)
    history = trainer.fit(planned.config, piped(batches, seed_for(seed, "data")), Hooks(print))
    weights = [np.asarray(w) for w in trainer.model.get_weights()]
    return history, weights


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["model.name=resnet20_cifar", "train.optimizer.nesterov=true"],
        ["train.optimizer.name=adam", "train.schedule.name=cosine"],
        ["train.optimizer.name=adagrad", "train.loss.label_smoothing=0.1"],
        ["model.name=nin_cifar", "train.epochs=1"],  # dropout
        ["train.optimizer={ema: {momentum: 0.8}, clip: {value: 0.01}}", "train.accumulate=3"],
    ],
    ids=["sgd", "resnet", "adam", "adagrad", "dropout", "averages"],
)
def test_a_reset_network_trains_as_a_fresh_one_bit_for_bit(words):
    planned = plan(*words)
    used = trainer_of(planned)
    fit(used, planned, seed=5)
    again, weights = fit(used, planned, seed=7)
    fresh, expected = fit(trainer_of(planned), planned, seed=7)
    for got, want in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(got, want)
    assert [e["train_loss"] for e in again.epochs] == [e["train_loss"] for e in fresh.epochs]


def test_other_seeds_give_other_weights_in_every_drawn_layer():
    planned = plan()
    trainer = trainer_of(planned)
    trainer.reset(1, MEAN, SCALE)
    one = {x.name: np.asarray(x.kernel) for x in leaves(trainer.model) if hasattr(x, "kernel")}
    trainer.reset(2, MEAN, SCALE)
    for layer in leaves(trainer.model):
        if hasattr(layer, "kernel"):
            assert (np.asarray(layer.kernel) != one[layer.name]).mean() > 0.99


def test_learning_rate_schedule_seed_and_batch_size_need_no_new_trace():
    planned = plan()
    trainer = trainer_of(planned)
    traced = []
    step = trainer.model.train_step
    trainer.model.train_step = lambda data: (traced.append(1), step(data))[1]
    fit(trainer, planned, seed=1)
    first = len(traced)
    assert first > 0
    for words in (
        ["train.optimizer.learning_rate=0.3"],
        ["train.schedule.name=step"],
        ["data.batch_size=64", "train.epochs=1"],
    ):
        fit(trainer, plan(*words), seed=2)
    assert len(traced) == first


def test_the_learning_rate_has_an_effect_after_the_trace():
    planned = plan()
    trainer = trainer_of(planned)
    _, slow = fit(trainer, planned, seed=1)
    _, fast = fit(trainer, plan("train.optimizer.learning_rate=0.2"), seed=1)
    assert any((a != b).any() for a, b in zip(slow, fast, strict=True))


def test_nan_is_said_in_words():
    planned = plan("train.optimizer.learning_rate=1e30", "model.options.activation=relu")
    with pytest.raises(FailedWork, match=r"loss became (NaN|infinite) in epoch \d.*learning_rate"):
        fit(trainer_of(planned), planned, seed=1)


def test_frozen_layers_do_not_move_and_the_rest_does():
    planned = plan("train.freeze=[c1, c3]")
    trainer = trainer_of(planned)
    trainer.reset(3, MEAN, SCALE)
    before = {
        x.name: np.asarray(x.kernel).copy() for x in leaves(trainer.model) if hasattr(x, "kernel")
    }
    fit(trainer, planned, seed=3)
    moved = {
        x.name
        for x in leaves(trainer.model)
        if hasattr(x, "kernel") and (np.asarray(x.kernel) != before[x.name]).any()
    }
    frozen = set(before) - moved
    assert frozen == {"c1", "c3"}


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(BadInput, match=r"train\.freeze.*'block9\*'"):
        trainer_of(plan("train.freeze=[block9*]"))


def test_an_unknown_option_is_refused():
    with pytest.raises(BadInput, match=r"model.*widht"):
        trainer_of(plan("model.options.widht=3"))


def test_transfer_copies_layers_of_equal_name_and_shape(tmp_path):
    planned = plan()
    donor = trainer_of(planned)
    _, trained = fit(donor, planned, seed=1)
    donor.save(tmp_path / "donor.keras")

    fewer = plan("data.source=synthetic:classes=3,size=16,examples=60,channels=1")
    trainer = trainer_of(fewer)
    copied = trainer.reset(9, MEAN, SCALE, tmp_path / "donor.keras")
    own = {x.name: x for x in leaves(trainer.model)}
    theirs = {x.name: x for x in leaves(donor.model)}
    same = [
        name
        for name, x in own.items()
        if hasattr(x, "kernel") and x.kernel.shape == theirs[name].kernel.shape
    ]
    head = [name for name, x in own.items() if hasattr(x, "kernel") and name not in same]
    assert len(head) == 1
    assert copied == len(same) == 4
    for name in same:
        np.testing.assert_array_equal(own[name].get_weights()[0], theirs[name].get_weights()[0])
    assert len(trained) > 0


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "x.keras").write_text("no")
    planned = plan()
    with pytest.raises(BadInput, match=r"train\.initialize_from.*x\.keras"):
        trainer_of(planned).reset(1, MEAN, SCALE, tmp_path / "x.keras")


def test_the_saved_network_takes_pixels_and_gives_the_same_logits(tmp_path):
    import keras

    planned = plan()
    trainer = trainer_of(planned)
    fit(trainer, planned, seed=1)
    images = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 1)).astype("float32")
    trainer.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(
        np.asarray(loaded(images)), np.asarray(trainer.infer(images)), rtol=1e-5, atol=1e-5
    )


def kernels(trainer):
    return [np.asarray(x.kernel) for x in leaves(trainer.model) if hasattr(x, "kernel")]


def longest(trainer):
    """Largest length of the weights into one unit, of all kernels."""
    return max(np.sqrt((k**2).sum(axis=tuple(range(k.ndim - 1)))).max() for k in kernels(trainer))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_max_norm_bounds_every_kernel_after_every_update(optimizer):
    words = ["train.optimizer.weight_decay=0.001", f"train.optimizer.name={optimizer}"]
    planned = plan("model.options.max_norm=0.5", *words)
    bounded = trainer_of(planned)
    fit(bounded, planned, seed=1)
    planned = plan(*words)
    assert longest(bounded) <= 0.5 + 1e-5
    free = trainer_of(planned)
    fit(free, planned, seed=1)
    assert longest(free) > 0.6


def test_a_kernel_regularizer_acts_and_is_part_of_the_training_loss_only():
    still = ["train.epochs=1", "train.optimizer.learning_rate=1e-9"]
    planned = plan(*still)
    plain = trainer_of(planned)
    penalty_of = "model.options.kernel_regularizer={l1: 0.001, l2: 0.02}"
    penalised = trainer_of(plan(*still, penalty_of))
    free, _ = fit(plain, planned, seed=1)
    held, _ = fit(penalised, plan(*still, penalty_of), seed=1)
    penalty = sum(0.001 * np.abs(k).sum() + 0.02 * (k**2).sum() for k in kernels(penalised))
    added = held.epochs[0]["train_loss"] - free.epochs[0]["train_loss"]
    assert added == pytest.approx(penalty, rel=1e-3)
    logits, labels = np.zeros((4, 10), "float32"), np.arange(4)
    assert penalised.mean_loss(logits, labels) == pytest.approx(np.log(10))

    moving = ["train.epochs=3", "train.optimizer.learning_rate=0.05"]
    fit(plain, plan(*moving), seed=1)
    fit(penalised, plan(*moving, penalty_of), seed=1)
    assert sum((k**2).sum() for k in kernels(penalised)) < 0.9 * sum(
        (k**2).sum() for k in kernels(plain)
    )


def test_penalties_and_constraints_leave_reset_equal_to_fresh():
    planned = plan("model.options={max_norm: 1.0, kernel_regularizer: l2}", "train.epochs=1")
    used = trainer_of(planned)
    fit(used, planned, seed=5)
    _, weights = fit(used, planned, seed=7)
    _, expected = fit(trainer_of(planned), planned, seed=7)
    for got, want in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_gives_float32_logits(precision):
    planned = plan(f"train.precision={precision}")
    trainer = trainer_of(planned)
    history, _ = fit(trainer, planned, seed=1)
    assert history.epochs[1]["train_loss"] < history.epochs[0]["train_loss"]
    logits, _, labels = trainer.score(
        pipelines.build.evaluation_dataset(
            planned.source, planned.split.test, size=(16, 16), batch_size=100
        )
    )
    assert logits.dtype == np.float32
    assert len(labels) == len(planned.split.test)


def test_uint8_batches_train_as_float32_ones_of_whole_grey_levels():
    """Digits at their own size are whole numbers: nothing is lost on the way to the device."""
    weights, keys, kinds = [], set(), []
    for transfer in ("float32", "uint8"):
        planned = plan(
            "data.image_size=8",
            "model.name=mlp",
            "augment={steps: [{op: horizontal_flip}]}",
            f"data.transfer={transfer}",
        )
        batches = Batches(planned.config, planned.source, planned.split.train, statistics=None)
        trainer = trainer_of(planned)
        trainer.reset(5, MEAN, SCALE)
        data = piped(batches, seed=7)
        trainer.fit(planned.config, data, Hooks(print))
        weights.append(trainer.model.get_weights())
        keys.add(planned.job(("run",)).graph_key)
        kinds.append(data.dataset(0).element_spec[0].dtype.name)

    assert kinds == ["float32", "uint8"]
    assert len(keys) == 2  # another trace
    for of_floats, of_bytes in zip(*weights, strict=True):
        np.testing.assert_array_equal(of_floats, of_bytes)


def test_the_offsets_of_pca_jitter_are_added_on_the_device():
    """Images at their own size are whole numbers: both ways differ by the rounding of a sum."""
    made = {}
    for transfer in ("float32", "uint8"):
        planned = plan(
            "data.source=synthetic:classes=2,size=16,examples=40",
            "model={name: mlp, options: {hidden: [8]}}",
            "augment={steps: [{op: horizontal_flip}, {op: pca_jitter, sigma: 3.0}]}",
            f"data.transfer={transfer}",
            "data.batch_size=8",
            "train.epochs=1",
        )
        statistics = pipelines.statistics.fit(planned.source, planned.split.train, size=(16, 16))
        batches = Batches(planned.config, planned.source, planned.split.train, statistics)
        trainer = trainer_of(planned)
        trainer.reset(5, statistics.mean, statistics.std)
        data = piped(batches, seed=7)
        first = next(iter(data.dataset(0)))[0]
        trainer.fit(planned.config, data, Hooks(print))
        made[transfer] = first, trainer.model.get_weights()
    (images, offsets), weights = made["uint8"]
    assert images.dtype.name == "uint8"
    assert np.ptp(offsets) > 1
    np.testing.assert_allclose(
        np.asarray(joined((images, offsets))), np.asarray(made["float32"][0]), atol=1e-4
    )
    for of_floats, of_bytes in zip(made["float32"][1], weights, strict=True):
        np.testing.assert_allclose(of_floats, of_bytes, atol=1e-4)


def test_uint8_needs_pca_jitter_last():
    with pytest.raises(BadInput, match=r"data\.transfer: uint8 leaves pca_jitter to the device"):
        plan(
            "data.source=synthetic:classes=2,size=32,examples=40",
            "augment={steps: [{op: pca_jitter}, {op: random_erasing}]}",
            "data.transfer=uint8",
            "model.name=resnet20_cifar",
        )
