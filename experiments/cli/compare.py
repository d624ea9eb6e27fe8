"""The commands `ilsvrc compare`, `plan` and `report`; nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.arguments import AsJson, tracking_uri
from experiments.cli.next_step import say_next
from experiments.errors import BadInput
from experiments.presentation.console import print_json, say, tell

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
    typer.Argument(
        metavar="EXPERIMENT...", help="Names, or run ids; without one the names are listed."
    ),
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
    options = _options(level, where, sort, test, bench, best_of)
    say_next(["report", *experiments, *options], as_json=as_json, uri=_named(store))


def plan(
    name: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="An experiment; before any run --seed-sd instead."),
    ] = None,
    detect: Annotated[
        float,
        typer.Option(metavar="POINTS", help="The difference in top-1 that is to be settled."),
    ] = 0.5,
    power: Annotated[float, typer.Option(help="Probability of finding it.")] = 0.8,
    alpha: Annotated[float, typer.Option(help="Level of the test, shared by all pairs.")] = 0.05,
    seed_sd: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            help="Standard deviation of top-1 from seed to seed, in place of the measured one.",
        ),
    ] = None,
    images: Annotated[
        int | None, typer.Option(metavar="N", help="Test images, in place of those there are.")
    ] = None,
    top1: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT",
            help="Expected accuracy; says on how many images two networks differ where no "
            "predictions do. Default: the runs', or 90.",
        ),
    ] = None,
    components: Annotated[
        bool,
        typer.Option(
            "--components",
            help="Variance from each seed, of a sweep over seeds.weights and others.",
        ),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for plan.png, the power curves.")] = None,
    uri: Store = None,
    as_json: AsJson = False,
) -> None:
    """How many seeds and test images would settle a difference, and what those there are can."""
    from experiments.comparison.planning import plan as command
    from experiments.comparison.planning.words import text

    wanted = command.question(detect, power, alpha, seed_sd, images, top1)
    names, store = _names_and_store(name, uri)
    if len(names) > 1:
        raise BadInput(f"plan: name one experiment. Received: {' '.join(names)}")
    client = None
    if names:
        from experiments.tracking.store import connect

        client = connect(store)
    document = command.plan(client, names[0] if names else None, wanted, components)
    print_json(document) if as_json else tell(text(document))
    if out is not None:
        from experiments.comparison.plots import power_curves

        say(f"Wrote {power_curves.write(document, out)}")


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
    from experiments.tracking.tracked_run import RUN_ID

    experiments, store = _experiments_and_store(names, uri)
    command.run(
        store, experiments, out,
        level=level, where=where or (), sort=sort, test=test, margin=margin,
        bench=bench, best_of=best_of or (),
    )  # fmt: skip
    named = [] if RUN_ID.fullmatch(experiments[0]) else ["--experiment", experiments[0]]
    say_next(["ui", "--open", *named], as_json=False, uri=_named(store))


def _names_and_store(words: list[str] | None, uri: str | None) -> tuple[list[str], str]:
    """Experiment names, and the store that --uri or tracking.uri=... names."""
    from experiments.tracking.store import store_uri

    words = words or []
    names = [word for word in words if "=" not in word]
    return names, store_uri(uri or tracking_uri([word for word in words if "=" in word]))


def _experiments_and_store(words: list[str] | None, uri: str | None) -> tuple[list[str], str]:
    """The same, of at least one experiment."""
    names, store = _names_and_store(words, uri)
    if not names:
        from experiments.tracking.store import experiment_names

        known = ", ".join(experiment_names(store)) or "none yet; ilsvrc sweep quickstart makes one"
        raise BadInput(f"name an experiment; the store has: {known}")
    return names, store


def _named(store: str) -> str | None:
    """What a next command must be told of the store; None of the one that it takes by itself."""
    from experiments.tracking.store import store_uri

    return None if store == store_uri(None) else store


def _options(
    level: str,
    where: list[str] | None,
    sort: str | None,
    test: str,
    bench: str | None,
    best_of: list[str] | None,
) -> list[str]:
    """The options that were given, as words of the command line; the defaults left out."""
    words = [word for each in where or () for word in ("--where", each)]
    words += [word for each in best_of or () for word in ("--best-of", each)]
    for name, value, default in (
        ("level", level, "auto"), ("sort", sort, None), ("test", test, "auto"),
        ("bench", bench, None),
    ):  # fmt: skip
        words += [] if value == default or value is None else [f"--{name}", value]
    return words
