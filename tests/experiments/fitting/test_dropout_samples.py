"""Monte-Carlo dropout: probabilities averaged over passes, the same from the same seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.config import settings
from experiments.errors import BadInput
from experiments.fitting import fit
from experiments.jobs.plan import prepare
from experiments.metrics import log_mean_probabilities, softmax

BASE = {
    "data": {"source": "digits", "image_size": 8, "train_fraction": 0.2},
    "model": {"name": "mlp", "options": {"dropout": 0.5, "monte_carlo": True}},
    "train": {"epochs": 3, "optimizer": {"learning_rate": 0.1}},
    "bench": {"latency_calls": 1, "throughput_batches": 1},
}


def plan(*words):
    return prepare(settings.parse(settings.override(BASE, words)))


def run(*words):
    outcome = fit.run(plan(*words).job(("run",)), lambda event: None)
    return outcome, np.stack(pd.read_parquet(outcome.predictions)["probabilities"])


def test_the_average_of_probabilities_survives_as_logits():
    passes = [np.array([[0.0, 1.0, -2000.0]]), np.array([[3.0, 0.0, -2000.0]])]
    mean = (softmax(passes[0]) + softmax(passes[1])) / 2
    made = log_mean_probabilities(passes)
    assert np.isfinite(made).all()
    np.testing.assert_allclose(softmax(made), mean, atol=1e-6)


def test_more_passes_settle_the_prediction_and_equal_seeds_repeat_it():
    one, chances = run()
    many, averaged = run("evaluate.dropout_samples=30")
    again, repeated = run("evaluate.dropout_samples=30")
    np.testing.assert_array_equal(averaged, repeated)
    assert again.scores == many.scores
    assert many.scores["val_loss"] < one.scores["val_loss"]
    assert many.scores["test_top1"] > one.scores["test_top1"]
    assert many.scores["train_top1"] == one.scores["train_top1"]  # one pass, whatever is asked
    assert averaged.max(axis=1).mean() < chances.max(axis=1).mean()
    # cross-entropy of the averaged probabilities
    table = pd.read_parquet(many.predictions)
    held_out = (table["part"] == "val").to_numpy()
    of_label = averaged[held_out, table["label"][held_out]]
    assert many.scores["val_loss"] == pytest.approx(-np.log(of_label).mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.options.monte_carlo=false"], r"set model\.options\.monte_carlo=true"),
        (["train.loss.name=hinge"], r"averages probabilities.*hinge"),
    ],
)
def test_passes_that_mean_nothing_are_refused(words, said):
    with pytest.raises(BadInput, match=said):
        plan("evaluate.dropout_samples=5", *words)


def test_a_network_that_drops_nothing_is_refused():
    with pytest.raises(BadInput, match=r"mlp drops nothing.*model\.options\.dropout"):
        run("evaluate.dropout_samples=5", "model.options={monte_carlo: true}")
