"""MixUp and CutMix in training: what losses, class weights and label smoothing make of shares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from experiments.config import settings
from experiments.config.train import Loss
from experiments.jobs.dataset import class_weights
from experiments.jobs.plan import prepare
from experiments.optimization import losses
from experiments.runtime.startup import prepare_process
from experiments.training.batches import Batches, weighted
from experiments.training.loop import Hooks
from experiments.training.trainer import Trainer

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(8, 5)).astype("float32") * 3
HARD = RNG.integers(0, 5, 8)
SOFT = RNG.dirichlet(np.ones(5), 8).astype("float32")
WEIGHTS = np.array([0.5, 2.0, 1.0, 0.1, 3.0], "float32")


def value(labels, **given):
    return np.asarray(losses.build(Loss(**given), 5).call(labels, SCORES))


def of_each_class(**given):
    """[b, classes]: the loss if the label were that class."""
    columns = [value(np.full(8, c), **given) for c in range(5)]
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_shares_is_the_mixture_of_the_losses_smoothing_included(smoothing):
    expected = (SOFT * of_each_class(label_smoothing=smoothing)).sum(axis=1)
    assert value(SOFT, label_smoothing=smoothing) == pytest.approx(expected, rel=1e-5)
    # Mixing the smoothed labels is smoothing the mixed one.
    target = (1 - smoothing) * SOFT + smoothing / 5
    log_p = SCORES - np.log(np.exp(SCORES).sum(axis=1, keepdims=True))
    assert value(SOFT, label_smoothing=smoothing) == pytest.approx(
        -(target * log_p).sum(axis=1), rel=1e-5
    )


@pytest.mark.parametrize("name", ["cross_entropy", "mean_squared_error"])
def test_shares_of_one_class_are_the_whole_label(name):
    one_hot = np.eye(5, dtype="float32")[HARD]
    np.testing.assert_array_equal(value(one_hot, name=name), value(HARD, name=name))


def test_squared_error_of_shares_has_the_gradient_of_the_mixture():
    scores = tf.Variable(SCORES)
    criterion = losses.build(Loss(name="mean_squared_error"), 5)
    with tf.GradientTape(persistent=True) as tape:
        mixed = tf.reduce_sum(criterion.call(SOFT, scores))
        parts = tf.add_n(
            [tf.reduce_sum(SOFT[:, c] * criterion.call(np.full(8, c), scores)) for c in range(5)]
        )
    np.testing.assert_allclose(
        tape.gradient(mixed, scores), tape.gradient(parts, scores), atol=1e-5
    )


@pytest.mark.parametrize("name", ["hinge", "map_criterion"])
def test_losses_of_one_right_class_refuse_shares(name):
    with pytest.raises(ValueError, match=f"{name}: expected labels of one class.*cross_entropy"):
        value(SOFT, name=name)
    steps = [{"op": "mixup"}]
    with pytest.raises(ValueError, match=f"train.loss.name: {name} has one right class"):
        settings.parse({"augment": {"steps": steps}, "train": {"loss": {"name": name}}})
    plain = {"augment": {"steps": [{"op": "hue"}]}, "train": {"loss": {"name": name}}}
    assert settings.parse(plain).train.loss.name == name


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_weights_act_on_each_class_of_a_mixed_label(smoothing):
    labels, weights = weighted(tf.constant(SOFT), tf.constant(WEIGHTS))
    np.testing.assert_allclose(labels.numpy().sum(axis=1), 1.0, atol=1e-6)
    received = weights.numpy() * value(labels.numpy(), label_smoothing=smoothing)
    expected = (SOFT * WEIGHTS * of_each_class(label_smoothing=smoothing)).sum(axis=1)
    assert received == pytest.approx(expected, rel=1e-5)


def test_class_weights_of_whole_labels_are_as_ever():
    labels, weights = weighted(tf.constant(HARD), tf.constant(WEIGHTS))
    np.testing.assert_array_equal(labels, HARD)
    np.testing.assert_array_equal(weights, WEIGHTS[HARD])
    one_hot = tf.one_hot(HARD, 5)
    soft, same = weighted(one_hot, tf.constant(WEIGHTS))
    np.testing.assert_allclose(soft, one_hot)
    np.testing.assert_allclose(same, WEIGHTS[HARD])


BASE = {
    "data": {"source": "digits", "image_size": 16, "batch_size": 50, "train_fraction": 0.2},
    "model": {"name": "lenet5"},
    "train": {"epochs": 1, "optimizer": {"learning_rate": 0.05}},
}


def trained(*words):
    """Plan, trainer, dataset and history of one fit."""
    import pipelines.statistics

    planned = prepare(settings.parse(settings.override(BASE, words)))
    prepare_process(0, True)
    trainer = Trainer(planned.config, planned.input_shape, planned.classes)
    fitted = pipelines.statistics.fit(planned.source, planned.split.train, size=(16, 16))
    batches = Batches(planned.config, planned.source, planned.split.train, fitted)
    mean, scale = batches.normalisation()
    trainer.reset(1, mean, scale)
    data = replace(batches.training(1), rows=None)
    history = trainer.fit(planned.config, data, Hooks(lambda event: None))
    return planned, trainer, batches, history


@pytest.mark.parametrize("op", ["mixup", "cutmix"])
@pytest.mark.parametrize("weights", [[], ["train.class_weights=balanced"]], ids=["", "weighted"])
def test_a_network_trains_on_mixed_images(op, weights):
    words = [f"augment.steps=[{{op: {op}, alpha: 1.0}}]", "train.loss.label_smoothing=0.1"]
    _, trainer, batches, history = trained(
        *words, *weights, "train.epochs=8", "train.optimizer.learning_rate=0.1"
    )
    first, last = history.epochs[0]["train_loss"], history.epochs[-1]["train_loss"]
    assert last < 0.9 * first
    # Scoring sees whole labels and unmixed images.
    logits, _, labels = trainer.score(batches.evaluation(batches.train))
    assert labels.ndim == 1
    assert (logits.argmax(axis=1) == labels).mean() > 0.5


def test_the_reported_loss_is_the_mixture_of_weighted_losses():
    """One batch, no update to speak of: against NumPy from the batch that the network saw."""
    planned, trainer, batches, history = trained(
        "augment.steps=[{op: mixup, alpha: 1.0}]",
        "train.class_weights=balanced",
        "train.optimizer.learning_rate=1e-12",
        "data.batch_size=1000",
    )
    ((images, labels, weights),) = list(batches.dataset(1))
    table = class_weights(planned.config, planned.source, planned.split.train)
    logits = np.asarray(trainer.infer(images)).astype("float64")
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    total = weights.numpy()[:, None] * labels.numpy()
    assert history.epochs[0]["train_loss"] == pytest.approx(
        -(total * log_p).sum(axis=1).mean(), rel=1e-4
    )
    # Weight and label together are share * class weight: the shares sum to one again.
    np.testing.assert_allclose((total / table).sum(axis=1), 1.0, atol=1e-5)
