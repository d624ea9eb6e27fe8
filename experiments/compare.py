"""Compare the runs of experiments: fetch them, group them, write and log the result."""

from __future__ import annotations

import difflib
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.errors import BadInput
from experiments.grouping import Comparison, grouped
from experiments.table import render, write_csv
from experiments.track import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

__all__ = ["Comparison", "compare", "find_experiment", "log", "render", "run", "to_json", "write"]

PAGE = 1000  # runs fetched at a time


def run(uri: str, names: Sequence[str], out: Path | None, *, as_json: bool) -> None:
    """The command: print the table (or JSON), and with `out` write and log the files.

    Raises:
        BadInput: as `compare` and `write`, or the store does not answer.
    """
    client = connect(uri)
    comparison = compare(client, names)
    files = write(comparison, out) if out is not None else []
    if as_json:
        print(json.dumps(to_json(comparison), indent=1))
    else:
        from rich.console import Console

        Console().print(render(comparison))
    if files:
        print(f"Wrote {', '.join(str(file) for file in files)}", file=sys.stderr)
        _log_if_possible(client, comparison, files)


def compare(client: MlflowClient, experiment_names: Sequence[str]) -> Comparison:
    """Finished runs of these experiments, grouped by config without its seed.

    Raises:
        BadInput: an experiment is unknown, or nothing in them has finished.
    """
    names = list(dict.fromkeys(experiment_names))
    finished: list[tuple[str, Run]] = []
    left_out: Counter[str] = Counter()
    empty: list[str] = []
    for name in names:
        found = _runs(client, find_experiment(client, name))
        done = [(name, run) for run in found if run.info.status == "FINISHED"]
        left_out.update(run.info.status for run in found if run.info.status != "FINISHED")
        finished += done
        if not done:
            empty.append(f"{name}: no finished runs, so no rows")
    if not finished:
        raise BadInput(_nothing_finished(names, left_out))
    comparison = grouped(finished, names)
    return replace(
        comparison,
        left_out=dict(sorted(left_out.items())),
        warnings=empty + comparison.warnings,
    )


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain JSON types; the rows under `rows`."""
    return asdict(comparison)


def write(comparison: Comparison, out: str | Path) -> list[Path]:
    """Write table.csv, pareto.png and pareto.html into a folder, made if need be.

    Raises:
        BadInput: the folder cannot be written.
    """
    from experiments import pareto_html, plots

    out = Path(out)
    table, picture, page = out / "table.csv", out / "pareto.png", out / "pareto.html"
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_csv(comparison, table)
        plots.pareto(comparison, picture)
        page.write_text(pareto_html.page(comparison), encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"--out: cannot write {error.filename or out}: {error.strerror or error}; "
            "name a folder that you can write to"
        ) from None
    return [table, picture, page]


def log(client: MlflowClient, comparison: Comparison, files: Sequence[Path]) -> list[str]:
    """Store files under comparison/ of each experiment's newest sweep; the ids of those runs."""
    parents = []
    for name in comparison.experiments:
        sweeps = client.search_runs(
            [find_experiment(client, name)],
            "tags.level = 'sweep'",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
        parents += [run.info.run_id for run in sweeps]
    for parent in parents:
        for file in files:
            client.log_artifact(parent, str(file), "comparison")
    return parents


def _log_if_possible(client: MlflowClient, comparison: Comparison, files: list[Path]) -> None:
    """The files are written already: a store that takes no artifacts is worth a line, no more."""
    from mlflow.exceptions import MlflowException

    try:
        log(client, comparison, files)
    except (MlflowException, OSError) as error:
        first = str(error).splitlines()[0]
        print(f"Not logged as artifacts of the sweep: {first}", file=sys.stderr)


def find_experiment(client: MlflowClient, name: str) -> str:
    """The id of an experiment.

    Raises:
        BadInput: there is none of this name; the text has the nearest ones.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is not None and experiment.lifecycle_stage == "active":
        return str(experiment.experiment_id)
    known = [e.name for e in client.search_experiments() if e.name != "Default"]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:5]
    hint = (
        f"nearest: {', '.join(close)}"
        if close
        else "the store holds none; run a sweep or point tracking.uri at the store that holds it"
    )
    raise BadInput(f"No experiment named {name} in this store; {hint}")


def _runs(client: MlflowClient, experiment_id: str) -> list[Run]:
    found: list[Run] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], "tags.level = 'run'", max_results=PAGE, page_token=token
        )
        found += page
        token = page.token
        if not token:
            return found


def _nothing_finished(names: Sequence[str], left_out: Mapping[str, int]) -> str:
    what = ", ".join(f"{count} {status.lower()}" for status, count in sorted(left_out.items()))
    shown = ", ".join(names)
    if not what:
        return f"{shown}: no runs of sweep or train to compare; run: ilsvrc sweep CONFIG"
    if set(left_out) <= {"RUNNING", "SCHEDULED"}:
        return f"{shown}: no finished runs yet ({what}); wait for them: ilsvrc status {names[0]}"
    return (
        f"{shown}: no finished runs ({what}); the tag `error` of a failed run says why, and "
        "the same ilsvrc sweep CONFIG resumes"
    )
