"""What the runs that exist tell a plan: scores and answers of each row, by their seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.comparison.compare import compare, kept_answers
from experiments.comparison.grouping import Comparison
from experiments.comparison.pair_tests import HitsOf
from experiments.errors import BadInput
from experiments.presentation.formatting import SEEDS

if TYPE_CHECKING:
    from mlflow import MlflowClient

Seeds = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Setting:
    """A row: one setting under several seeds, on the same images."""

    name: str
    scores: dict[Seeds, float]
    """By `seed`, and the seeds of single draws where they were given."""
    images: int | None
    hits: dict[Seeds, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    """Index of the images, and whether their labels were right; of runs that kept predictions."""

    @property
    def top1(self) -> float:
        return float(np.mean(list(self.scores.values())))

    def levels(self) -> dict[str, list[Any]]:
        """Of each seed that was given, its value in each run; `seed` where a draw had no other."""
        keys = dict.fromkeys(key for seeds in self.scores for key, _ in seeds)
        return {key: [dict(s).get(key, dict(s)["seed"]) for s in self.scores] for key in keys}


def settings(client: MlflowClient, name: str) -> tuple[list[Setting], list[str]]:
    """Rows of an experiment on the images of its best row, best first, and what was left out.

    Raises:
        BadInput: as `compare`, or there is no row with a top-1 on one split.
    """
    comparison = compare(client, [name])
    rows = [
        {**row, "values": values}
        for row in comparison.rows
        if row["top1_mean"] is not None
        and (values := [value for value in row["values"] if not value["fold"]])
    ]
    if not rows:
        raise BadInput(
            f"{name}: no runs with top-1 on one split; plan counts seeds, and folds are none: "
            "ilsvrc sweep with sweep.seed=[1, 2, 3]"
        )
    best = max(rows, key=lambda row: np.mean([value["score"] for value in row["values"]]))
    alike = [row for row in rows if _images_of(row, comparison) == _images_of(best, comparison)]
    notes = [f"left out, on other images: {row['name']}" for row in rows if row not in alike]
    part = comparison.score.partition("_")[0]
    answers = kept_answers(client) if len(alike) > 1 else _none
    made = [_setting(client, row, part, answers) for row in alike]
    return sorted(made, key=lambda row: -row.top1), notes


def _images_of(row: Mapping[str, Any], comparison: Comparison) -> list[Any]:
    keys = [key for key in comparison.varying if key.startswith("validation.")]
    return [row["source_fingerprint"], *(row[key] for key in keys)]


def _none(run_id: str, part: str) -> None:
    """Of a lone row no answers are compared, and none are read."""


def _setting(client: MlflowClient, row: Mapping[str, Any], part: str, answers: HitsOf) -> Setting:
    values = {_seeds(value): value for value in row["values"]}
    run_ids = {seeds: value["run_id"] for seeds, value in values.items()}
    scores = {seeds: value["score"] for seeds, value in values.items()}
    kept = {seeds: answers(run_id, part) for seeds, run_id in run_ids.items()}
    hits = {seeds: one for seeds, one in kept.items() if one is not None}
    images: int | None
    if hits:
        images = len(next(iter(hits.values()))[0])
    else:
        key = f"data.{'test' if part == 'test' else 'validation'}_images"
        counts = (client.get_run(run_id).data.params.get(key) for run_id in run_ids.values())
        images = next((int(count) for count in counts if count), None)
    return Setting(row["name"], scores, images, hits)


def _seeds(value: Mapping[str, Any]) -> Seeds:
    apart = value.get("seeds", {})
    return ("seed", value["seed"]), *((f"{SEEDS}{draw}", seed) for draw, seed in apart.items())


def common_hits(first: Setting, second: Setting) -> tuple[np.ndarray, np.ndarray] | None:
    """Bool [seeds, images] of both, of the seeds they share; None of fewer than two, or where
    they kept no predictions, or of other images."""
    keys = [key for key in first.hits if key in second.hits]
    if len(keys) < 2:
        return None
    index = first.hits[keys[0]][0]
    kept = [row.hits[key] for row in (first, second) for key in keys]
    if not all(np.array_equal(one, index) for one, _ in kept):
        return None
    one, other = (np.array([row.hits[key][1] for key in keys]) for row in (first, second))
    return one, other


def common_seeds(first: Setting, second: Setting) -> int:
    """How many seeds both rows were trained with."""
    return len(first.scores.keys() & second.scores.keys())
