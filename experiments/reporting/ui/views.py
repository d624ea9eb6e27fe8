"""MLflow's stored views: which there are, where they are kept, and their addresses.

MLflow's browser code reads a view from the experiment tag `mlflow.sharedViewState.KEY` when the
address ends in `?viewStateShareKey=KEY`; its own Share and Save buttons write the same. The tag
holds {name, createdAt, updatedAt, state}, and state is "deflate;" and the base64 of the zlib
stream of the page's JSON (MLflow 3.17; a tag takes 5,000 characters).
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.presentation.figure_style import OKABE_ITO
from experiments.reporting.ui import states
from experiments.reporting.ui.states import NETWORK, Held
from experiments.tracking.tracked_run import FINAL

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TAG = "mlflow.sharedViewState."
COLOUR = "mlflow.runColor"
COLOURS = (*OKABE_ITO, "#8A63BF", "#A6630C", "#1F272D", "#C83243", "#308613", "#8396A5")
LOOKED_AT = 300
"""Newest runs that are searched for settings that vary."""


class View(NamedTuple):
    """A view: its label where links are listed, its name on the page, and what it shows."""

    label: str
    name: str
    state: Callable[[Held], dict[str, Any]]
    level: str | None = None
    """Of the runs that it is about, which must be there; None: all that were trained."""
    is_chart: bool = False


TABLE, CHARTS, TRIALS, FOLDS = "ilsvrc", "ilsvrc-charts", "ilsvrc-trials", "ilsvrc-folds"
FINALS = "ilsvrc-final"
VIEWS = {
    TABLE: View("table", "Accuracy and cost: table", states.table),
    CHARTS: View("charts", "Accuracy and cost: charts", states.charts, is_chart=True),
    TRIALS: View("trials", "Trials of the search", states.trials, "trial", is_chart=True),
    FOLDS: View("outer folds", "Outer folds", states.folds, "outer_fold", is_chart=True),
    FINALS: View("final networks", "Final networks", states.finals, FINAL),
}


def write(client: MlflowClient, experiment_id: str) -> list[str]:
    """Write the views of what the experiment holds; their keys, none where the store refuses."""
    from mlflow.exceptions import MlflowException

    keys = []
    try:
        experiment = client.get_experiment(experiment_id)
        runs = client.search_runs([experiment_id], "tags.level LIKE '%'", max_results=LOOKED_AT)
        for key, view in VIEWS.items():
            about = [run for run in runs if _is_about(run, view)]
            if view.level and not about:
                continue
            metrics = {name for run in about for name in run.data.metrics}
            held = Held(metrics, [run.data.params for run in about])
            if key == TABLE:
                name_settings(client, about, held)
            state = view.state(held)
            # no clock: the same view is the same text, and is not written again
            text = packed(view.name, state, experiment.creation_time or 0)
            if experiment.tags.get(TAG + key) != text:
                client.set_experiment_tag(experiment_id, TAG + key, text)
            keys.append(key)
        paint(client, runs)
    except MlflowException:
        return []
    return keys


def name_settings(client: MlflowClient, runs: Sequence[Run], held: Held) -> None:
    """Tag runs with what the table groups them by."""
    for run, name in zip(runs, held.settings(), strict=True):
        if run.data.tags.get(states.SETTING) != name:
            client.set_tag(run.info.run_id, states.SETTING, name)


def paint(client: MlflowClient, runs: Sequence[Run]) -> None:
    """Give the runs of a network one colour, the networks' in the order of their first run."""
    trained = [run for run in reversed(runs) if NETWORK in run.data.params]
    networks = list(dict.fromkeys(run.data.params[NETWORK] for run in trained))
    for run in trained:
        colour = COLOURS[networks.index(run.data.params[NETWORK]) % len(COLOURS)]
        if run.data.tags.get(COLOUR) != colour:
            client.set_tag(run.info.run_id, COLOUR, colour)


def address(base_url: str, experiment_id: str, key: str | None) -> str:
    """The page of an experiment's runs, in the view of this key if one is named."""
    page = f"{base_url.rstrip('/')}/#/experiments/{experiment_id}/runs"
    if key is None:
        return page
    mode = "&compareRunsMode=CHART" if VIEWS[key].is_chart else ""
    return f"{page}?viewStateShareKey={key}{mode}"


def packed(name: str, state: Mapping[str, Any], made: int) -> str:
    """The text of a tag: `state` compressed, under the name that the page lists it by.

    Args:
        made: milliseconds since 1970.
    """
    stream = zlib.compress(json.dumps(state, separators=(",", ":")).encode(), 9)
    packed_state = "deflate;" + base64.b64encode(stream).decode()
    return json.dumps({"name": name, "createdAt": made, "updatedAt": made, "state": packed_state})


def _is_about(run: Run, view: View) -> bool:
    level = run.data.tags.get("level")
    if view.level:
        return bool(level == view.level)
    return "params" in run.data.metrics and level not in states.ASIDE
