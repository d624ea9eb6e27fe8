"""Heads that only training needs: their share of the loss, and that nothing else sees them."""

from __future__ import annotations

import json
import sys
import types

import keras
import numpy as np
import pytest
from blank_store import blank_store
from command import inside
from keras import layers

import models
from experiments.config import settings
from experiments.errors import BadInput
from experiments.fitting import fit
from experiments.jobs.job import seed_for
from experiments.jobs.plan import prepare
from experiments.runs.train import dry_run
from experiments.runtime.startup import prepare_process
from experiments.training.trainer import Trainer
from models import cards
from models.architectures.blocks import Blocks
from models.choices import PAPER
from models.layers.initializers import glorot_uniform

BASE = {
    "data": {"source": "digits", "image_size": 8, "batch_size": 50, "train_fraction": 0.1},
    "model": {"name": "headed", "options": {"auxiliary": True}},
    "train": {"epochs": 2, "optimizer": {"learning_rate": 0.05}},
    "bench": {"latency_calls": 1, "throughput_batches": 1},
}


def headed(images, classes, *, choices=PAPER, auxiliary=False):
    """Two hidden layers and a head on the first of them."""
    net = Blocks(choices, initializer=glorot_uniform)
    first = net.dense(layers.Flatten(name="flatten")(images), 12, name="fc1")
    second = net.dense(first, 10, name="fc2")
    logits = net.logits(net.drop(second, name="drop"), classes, name="output")
    if not auxiliary:
        return logits
    return {"logits": logits, "auxiliary_1": net.logits(first, classes, name="head")}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The network above in the registry, its head weighing 0.3."""
    entry = dict(cards.entries()["mlp"], name="headed", module="networks_of_this_test")
    entry |= {"auxiliary_loss_weights": {"auxiliary_1": 0.3}, "smallest_input": [1, 1]}
    monkeypatch.setitem(cards.entries(), "headed", entry)
    module = types.SimpleNamespace(headed=headed)
    monkeypatch.setitem(sys.modules, "networks_of_this_test", module)


def plan(*words):
    return prepare(settings.parse(settings.override(BASE, words)))


def trainer_of(planned):
    prepare_process(0, True)
    trainer = Trainer(planned.config, planned.input_shape, planned.classes)
    reset(trainer, 1)
    return trainer


def reset(trainer, seed):
    channels = trainer.model.input_shape[-1]
    trainer.reset(seed, np.full(channels, 80.0), np.full(channels, 60.0))


def cross_entropies(logits, labels):
    logits = np.asarray(logits, np.float64)
    whole = np.log(np.exp(logits).sum(axis=1))
    return whole - logits[np.arange(len(labels)), labels]


def run(planned):
    return fit.run(planned.job(("run",)), lambda event: None)


def test_the_loss_is_that_of_the_logits_and_the_weighed_heads_with_the_weights_of_images():
    trainer = trainer_of(plan())
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (6, 8, 8, 1)).astype("float32")
    labels, weights = rng.integers(0, 10, 6), rng.uniform(0.5, 2, 6).astype("float32")
    outputs = trainer.model(images, training=False)
    main = cross_entropies(outputs["logits"], labels)
    side = cross_entropies(outputs["auxiliary_1"], labels)
    loss = trainer.model.compute_loss(images, labels, outputs)
    assert float(loss) == pytest.approx((main + 0.3 * side).mean(), rel=1e-5)
    weighed = trainer.model.compute_loss(images, labels, outputs, weights)
    assert float(weighed) == pytest.approx((weights * (main + 0.3 * side)).mean(), rel=1e-5)


def test_the_heads_are_trained_and_teach_the_layers_below():
    """Held against the same run without heads: equal draws, equal data."""
    outcome = run(plan())
    trainer = fit.WORKER.trainers[0]
    trained = {layer.name: layer.get_weights() for layer in trainer.leaves if layer.weights}
    reset(trainer, seed_for(1, "weights"))
    drawn = {layer.name: layer.get_weights() for layer in trainer.leaves if layer.weights}
    assert (trained["head"][0] != drawn["head"][0]).mean() > 0.9
    bare = run(plan("model.options.auxiliary=false"))
    plain = {x.name: x.get_weights() for x in fit.WORKER.trainers[0].leaves if x.weights}
    assert "head" not in plain
    assert (trained["fc1"][0] != plain["fc1"][0]).mean() > 0.5
    assert outcome.scores["train_loss"] > 1.15 * bare.scores["train_loss"]
    assert outcome.scores["val_loss"] < 1.15 * bare.scores["val_loss"]


def test_metrics_predictions_cost_and_the_saved_network_know_the_logits_only():
    planned = plan()
    outcome = run(planned)
    plain = models.profile(models.outline("headed", input_shape=(8, 8, 1), classes=10))
    assert (outcome.cost["params"], outcome.cost["macs"]) == (plain.params, plain.macs)
    assert dry_run(planned, 1)["cost"]["params"] == plain.params
    assert {"val_top1", "test_top1", "val_loss"} <= set(outcome.scores)

    saved = keras.saving.load_model(outcome.model)
    names = {x.name for x in saved.get_layer("headed").layers}
    assert "output" in names
    assert "head" not in names
    images = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 1)).astype("float32")
    mine = fit.WORKER.trainers[0]
    np.testing.assert_allclose(saved(images), mine.infer(images), rtol=1e-5, atol=1e-5)
    full = mine.model(images, training=False)["logits"]
    np.testing.assert_allclose(full, mine.infer(images), rtol=1e-5, atol=1e-5)


def test_a_reset_network_with_heads_trains_as_a_fresh_one_and_traces_nothing_twice():
    planned = plan("train.class_weights=balanced", "model.options.dropout=0.2")
    first = run(planned)
    weights = fit.WORKER.trainers[0].model.get_weights()
    traced = []
    model = fit.WORKER.trainers[0].model
    step = model.train_step
    model.train_step = lambda data: (traced.append(1), step(data))[1]
    run(plan("train.class_weights=balanced", "model.options.dropout=0.2", "seed=2"))
    again = run(planned)
    assert traced == []
    assert again.history == first.history
    assert again.scores == first.scores
    for got, want in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(got, want)


def test_a_head_without_a_weight_on_the_card_is_refused(monkeypatch):
    monkeypatch.setitem(cards.entries()["headed"], "auxiliary_loss_weights", {})
    with pytest.raises(BadInput, match=r"headed has no auxiliary_loss_weights.*auxiliary_1"):
        trainer_of(plan())


HEADS = {
    "googlenet": {"auxiliary_1": 0.3, "auxiliary_2": 0.3},  # section 5
    "inception_v3": {"auxiliary_1": 0.4},  # tf-slim's
}
SMALL = (
    "model.options={auxiliary: true, width: 0.05, dropout: 0}",
    "data.source=synthetic:classes=3,size=80,examples=30,channels=3", "data.image_size=80",
    "data.train_fraction=1", "data.batch_size=8", "augment.preset=none", "train.epochs=1",
    "train.optimizer={name: sgd, momentum: 0, learning_rate: 1.0e-12}",
)  # fmt: skip
"""The rate is so low that the weights stay as they were drawn."""


def by_hand(network, outputs, labels):
    """[images]: of the logits, and of each head by its weight."""
    assert set(outputs) == {"logits", *HEADS[network]}
    return cross_entropies(outputs["logits"], labels) + sum(
        weight * cross_entropies(outputs[head], labels) for head, weight in HEADS[network].items()
    )


@pytest.mark.parametrize(("network", "side"), [("googlenet", 80), ("inception_v3", 299)])
def test_a_published_network_weighs_its_heads(network, side):
    trainer = trainer_of(plan(*SMALL, f"model.name={network}", f"data.image_size={side}"))
    images = np.random.default_rng(0).uniform(0, 255, (4, side, side, 3)).astype("float32")
    labels = np.array([0, 1, 2, 0])
    outputs = trainer.model(images, training=False)
    loss = trainer.model.compute_loss(images, labels, outputs)
    assert float(loss) == pytest.approx(by_hand(network, outputs, labels).mean(), rel=1e-5)
    assert np.asarray(trainer.infer(images)).shape == (4, 3)


def test_the_command_trains_googlenet_by_that_loss(monkeypatch, capsys, tmp_path):
    """The loss of the epoch, over all training images, is that of the network as it is after it."""
    settings_file = tmp_path / "heads.yaml"
    settings_file.write_text(json.dumps(BASE | {"name": "heads"}))
    words = [
        *SMALL, "model.name=googlenet", "launch.executor=inline", "tracking.save_model=none",
    ]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    store = f"tracking.uri={blank_store(tmp_path)}"
    assert inside(monkeypatch, "train", settings_file, *words, store, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    planned = plan(*words)
    indices = planned.split.train
    images = np.stack([np.asarray(planned.source.images(at), "float32") for at in indices])
    labels = planned.source.labels[indices]
    model = fit.WORKER.trainers[0].model
    losses = by_hand("googlenet", model(images, training=True), labels)
    assert told["train_loss"] == pytest.approx(losses.mean(), rel=1e-4)
    assert losses.mean() > 1.3 * cross_entropies(model(images)["logits"], labels).mean()
