"""`seeds`: each changes the draws of its kind alone, and null is `seed`, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.config import settings
from experiments.fitting.fit import attempt
from experiments.jobs.job import seed_for
from experiments.jobs.plan import prepare
from experiments.training.trainer import Trainer

BASE = {
    "data": {"source": "digits", "image_size": 16, "batch_size": 50, "train_fraction": 0.1},
    "augment": {"steps": [{"op": "pad_and_crop", "padding": 2}, {"op": "horizontal_flip"}]},
    "model": {"name": "mlp", "options": {"hidden": [16], "dropout": 0.5}},
    "train": {"epochs": 2},
    "launch": {"executor": "inline"},
    "bench": {"latency_calls": 2, "throughput_batches": 1},
    "tracking": {"save_model": "none"},
}
STAGES = "train.stages=[{model: {name: mlp, options: {hidden: [8], dropout: 0.5}}, epochs: 2}]"
DRAWS = ("weights", "order", "augmentation", "dropout")


class SeenError(Exception):
    """The fit has begun, and that was all that was to be seen."""


def begun(monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Any]:
    """What a fit begins with, by kind of draw: weights, random states, order and pictures."""
    seen: dict[str, Any] = {}

    def look(self: Trainer, config: Any, data: Any, hooks: Any) -> None:
        weights = {id(w) for w in self.model.weights}
        layers = [leaf for leaf in self.leaves if leaf.name != "normalise"]
        variables = [v for leaf in layers for v in leaf.variables]
        batches = list(data.dataset(0).as_numpy_iterator())
        half = len(batches) // 2
        images = [np.concatenate([x for x, _ in part]) for part in (batches[:half], batches[half:])]
        seen.update(
            weights=[bytes(np.asarray(v)) for v in variables if id(v) in weights],
            dropout=[bytes(np.asarray(v)) for v in variables if id(v) not in weights],
            order=[y.tolist() for _, y in batches],
            augmentation=[sorted(bytes(x) for x in epoch) for epoch in images],
            rows=data.rows and {"order": data.rows.order, "augmentation": data.rows.seed},
        )
        raise SeenError

    def reset(self: Trainer, seed: int, *given: Any, states: int, **named: Any) -> int:
        seen["reset"] = {"weights": seed, "dropout": states}
        return real(self, seed, *given, states=states, **named)

    real = Trainer.reset
    plan = prepare(settings.parse(settings.override(BASE, words)))
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "fit", look)
        patch.setattr(Trainer, "reset", reset)
        outcome = attempt(plan.job(("run",)), lambda event: None)
    assert "SeenError" in str(outcome.error)
    return seen


def differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    return {draw for draw in DRAWS if one[draw] != other[draw]}


@pytest.mark.parametrize("stages", [[], [STAGES]], ids=["one network", "its first stage"])
def test_each_seed_changes_the_draws_of_its_kind_alone(
    stages: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = begun(monkeypatch, *stages)
    path = ("stage", 0) if stages else ()
    of_seed = {"order": seed_for(1, *path, "data"), "augmentation": seed_for(1, *path, "data")}
    assert plain["rows"] == of_seed  # as it was before there were such seeds
    assert plain["reset"] == dict.fromkeys(("weights", "dropout"), seed_for(1, "weights"))
    assert differing(plain, begun(monkeypatch, *stages, "seed=2")) == set(DRAWS)
    for draw in DRAWS:
        apart = begun(monkeypatch, *stages, f"seeds.{draw}=2")
        assert differing(plain, apart) == {draw}
        assert apart["rows"] == of_seed | (
            {draw: seed_for(2, *path, "data")} if draw in of_seed else {}
        )
    same = begun(monkeypatch, *stages, "seeds={weights: 1, order: 1, augmentation: 1, dropout: 1}")
    assert differing(plain, same) == set()


def test_passes_with_dropout_are_drawn_from_the_seed_of_dropout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    real, given = Trainer.seed_samples, []
    monkeypatch.setattr(
        Trainer, "seed_samples", lambda self, seed: (given.append(seed), real(self, seed))
    )
    sampled = "model.options.monte_carlo=true", "evaluate.dropout_samples=2"
    for words in ([], ["seeds.weights=5"], ["seeds.dropout=5"]):
        plan = prepare(settings.parse(settings.override(BASE, [*sampled, *words])))
        assert attempt(plan.job(("run",)), lambda event: None).error is None
    assert given == [seed_for(root, "dropout_samples") for root in (1, 1, 5)]


def test_batches_of_tf_data_and_of_the_program_itself_take_both_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole epochs as one call draw both in the graph, with the result of `dataset`."""
    monkeypatch.chdir(tmp_path)
    real = Trainer.fit

    def fitted(*words: str, whole: bool = True) -> dict[str, float]:
        def fit(self: Trainer, config: Any, data: Any, hooks: Any) -> Any:
            assert data.rows
            return real(self, config, data if whole else replace(data, rows=None), hooks)

        plan = prepare(settings.parse(settings.override(BASE, words)))
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "fit", fit)
            outcome = attempt(plan.job(("run",)), lambda event: None)
        assert outcome.error is None
        return outcome.history

    seeds = "seeds={order: 5, augmentation: 6}"
    whole = fitted(seeds)
    assert whole == fitted(seeds, whole=False)
    losses = [fitted()[-1]["train_loss"], whole[-1]["train_loss"]]
    losses += [fitted(f"seeds.{draw}=5")[-1]["train_loss"] for draw in DRAWS]
    assert len(set(losses)) == len(losses)
