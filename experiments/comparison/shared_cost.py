"""Latency and rate of a network: one figure for all its runs, whatever they were trained with.

Neither depends on weights, learning rate or seed. So runs whose networks are equal, on equal
machines, measured the same, and what differs between them is what came between. Of those that
nothing disturbed (`experiments/runtime/disturbance.py`) the best counts, and only where every one
was disturbed the best of these, which is then marked.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from experiments.presentation.columns import COLUMNS, Column

if TYPE_CHECKING:
    from mlflow.entities import Run

PARAMS = (
    "model.name", "data.image_size", "data.channels", "train.precision", "train.jit",
    "train.devices", "train.deterministic",
)  # fmt: skip
METRICS = ("params", "macs")  # of other inputs or numbers of classes, others
TAGS = ("device", "machine", "backend")
OF_RATE = "data.eval_batch_size"


class Shared(NamedTuple):
    """What a run has of the measurement that its network shares."""

    values: dict[str, float]
    """By the column's key."""
    disturbed: bool | None
    """None: the runs do not tell, as they were made before it was measured."""


def measurements() -> dict[str, list[Column]]:
    """The columns that one measurement gives, by the metric that says whether it was disturbed;
    the first of them ranks measurements."""
    given: dict[str, list[Column]] = {}
    for column in COLUMNS:
        if column.disturbed:
            given.setdefault(column.disturbed, []).append(column)
    return given


def shared(runs: Sequence[Run]) -> dict[str, dict[str, Shared]]:
    """Of each run id: its measurements, by the metric that says whether they were disturbed."""
    of_run: dict[str, dict[str, Shared]] = {run.info.run_id: {} for run in runs}
    for metric, columns in measurements().items():
        alike: dict[Hashable, list[Run]] = {}
        for run in runs:
            if _finite(run.data.metrics, columns[0].key):
                alike.setdefault(_network(run, columns[0]), []).append(run)
        for members in alike.values():
            best = _best(members, metric, columns[0])
            values = {c.key: best[c.key] for c in columns if _finite(best, c.key)}
            flag = None if metric not in best else bool(best[metric])
            for run in members:
                of_run[run.info.run_id][metric] = Shared(values, flag)
    return of_run


def _finite(metrics: Mapping[str, float], key: str) -> bool:
    return math.isfinite(metrics.get(key, math.nan))


def _network(run: Run, column: Column) -> Hashable:
    """What runs have in common that measure the same."""
    params, metrics, tags = run.data.params, run.data.metrics, run.data.tags
    if "model.name" not in params:
        return run.info.run_id
    options = sorted(
        (key, value)
        for key, value in params.items()
        if key.startswith("model.options") and value not in ("null", "None", "{}")
    )
    batch = None if column.key.startswith("latency") else params.get(OF_RATE)
    return (
        tuple(options),
        batch,
        *(params.get(key) for key in PARAMS),
        *(metrics.get(key) for key in METRICS),
        *(tags.get(key) for key in TAGS),
    )


def _best(runs: Sequence[Run], metric: str, column: Column) -> dict[str, float]:
    """Metrics of the run whose measurement counts."""
    sign = 1 if column.less_is_better else -1
    measured = [dict(run.data.metrics) for run in runs]
    return min(measured, key=lambda one: (one.get(metric, 0.0) > 0, sign * one[column.key]))
