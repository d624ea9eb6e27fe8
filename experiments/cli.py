"""The command line. Heavy libraries are imported by the command that needs them."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.data_cli import data_app
from experiments.errors import BadInput, FailedWork, Stopped, ask_to_stop

app = typer.Typer(
    name="ilsvrc",
    help="Sweeps of the historical ILSVRC architectures on your images: accuracy against cost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ROOMS = ("models", "pipelines", "tuning", "experiments")

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY.PATH=VALUE]...", help="Changed settings.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@app.command()
def models(
    containing: Annotated[str, typer.Argument(metavar="[WORD]", help="Part of a name.")] = "",
    as_json: AsJson = False,
) -> None:
    """The architectures, their size and what their papers reported."""
    from experiments.zoo import rows, table

    listing = rows(containing)
    _print(listing) if as_json else _show(table(listing))


@app.command()
def describe(
    name: Annotated[str, typer.Argument(help="One of `ilsvrc models`.")],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="classes, input_shape, its options."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """An architecture layer by layer, and what is known of it."""
    from experiments import describe as command

    document = command.describe(name, changes or ())
    _print(document) if as_json else _show(*command.parts(document))


@app.command()
def train(
    config: ConfigFile, changes: Overrides = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Train one network, tracked; test it once at the end."""
    from experiments import settings

    checked = settings.load(config, changes or ())
    if dry_run:
        _dry_run(checked, 1, as_json)
        return
    from experiments import train as command

    result = command.train(checked, quiet=as_json)
    if as_json:
        _print(result)
    else:
        print(f"run {result['run_id']} {result['status']}")
    _fail_unless(result["status"] == "finished")


@app.command()
def sweep(
    config: ConfigFile, changes: Overrides = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Train every combination of the config's sweep axes; run again to continue."""
    from experiments import settings

    checked = settings.load(config, changes or ())
    from experiments import sweep as command

    command.check_axes(checked, str(config))
    if dry_run:
        cells = list(command.plan_cells(checked, str(config)))
        _dry_run(checked, len(cells), as_json, cells[0].plan)
        return
    result = command.sweep(checked, str(config))
    if as_json:
        _print(result)
    failed = [run for run in result["runs"] if run["status"] != "finished"]
    for run in failed:
        print(f"failed: run {run['run_id']}: {run.get('error')}", file=sys.stderr)
    _fail_unless(not failed)


@app.command()
def status(name: Annotated[str | None, typer.Argument()] = None, as_json: AsJson = False) -> None:
    """What is done, failed, running and left, with an estimate."""
    from experiments import status as command

    rows = command.status(name)
    if as_json:
        _print(rows)
        return
    for row in rows:
        left = row["seconds_left"]
        eta = f", about {left / 60:.1f} min to go" if left else ""
        print(
            f"{row['name']}: {row['runs']} runs, {row['done']} done, {row['failed']} failed, "
            f"{row['running']} running, {row['left']} left{eta}"
        )
    if not rows:
        print("nothing has run in this folder yet")


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(metavar="EXPERIMENT...")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for table.csv, pareto.png, pareto.html.")
    ] = None,
    uri: Annotated[str | None, typer.Option("--uri", help="Tracking store.")] = None,
    as_json: AsJson = False,
) -> None:
    """Top-1, top-5 and cost of every configuration, mean and spread over seeds."""
    from experiments import compare as command
    from experiments import track

    keys = [name for name in names if "=" in name]
    experiments = [name for name in names if "=" not in name]
    store = track.store_uri(uri or _tracking_uri(keys))
    command.run(store, experiments, out, as_json=as_json)


@app.command()
def ui(
    changes: Overrides = None,
    port: Annotated[int | None, typer.Option(help="Default: a free one.")] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    experiment: Annotated[str | None, typer.Option(help="Default: the newest.")] = None,
) -> None:
    """The MLflow UI on this store, on 127.0.0.1, with the link to the newest runs."""
    from experiments import track
    from experiments import ui as command

    store = track.store_uri(_tracking_uri(changes or []))
    sys.exit(command.serve(store, port=port, open_browser=open_browser, experiment=experiment))


bench_app = typer.Typer(help="Measure on this machine.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")


@bench_app.command()
def suite(
    quickstart: Annotated[
        bool, typer.Option("--quickstart", help="Time the quickstart sweep too (minutes).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What this tool itself costs: start-up, memory over a sweep."""
    from experiments import bench

    rows, peaks = bench.startup(), bench.memory()
    document: dict[str, Any] = {"rows": rows, "memory": peaks}
    if quickstart:
        document["quickstart"] = bench.quickstart()
    if as_json:
        _print(document)
        return
    print(bench.report(rows, peaks))
    if quickstart:
        timed = document["quickstart"]
        print(f"quickstart: {timed['runs']} runs in {timed['seconds']:.0f} s")


app.add_typer(data_app, name="data")


@bench_app.command()
def pipeline(changes: Overrides = None, as_json: AsJson = False) -> None:
    """The input pipeline beside the plain alternatives, interleaved: images a second."""
    from experiments import bench_pipeline, settings

    config = settings.parse(settings.override({}, changes or ()), where="bench pipeline")
    document = bench_pipeline.run(
        config.bench, config.data.threads, lambda line: print(line, file=sys.stderr, flush=True)
    )
    _print(document) if as_json else print(bench_pipeline.text(document))


def main() -> None:
    """Entry point: bad input is one line and exit 2, an interrupt exit 130."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _one_line_warnings()
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        app()
    except (BadInput, FailedWork) as error:
        _complain(error)
        sys.exit(2 if isinstance(error, BadInput) else 1)
    except Stopped:
        print("ilsvrc: stopped; run the same command to continue", file=sys.stderr)
        sys.exit(130)


def _complain(message: object) -> None:
    """One line, begun with the program's name once: messages on `ilsvrc:DIR` bring it along."""
    print(f"ilsvrc: {str(message).removeprefix('ilsvrc: ')}", file=sys.stderr)


def _one_line_warnings() -> None:
    """What the suite itself warns of is one line; other libraries' warnings stay as they are."""
    before = warnings.showwarning

    def show(message: Any, category: Any, filename: str, *rest: Any) -> None:
        if category is UserWarning and Path(filename).parent.name in ROOMS:
            _complain(message)
        else:
            before(message, category, filename, *rest)

    warnings.showwarning = show


def _stop(number: int, frame: Any) -> None:
    ask_to_stop()
    raise Stopped


def _fail_unless(fine: bool) -> None:
    if not fine:
        sys.exit(1)


def _tracking_uri(words: list[str]) -> str | None:
    """The value of tracking.uri=... among a command's words."""
    for word in words:
        key, equals, value = word.partition("=")
        if key != "tracking.uri" or not equals:
            raise BadInput(f"this command takes tracking.uri=... only. Received: {word}")
        return value
    return None


def _dry_run(config: Any, fits: int, as_json: bool, plan: Any = None) -> None:
    from experiments.plan import prepare
    from experiments.runs import to_yaml
    from experiments.train import dry_run, headline

    plan = plan or prepare(config)
    document = dry_run(plan, fits)
    if as_json:
        _print(document)
        return
    cost = document["cost"]
    print(to_yaml(plan.config))
    print(headline(plan))
    print(
        f"{cost['params']:,} params, {cost['macs']:,} MACs, "
        f"{cost['activation_bytes']:,} activation bytes an image"
    )
    print(f"{fits} fit{'s' if fits > 1 else ''}; nothing was trained (--dry-run)")


def _print(document: Any) -> None:
    print(json.dumps(document, indent=1))


def _show(*parts: Any) -> None:
    from rich.console import Console

    # A file or a pipe has no width; rich would take 80 and cut the longest table.
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = max(console.width, 120)
    for part in parts:
        console.print(part)
