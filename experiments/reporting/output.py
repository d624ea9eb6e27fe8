"""`ilsvrc compare`: tables and pictures, written and logged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.comparison.compare import compare, find_experiment
from experiments.comparison.grouping import Comparison
from experiments.comparison.plots import learning_curves, pictures
from experiments.comparison.plots.learning_curves import Curves
from experiments.comparison.table import render, write_csv, write_markdown
from experiments.errors import BadInput, first_line, kind_and_first_line
from experiments.presentation.console import print_json, say, wide_console
from experiments.tracking.store import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

FIRST = ("table.csv", "pareto.png", "pareto.html")


def run(
    uri: str,
    names: Sequence[str],
    out: Path | None,
    *,
    as_json: bool,
    level: str = "auto",
    where: Sequence[str] = (),
    sort: str | None = None,
    test: str = "auto",
    margin: float | None = None,
    bench: str | None = None,
    best_of: Sequence[str] = (),
) -> None:
    """The command: print the table (or JSON), and with `out` write and log the files.

    Raises:
        BadInput: as `compare` and `write`, or the store does not answer.
    """
    client = connect(uri)
    comparison = compare(
        client, names,
        level=level, where=where, sort=sort, test=test, margin=margin, bench=bench,
        best_of_keys=best_of,
    )  # fmt: skip
    files: list[Path] = []
    if out is not None:
        files = write(comparison, out, learning_curves.fetch(client, comparison))
    if as_json:
        print_json(to_json(comparison))
    else:
        console = wide_console()
        console.print(render(comparison, console.width))
    if files:
        first = [file for file in files if file.name in FIRST]
        more = len(files) - len(first)
        say(f"Wrote {', '.join(map(str, first))} and {more} more beside them")
        _log_if_possible(client, comparison, files)


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain JSON types; the rows under `rows`."""
    return asdict(comparison)


def write(
    comparison: Comparison, out: str | Path, curves: Mapping[str, Curves] | None = None
) -> list[Path]:
    """Write the tables and every picture that applies into a folder, made if need be.

    Args:
        curves: of each row's name, for the learning curves; as `learning_curves.fetch` gives them.

    Raises:
        BadInput: the folder cannot be written.
    """
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        tables = {
            "table.csv": write_csv,
            "table.md": write_markdown,
            "table.json": _write_json,
        }
        for name, writer in tables.items():
            writer(comparison, out / name)
        drawn = _pictures(comparison, out, curves or {})
    except OSError as error:
        raise BadInput(
            f"--out: cannot write {error.filename or out}: {error.strerror or error}; "
            "name a folder that you can write to"
        ) from None
    written = [*(out / name for name in tables), *drawn]
    return sorted(written, key=lambda file: file.name not in FIRST)


def _pictures(comparison: Comparison, out: Path, curves: Mapping[str, Curves]) -> list[Path]:
    try:
        return pictures.write(comparison, out, curves)
    except OSError:
        raise
    except Exception as error:  # the tables are written: pictures must not cost them
        say(f"the pictures could not be drawn: {kind_and_first_line(error)}")
        return []


def _write_json(comparison: Comparison, path: Path) -> None:
    path.write_text(json.dumps(to_json(comparison), indent=1) + "\n", encoding="utf-8")


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
        say(f"Not logged as artifacts of the sweep: {first_line(error)}")
