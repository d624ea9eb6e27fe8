"""The states of MLflow's pages: columns, grouping, order and charts of what there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments.presentation.columns import COLUMNS, axes, rounded
from experiments.presentation.formatting import SEEDS, setting_title
from experiments.tracking.tracked_run import FINAL

NETWORK, SEED = "model.name", "seed"
SETTING = "setting"
"""The tag that rows are grouped by: several params would make a name that no column holds."""
NEVER = ("name", "config_hash", "data.train_images", "data.validation_images", "data.test_images")
VARYING = 6
"""Settings that get a column, at most."""
GROUPS = 60
"""Groups that are stored as folded, at most; a tag has no room for more."""
POINTS = 300
ASIDE = ("reproduction", "fold", FINAL)
"""Levels of runs that are no rows: repetitions, and folds, whose mean is the run above, would count
twice; final networks nothing has tested."""
TRAINED = " and ".join(["metrics.params > 0", *(f"tags.level != '{level}'" for level in ASIDE)])
"""A filter: neither parents, which train nothing, nor what is set aside."""
EXPECTED = ("expected_top1", "expected_top1_low", "expected_top1_high")
EDGE, LETTER = 38, 6.3  # pixels around a heading, of a letter
NAME_WIDTH, DATE_WIDTH, DATE = 290, 40, "runDateAndNestInfo"


@dataclass(frozen=True)
class Held:
    """What the runs of an experiment, or of one level of it, hold."""

    metrics: set[str] = field(default_factory=set)
    params: Sequence[Mapping[str, str]] = ()
    """Of each run."""

    def settings(self) -> list[str]:
        """Each run's architecture and what else varies, but for the seed, as one name."""
        varies = self.varying()
        return [
            setting_title(
                params.get(NETWORK, ""), {key: params[key] for key in varies if key in params}
            )
            for params in self.params
        ]

    def score(self, name: str) -> str:
        """The metric itself, or what reconstructions have instead of a top-1: a squared error;
        where no run has a test part, that of the validation part."""
        names = [name, name.replace("top1", "mse")]
        names += [other.replace("test_", "val_") for other in names]
        known = next((other for other in names if other in self.metrics), name)
        return self.shown(known)

    def shown(self, name: str) -> str:
        """The rounded metric of this one, or the exact one where runs are older than it."""
        short = rounded({name: 1.0})
        return next((other for other in short if other in self.metrics), name)

    def axis(self, name: str) -> str:
        """The logarithm of this metric where there is one, else as `shown`."""
        return log if (log := f"log10_{name}") in self.metrics else self.shown(name)

    def varying(self) -> list[str]:
        """Settings that differ between runs, most different values first, at most VARYING."""
        values: dict[str, set[str | None]] = {}
        for key in sorted({key for settings in self.params for key in settings}):
            if key not in (NETWORK, SEED, *NEVER) and not key.startswith(SEEDS):
                values[key] = {settings.get(key) for settings in self.params}
        several = [key for key, distinct in values.items() if len(distinct) > 1]
        return sorted(several, key=lambda key: -len(values[key]))[:VARYING]


def table(held: Held) -> dict[str, Any]:
    """The run table: one row a setting, its mean over seeds; best test accuracy first."""
    first, varies = held.score("test_top1"), held.varying()
    metrics = list(dict.fromkeys(name for name in _measured(held) if name))
    widths = {f"metrics.`{name}`": _width(name) for name in metrics}
    grouping = _grouping(held)
    # of a group MLflow would print the mean of its seeds
    settings = (*varies, NETWORK) if grouping["groupBy"] else (*varies, SEED, NETWORK)
    widths |= {f"params.`{name}`": max(90, _width(name)) for name in settings}
    columns = [*widths, "attributes.`Dataset`"]
    return {
        "selectedColumns": columns,
        "columnOrder": ["attributes.`Run Name`", *columns],
        "columnWidths": widths
        | {"attributes.`Run Name`": NAME_WIDTH, DATE: DATE_WIDTH, columns[-1]: 200},
        # sorted by a metric the table is flat; by time it hides runs under their folded parents
        "orderByKey": f"metrics.`{first}`",
        "orderByAsc": "mse" in first,
        "searchFilter": TRAINED,
        "runsHiddenMode": "SHOW_ALL",
        **grouping,
    }


def charts(held: Held) -> dict[str, Any]:
    """Accuracy against each cost, top-5 beside top-1, and parallel coordinates.

    Points are runs, in the colour of their architecture: how far seeds lie apart is seen. The
    charts that MLflow adds itself, one a metric, are folded.
    """
    scores = [held.score("test_top1")]
    if (fifth := held.score("test_top5")) in held.metrics:
        scores.append(fifth)
    costs = [held.axis(column.key) for column in axes() if column.rounded]
    costs = [cost for cost in costs if cost in held.metrics or not held.metrics]
    points = [
        _scatter(f"{cost}-{score}", _axis(cost), _axis(score)) for cost in costs for score in scores
    ]
    lines = _parallel(
        [NETWORK, *held.varying()[:3]],
        [name for name in (*costs, held.score("val_top1"), scores[0]) if name in held.metrics],
    )
    return _with_charts(table(held), points, "Accuracy against cost", lines)


def trials(held: Held) -> dict[str, Any]:
    """The trials of a search: score against each hyperparameter, and parallel coordinates."""
    score, varies = held.score("val_top1"), held.varying()
    points = [_scatter(key, _axis(key, "PARAM"), _axis(score)) for key in varies[:3]]
    lines = _parallel([NETWORK, *varies[:5]], [score])
    state = table(held) | {
        "orderByKey": f"metrics.`{score}`",
        "orderByAsc": "mse" in score,
        "searchFilter": "tags.level = 'trial'",
        "groupBy": None,
    }
    return _with_charts(state, points, "Score against hyperparameter", lines)


def folds(held: Held) -> dict[str, Any]:
    """The outer folds of nested runs: what the search saw against the test part."""
    names = ("inner_val_top1_percent", "inner_val_top1", "inner_val_mse")
    test = held.score("test_top1")
    inner = next((name for name in names if name in held.metrics), held.score("val_top1"))
    points = [_scatter(f"{inner}-{test}", _axis(inner), _axis(test))]
    lines = _parallel([NETWORK, *held.varying()[:5]], [inner, test])
    state = table(held) | {"searchFilter": "tags.level = 'outer_fold'", "groupBy": None}
    return _with_charts(state, points, "Inner score against test", lines)


def finals(held: Held) -> dict[str, Any]:
    """The networks that searches ended with: what their cards expect of them, and their cost."""
    names = [name for name in map(held.score, EXPECTED) if name in held.metrics]
    state = table(held)
    columns = [f"metrics.`{name}`" for name in names] + state["selectedColumns"]
    return state | {
        "selectedColumns": columns,
        "columnOrder": ["attributes.`Run Name`", *columns],
        "columnWidths": state["columnWidths"] | {f"metrics.`{n}`": _width(n) for n in names},
        "orderByKey": f"metrics.`{held.score(EXPECTED[0])}`",
        "searchFilter": f"tags.level = '{FINAL}'",
        "groupBy": None,
    }


def _measured(held: Held) -> Iterable[str]:
    """Metrics of the run table: the scores that there are, test before validation, and all costs
    that a reader compares by."""
    for column in filter(lambda column: column.rounded, COLUMNS):
        name = held.score(column.key)
        if column.kind != "accuracy":
            yield held.shown(column.key)
        elif column.key in ("test_top1", "test_top5") and (
            name in held.metrics or not held.metrics
        ):
            yield name
    if (validation := held.score("val_top1")) in held.metrics:
        yield validation


def _grouping(held: Held) -> dict[str, Any]:
    """Rows are means over what has one setting, folded; none where nothing is there twice."""
    settings = held.settings()
    distinct = list(dict.fromkeys(settings))
    if len(distinct) == len(settings):
        return {"groupBy": None}
    keys = [{"mode": "tag", "groupByData": SETTING}]
    return {
        "groupBy": {"aggregateFunction": "average", "groupByKeys": keys},
        "groupsExpanded": {f"tag.{SETTING}.{name}": False for name in distinct[:GROUPS]},
        "useGroupedValuesInCharts": False,
    }


def _with_charts(
    state: dict[str, Any], points: list[dict[str, Any]], title: str, lines: dict[str, Any]
) -> dict[str, Any]:
    sections = [
        _section("ilsvrc", title, columns=min(2, len(points))),
        _section("ilsvrc-parallel", "Parallel coordinates", columns=1),
        # where MLflow puts its own charts
        *(
            _section(f"ilsvrc-{name}", name) | {"display": False, "isGenerated": True}
            for name in ("Model metrics", "System metrics")
        ),
    ]
    drawn = {"compareRunCharts": [*points, lines], "compareRunSections": sections}
    return state | {"groupBy": None} | drawn


def _scatter(name: str, across: dict[str, str], up: dict[str, str]) -> dict[str, Any]:
    axes = {"xaxis": across, "yaxis": up, "runsCountToCompare": POINTS}
    return _card("SCATTER", f"ilsvrc-{name}", "ilsvrc") | axes


def _parallel(params: list[str], metrics: list[str]) -> dict[str, Any]:
    """Words are cut short on every axis but the first; the last one gives the lines colours."""
    return _card("PARALLEL", "ilsvrc-parallel", "ilsvrc-parallel") | {
        "selectedParams": params,
        "selectedMetrics": list(dict.fromkeys(metrics)),
        "showAllRuns": True,
        "runsCountToCompare": POINTS,
    }


def _card(kind: str, uuid: str, section: str) -> dict[str, Any]:
    fields = {"uuid": uuid, "type": kind, "metricSectionId": section}
    return fields | {"deleted": False, "isGenerated": False}


def _section(uuid: str, name: str, columns: int = 3) -> dict[str, Any]:
    fields = {"uuid": uuid, "name": name, "display": True, "columns": columns}
    return fields | {"isGenerated": False, "isReordered": False, "deleted": False}


def _axis(key: str, kind: str = "METRIC") -> dict[str, str]:
    return {"key": key, "type": kind}


def _width(name: str) -> int:
    return int(EDGE + LETTER * len(name))
