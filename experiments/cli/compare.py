"""The commands `ilsvrc compare` and `report`; nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.arguments import AsJson, tracking_uri
from experiments.errors import BadInput

Level = Annotated[
    str,
    typer.Option(
        help="Kind of runs: run (of train and sweep), trial, outer_fold, ...; auto: run, and "
        "outer_fold where there are none."
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="Only runs with this param or tag; may be repeated."),
]
Sort = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Any column; a minus sign turns it around.")
]
Test = Annotated[
    str,
    typer.Option(
        help="Against the best row: auto (of settings, over seeds and images), paired (over seeds "
        "or folds alone), mcnemar (of the trained networks alone) or none."
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        metavar="POINTS",
        help="Say of each row whether it is worse, equivalent within so many points of accuracy, "
        "or undecided.",
    ),
]
Bench = Annotated[
    str | None,
    typer.Option(
        metavar="EXPERIMENT[,batch=N][,precision=P][,side=S]",
        help="Add what `ilsvrc bench --log` measured of the same architectures.",
    ),
]
BestOf = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY",
        help="Of runs that differ in this setting alone, the one that validation chose; may be "
        "repeated.",
    ),
]
Store = Annotated[str | None, typer.Option("--uri", help="Tracking store.")]
Experiments = Annotated[
    list[str] | None,
    typer.Argument(metavar="EXPERIMENT...", help="Names; without one the store's are listed."),
]


def compare(
    names: Experiments = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for table.csv, table.md, pareto.png, pareto.html and others."),
    ] = None,
    level: Level = "auto",
    where: Where = None,
    sort: Sort = None,
    test: Test = "auto",
    margin: Margin = None,
    bench: Bench = None,
    best_of: BestOf = None,
    uri: Store = None,
    as_json: AsJson = False,
) -> None:
    """Top-1, top-5 and cost of every configuration, mean and spread over seeds."""
    from experiments.reporting.output import run

    experiments, store = _experiments_and_store(names, uri)
    run(
        store, experiments, out,
        as_json=as_json, level=level, where=where or (), sort=sort, test=test, margin=margin,
        bench=bench, best_of=best_of or (),
    )  # fmt: skip


def report(
    names: Experiments = None,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    level: Level = "auto",
    where: Where = None,
    sort: Sort = None,
    test: Test = "auto",
    margin: Margin = None,
    bench: Bench = None,
    best_of: BestOf = None,
    uri: Store = None,
) -> None:
    """One page that opens offline: what was run on what, table, pictures, protocol, caveats."""
    from experiments.reporting import report as command

    experiments, store = _experiments_and_store(names, uri)
    command.run(
        store, experiments, out,
        level=level, where=where or (), sort=sort, test=test, margin=margin,
        bench=bench, best_of=best_of or (),
    )  # fmt: skip


def _experiments_and_store(words: list[str] | None, uri: str | None) -> tuple[list[str], str]:
    """Experiment names, and the store that --uri or tracking.uri=... names."""
    from experiments.tracking.store import store_uri

    words = words or []
    names = [word for word in words if "=" not in word]
    store = store_uri(uri or tracking_uri([word for word in words if "=" in word]))
    if not names:
        from experiments.tracking.store import experiment_names

        known = ", ".join(experiment_names(store)) or "none yet; ilsvrc sweep quickstart makes one"
        raise BadInput(f"name an experiment; the store has: {known}")
    return names, store
