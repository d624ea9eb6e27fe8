"""The runs of one experiment as a table to compute with: a row a run, plain columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiments.comparison.compare import PAGE, find_experiment
from experiments.comparison.grouping import value_of, varying_keys
from experiments.errors import BadInput
from experiments.presentation.columns import of_kind
from experiments.presentation.formatting import SEEDS
from experiments.tracking.tracked_run import FOLD, FOLDS

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run

ATTEMPT = ("config_hash", "source_fingerprint", "path", "mlflow.parentRunId")
"""Tags that two attempts at the same run have in common."""


OVER_FOLDS = ("_std", "_low", "_high")
"""Endings of what a run above folds has beside a mean over them."""


def frame(client: MlflowClient, name: str, level: str = "run") -> pd.DataFrame:
    """A row a run: model, seed, the settings that vary, scores, costs, status, run_id.

    Seeds that stand in place of `seed` have columns under their keys, as settings have.
    Runs on folds have a column `fold`, those above them `folds`, how many their means are over, and
    beside each score its standard deviation over folds (`_std`) and where there is one the ends of
    its interval (`_low`, `_high`).

    Settings have their config keys. Accuracies are fractions; what no run measured has no column.
    Of several attempts at the same run the last that finished counts, else the last.

    Raises:
        BadInput: the experiment is unknown, or has no runs of this level.
    """
    import pandas as pd

    if not level.replace("_", "").isalnum():
        raise BadInput(f"level: expected a word such as run or trial. Received: {level!r}")
    runs = _last_attempts(_runs(client, find_experiment(client, name), level))
    if not runs:
        raise BadInput(f"{name}: no runs of level {level}; run, sweep or search first")
    # the model has a column of its own
    apart = sorted({key for run in runs for key in run.data.params if key.startswith(SEEDS)})
    varying = apart + [key for key in varying_keys(runs) if key != "model.name"]
    folds = [tag for tag in (FOLD, FOLDS) if any(tag in run.data.tags for run in runs)]
    endings = ("", *OVER_FOLDS) if FOLDS in folds else ("",)
    metrics = [
        f"{column.key}{ending}"
        for column in of_kind("accuracy", "error", "loss", "size", "work", "measured")
        for ending in endings
        if any(f"{column.key}{ending}" in run.data.metrics for run in runs)
    ]
    return pd.DataFrame([_row(run, varying, folds, metrics) for run in runs])


def _row(run: Run, varying: list[str], folds: list[str], metrics: list[str]) -> dict[str, Any]:
    params, measured = run.data.params, run.data.metrics
    return {
        "model": value_of(params.get("model.name")),
        "seed": value_of(params.get("seed")),
        **{tag: value_of(run.data.tags.get(tag)) for tag in folds},
        **{key: value_of(params.get(key)) for key in varying},
        **{key: measured.get(key) for key in metrics},
        "status": run.info.status.lower(),
        "run_id": run.info.run_id,
    }


def _runs(client: MlflowClient, experiment: str, level: str) -> list[Run]:
    """Every run of a level, the oldest first; what repeats another is not one more of it."""
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment],
            f"tags.level = '{level}'",
            max_results=PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        runs += [run for run in page if "reproduces" not in run.data.tags]
        token = page.token
        if not token:
            return runs


def _last_attempts(runs: list[Run]) -> list[Run]:
    last: dict[tuple[str | None, ...], Run] = {}
    for run in runs:
        tags = run.data.tags
        key = (
            tuple(tags.get(tag) for tag in ATTEMPT) if "config_hash" in tags else (run.info.run_id,)
        )
        if key not in last or run.info.status == "FINISHED" or last[key].info.status != "FINISHED":
            last.pop(key, None)
            last[key] = run
    return list(last.values())
