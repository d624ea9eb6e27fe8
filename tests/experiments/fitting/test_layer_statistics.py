"""Activations and gradients by layer: right numbers, and no trace of having looked."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from experiments.config import settings
from experiments.fitting import fit, pictures
from experiments.jobs.plan import prepare
from experiments.training.batches import Batches

BASE = {
    "data": {"source": "digits", "image_size": 16, "train_fraction": 0.1, "batch_size": 50},
    "model": {"name": "mlp", "options": {"hidden": [20, 20, 20]}},
    "train": {"epochs": 1, "optimizer": {"learning_rate": 0.02}, "layer_statistics": True},
    "bench": {"latency_calls": 1, "throughput_batches": 1},
}


def run(*words):
    planned = prepare(settings.parse(settings.override(BASE, words)))
    return fit.run(planned.job(("run",)), lambda event: None)


def rows_of(outcome, epoch=0):
    [path] = [file for file in outcome.files if file.endswith("layers.csv")]
    with open(path, newline="", encoding="utf-8") as file:
        return {x["layer"]: x for x in csv.DictReader(file) if int(x["epoch"]) == epoch}


def gradients_of(rows):
    found = [x["kernel_gradient_rms"] for x in rows.values()]
    return [float(value) for value in found if value]


def test_zero_weights_pass_on_neither_signals_nor_gradients():
    rows = rows_of(run("model.options.initializer=zeros", "train.epochs=0"))
    for name in ("fc1", "fc2", "fc3"):
        assert float(rows[name]["zero_fraction"]) == 1
        assert float(rows[name]["activation_std"]) == 0
    # the last layer's inputs are zero too, so that not even its kernel has a gradient
    assert gradients_of(rows) == [0.0] * 4


def test_he_keeps_signal_and_gradient_through_depth_where_small_weights_lose_them():
    deep = ["model.options.hidden=[64, 64, 64, 64, 64, 64, 64, 64]", "train.epochs=0"]
    he = rows_of(run(*deep, "model.options.initializer=he"))
    small = rows_of(run(*deep, "model.options.initializer=fan_in"))

    def kept(rows):
        return float(rows["fc8"]["activation_std"]) / float(rows["fc1"]["activation_std"])

    assert 0.1 < kept(he) < 10
    assert kept(small) < 1e-4
    assert 0.05 < gradients_of(he)[0] / gradients_of(he)[-2] < 20
    assert gradients_of(small)[0] < 1e-4 * gradients_of(he)[0]


def test_the_numbers_are_those_of_a_by_hand_computation():
    options = "model.options={hidden: [], kernel_regularizer: {l2: 0.01}}"
    rows = rows_of(run(options, "train.epochs=0"))
    trainer = fit.WORKER.trainers[0]
    from experiments.fitting.layer_statistics import LayerStatistics  # it loads Keras

    planned = prepare(settings.parse(BASE))
    source = planned.source
    probe = LayerStatistics(trainer, Batches(planned.config, source, planned.split.train, None))
    flat = np.asarray(trainer.normalise(probe.images)).reshape(len(probe.images), -1)
    kernel, bias = (np.asarray(w) for w in trainer.leaves[-1].get_weights())
    logits = flat @ kernel + bias
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = chances - np.eye(10)[np.asarray(probe.labels)]
    gradient = flat.T @ wrong / len(flat) + 2 * 0.01 * kernel
    row = rows["output"]
    assert float(row["kernel_gradient_rms"]) == pytest.approx(
        np.sqrt((gradient**2).mean()), rel=1e-4
    )
    assert float(row["activation_mean"]) == pytest.approx(logits.mean(), rel=1e-3, abs=1e-5)
    assert float(row["activation_std"]) == pytest.approx(logits.std(), rel=1e-4)
    assert float(rows["flatten"]["zero_fraction"]) == pytest.approx((flat == 0).mean())


def test_measuring_changes_no_result():
    words = ["model.options={hidden: [20], normalization: batch, dropout: 0.3}", "train.epochs=2"]
    with_it = run(*words)
    without = run(*words, "train.layer_statistics=false")
    assert with_it.scores == without.scores
    assert with_it.history == without.history
    assert without.files == []


def test_every_layer_and_epoch_has_a_row_and_depth_counts_kernels():
    outcome = run("model.name=lenet5", "model.options={normalization: batch}")
    start, end = rows_of(outcome, 0), rows_of(outcome, 1)
    assert list(start) == list(end)
    depths = [int(x["depth"]) for x in start.values()]
    assert depths == sorted(depths)
    assert depths[-1] == len(gradients_of(start)) == 5  # three convolutions, two dense layers
    assert start["output"] != end["output"]
    assert {Path(file).name for file in outcome.files} == {"layers.csv", "layers.png"}


def test_the_figure_takes_what_the_next_kernel_sees_and_draws_zeros():
    row = {"epoch": 0, "depth": 1, "kind": "Conv2D", "activation_std": 2.0}
    after = row | {"kind": "Activation", "activation_std": 0.0}
    dropped = row | {"kind": "Dropout", "activation_std": 3.0}
    before = row | {"depth": 0}
    assert pictures.by_depth([before, row, after, dropped], 0, "activation_std") == [(1, 0.0)]


def test_an_untrained_run_of_zeros_still_has_its_figure():
    outcome = run("model.options.initializer=zeros", "train.epochs=0")
    [picture] = [file for file in outcome.files if file.endswith(".png")]
    assert Path(picture).stat().st_size > 5000
