"""What a sweep's own run shows in MLflow: results as a table, and our charts and report as files.

MLflow draws no error bars and no front; the two files do, and open on the run's page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.comparison.compare import compare
from experiments.comparison.plots import learning_curves, pareto_html
from experiments.comparison.table import markdown
from experiments.errors import kind_and_first_line
from experiments.presentation.console import say
from experiments.reporting.facts import gather
from experiments.reporting.page import report_page
from experiments.tracking.tracked_run import NOTE

if TYPE_CHECKING:
    from mlflow import MlflowClient

LONGEST = 4500  # characters of a note; a tag takes 5,000
REPORT, CHARTS = "report.html", "pareto.html"


def attach(client: MlflowClient, name: str, run_id: str) -> bool:
    """Write an experiment's table, charts and report to a run; False, and a line, if they cannot.

    All runs of the experiment are in them, those of earlier sweeps too.
    """
    try:
        comparison = compare(client, [name], test="auto")
        facts, curves = gather(client, comparison), learning_curves.fetch(client, comparison)
        client.log_text(run_id, pareto_html.page(comparison), CHARTS)
        client.log_text(run_id, report_page(comparison, facts, curves), REPORT)
        experiment_id = client.get_run(run_id).info.experiment_id
        links = [
            f"[{word}]({address('', experiment_id, run_id, file)})"
            for word, file in (("Report", REPORT), ("Charts with error bars", CHARTS))
        ]
        client.set_tag(run_id, NOTE, _cut(f"{' · '.join(links)}\n\n{markdown(comparison)}"))
    except Exception as error:  # the runs are written: their presentation must not cost them
        say(f"the sweep's page in MLflow has no report: {kind_and_first_line(error)}")
        return False
    return True


def newest(client: MlflowClient, experiment_id: str) -> str | None:
    """The newest sweep of an experiment, with its report, which an older one is given now."""
    runs = client.search_runs(
        [experiment_id],
        "tags.level = 'sweep'",
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    if not runs:
        return None
    run_id = str(runs[0].info.run_id)
    if NOTE not in runs[0].data.tags:
        name = str(client.get_experiment(experiment_id).name)
        return run_id if attach(client, name, run_id) else None
    return run_id


def address(base_url: str, experiment_id: str, run_id: str, file: str = REPORT) -> str:
    """Where MLflow shows a file of a run; relative to its pages without a base."""
    return f"{base_url.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}/artifacts/{file}"


def _cut(text: str) -> str:
    """As many lines as a note takes."""
    if len(text) <= LONGEST:
        return text
    lines = text[:LONGEST].splitlines()[:-1]
    return "\n".join([*lines, "", f"More in {REPORT}."])
