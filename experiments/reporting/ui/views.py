"""What MLflow's pages show first: a run table with its columns, and charts of accuracy and cost.

MLflow's browser code reads a view from the experiment tag `mlflow.sharedViewState.KEY` when the
address ends in `?viewStateShareKey=KEY`; its own Share and Save buttons write the same. The tag
holds {name, createdAt, updatedAt, state}, and state is "deflate;" and the base64 of the zlib
stream of the page's JSON (MLflow 3.17; a tag takes 5,000 characters).
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.presentation.columns import COLUMNS, CostAxis

if TYPE_CHECKING:
    from mlflow import MlflowClient

TAG = "mlflow.sharedViewState."
TABLE, CHARTS = "ilsvrc", "ilsvrc-charts"
NAMES = {TABLE: "Accuracy and cost: table", CHARTS: "Accuracy and cost: charts"}
LOOKED_AT = 300
"""Newest runs that are searched for settings that vary."""
VARYING = 6
"""Settings that get a column, at most."""
ALWAYS = ("model.name", "seed")
NEVER = ("name", "config_hash", "data.train_images", "data.validation_images", "data.test_images")


def write(client: MlflowClient, experiment_id: str) -> bool:
    """Write both views for what the experiment holds; False where the store does not let us."""
    from mlflow.exceptions import MlflowException

    try:
        experiment = client.get_experiment(experiment_id)
        runs = client.search_runs([experiment_id], "tags.level LIKE '%'", max_results=LOOKED_AT)
        params = [run.data.params for run in runs if "params" in run.data.metrics]
        metrics = {name for run in runs for name in run.data.metrics}
        varies = varying(params)
        states = {TABLE: table(metrics, varies), CHARTS: charts(metrics, varies)}
        for key, state in states.items():
            # no clock: the same view is the same text, and is not written again
            text = packed(NAMES[key], state, experiment.creation_time or 0)
            if experiment.tags.get(TAG + key) != text:
                client.set_experiment_tag(experiment_id, TAG + key, text)
    except MlflowException:
        return False
    return True


def address(base_url: str, experiment_id: str, key: str | None) -> str:
    """The page of an experiment's runs, in the view of this key if one is named."""
    page = f"{base_url.rstrip('/')}/#/experiments/{experiment_id}/runs"
    if key is None:
        return page
    mode = "&compareRunsMode=CHART" if key == CHARTS else ""
    return f"{page}?viewStateShareKey={key}{mode}"


def varying(params: Sequence[Mapping[str, str]]) -> list[str]:
    """Settings that differ between runs, most different values first, at most VARYING."""
    values: dict[str, set[str | None]] = {}
    for key in sorted({key for settings in params for key in settings}):
        if key not in (*ALWAYS, *NEVER):
            values[key] = {settings.get(key) for settings in params}
    several = [key for key, distinct in values.items() if len(distinct) > 1]
    return sorted(several, key=lambda key: -len(values[key]))[:VARYING]


def table(metrics: set[str], varies: Sequence[str]) -> dict[str, Any]:
    """The state of the run table, sorted by test accuracy.

    Args:
        metrics: names of the metrics that there are.
        varies: params that get a column.
    """
    first = _score("test_top1", metrics)
    widths = {f"metrics.`{name}`": width for name, width in _measured(metrics).items()}
    widths |= {f"params.`{name}`": max(110, 50 + 8 * len(name)) for name in (*varies, *ALWAYS)}
    columns = [*widths, "attributes.`Dataset`"]
    return {
        "selectedColumns": columns,
        "columnOrder": ["attributes.`Run Name`", *columns],
        "columnWidths": widths | {"attributes.`Run Name`": 260, columns[-1]: 200},
        # sorted by a metric the table is flat; by time it hides runs under their folded parents
        "orderByKey": f"metrics.`{first}`",
        "orderByAsc": not first.endswith("top1"),
        "runsHiddenMode": "SHOW_ALL",
    }


def charts(metrics: set[str], varies: Sequence[str]) -> dict[str, Any]:
    """The state of the chart page: accuracy against each cost, parallel coordinates.

    Only runs that trained a network are listed, so that there are as many points as rows. The
    charts that MLflow adds itself, one a metric, are folded.
    """
    score = _score("test_top1", metrics)
    costs = [column.key for column in COLUMNS if column.view and isinstance(column, CostAxis)]
    cards: list[dict[str, Any]] = [
        _card("SCATTER", f"ilsvrc-{cost}", "ilsvrc")
        | {"xaxis": _axis(cost), "yaxis": _axis(score), "runsCountToCompare": 100}
        for cost in costs
        if cost in metrics or not metrics
    ]
    cards.append(
        _card("PARALLEL", "ilsvrc-parallel", "ilsvrc-parallel")
        | {
            # words are cut short on every axis but the first
            "selectedParams": ["model.name", *varies[:3]],
            # the last axis gives the lines their colours
            "selectedMetrics": [
                name
                for name in dict.fromkeys((*costs, _score("val_top1", metrics), score))
                if name in metrics
            ],
            "showAllRuns": True,
            "runsCountToCompare": 100,
        }
    )
    sections = [
        _section("ilsvrc", "Accuracy against cost", columns=3),
        _section("ilsvrc-parallel", "Parallel coordinates", columns=1),
        # where MLflow puts its own charts
        *(
            _section(f"ilsvrc-{name}", name) | {"display": False, "isGenerated": True}
            for name in ("Model metrics", "System metrics")
        ),
    ]
    return table(metrics, varies) | {
        "searchFilter": "metrics.params > 0",
        "compareRunCharts": cards,
        "compareRunSections": sections,
    }


def packed(name: str, state: Mapping[str, Any], made: int) -> str:
    """The text of a tag: `state` compressed, under the name that the page lists it by.

    Args:
        made: milliseconds since 1970.
    """
    stream = zlib.compress(json.dumps(state, separators=(",", ":")).encode(), 9)
    packed_state = "deflate;" + base64.b64encode(stream).decode()
    return json.dumps({"name": name, "createdAt": made, "updatedAt": made, "state": packed_state})


def _card(kind: str, uuid: str, section: str) -> dict[str, Any]:
    fields = {"uuid": uuid, "type": kind, "metricSectionId": section}
    return fields | {"deleted": False, "isGenerated": False}


def _section(uuid: str, name: str, columns: int = 3) -> dict[str, Any]:
    fields = {"uuid": uuid, "name": name, "display": True, "columns": columns}
    return fields | {"isGenerated": False, "isReordered": False, "deleted": False}


def _axis(metric: str) -> dict[str, str]:
    return {"key": metric, "type": "METRIC"}


def _measured(metrics: set[str]) -> dict[str, int]:
    """Metrics of the run table and the widths of their columns: the scores that there are, and
    all costs."""
    shown = [(_score(column.key, metrics), column) for column in COLUMNS if column.view]
    return {
        name: column.view
        for name, column in shown
        if column.kind != "accuracy" or name in metrics or not metrics
    }


def _score(name: str, metrics: set[str]) -> str:
    """The metric itself, or what reconstructions have instead of a top-1: a squared error; where
    no run has a test part, that of the validation part."""
    names = [name, name.replace("top1", "mse")]
    names += [other.replace("test_", "val_") for other in names]
    return next((other for other in names if other in metrics), name)
