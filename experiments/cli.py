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

from experiments.bench_cli import bench_app
from experiments.data_cli import data_app
from experiments.errors import BadInput, FailedWork, Stopped, ask_to_stop
from experiments.evaluate_cli import evaluate, predict

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
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Start apart from an earlier search of this name.")
]
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
def ensemble(
    config: ConfigFile, changes: Overrides = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Average several networks' probabilities, against the best of them; run again to continue."""
    from experiments import settings

    checked = settings.load(config, changes or ())
    from experiments import ensemble as command

    if dry_run:
        cells = command.plan_team(checked, str(config)).cells
        _dry_run(checked, len(cells), as_json, cells[0].plan)
        return
    result = command.ensemble(checked, str(config))
    failed = [member for member in result["members"] if member["status"] != "finished"]
    if as_json:
        _print(result)
    elif not failed:
        _show(command.render(result))
    for member in failed:
        print(f"failed: {member['name']}: {member.get('error')}", file=sys.stderr)
    _fail_unless(not failed)


@app.command()
def search(
    config: ConfigFile,
    changes: Overrides = None,
    fresh: Fresh = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Choose settings on validation folds; run again to continue."""
    _search("search", config, changes, fresh, dry_run, as_json)


@app.command()
def nested(
    config: ConfigFile,
    changes: Overrides = None,
    fresh: Fresh = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Nested cross-validation: a search in every outer fold, its winner tested once."""
    _search("nested", config, changes, fresh, dry_run, as_json)


def _search(
    kind: str, path: Path, changes: list[str] | None, fresh: bool, dry_run: bool, as_json: bool
) -> None:
    from experiments import search as command
    from experiments import search_report, settings

    checked = settings.load(path, changes or ())
    if dry_run:
        document = command.dry_run(kind, checked, str(path))
        _print(document) if as_json else print(search_report.dry_text(document))
        return
    result = command.run(kind, checked, str(path), fresh=fresh)
    _print(result) if as_json else print(search_report.text(result))
    if "error" in result:
        _complain(result["error"])
    _fail_unless(result["status"] == "finished")


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
def upload(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Experiment, as in its config.")],
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[tracking.uri=URI]", help="Where to send it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send to the tracking server what it missed, or all of it to another, from the journals."""
    from experiments import upload as command

    document = command.upload(
        name, _tracking_uri(changes or []), lambda line: print(line, file=sys.stderr)
    )
    _print(document) if as_json else print(command.text(document))


Level = Annotated[
    str, typer.Option(help="Kind of runs: run (of train and sweep), trial, outer_fold, ...")
]
Where = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="Only runs with this param or tag; may be repeated."),
]
Sort = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Any column; a minus sign turns it around.")
]
Test = Annotated[str, typer.Option(help="Against the best row: auto, paired, mcnemar or none.")]
Bench = Annotated[
    str | None,
    typer.Option(
        metavar="EXPERIMENT[,batch=N][,precision=P][,side=S]",
        help="Add what `ilsvrc bench --log` measured of the same architectures.",
    ),
]
Store = Annotated[str | None, typer.Option("--uri", help="Tracking store.")]
Experiments = Annotated[list[str], typer.Argument(metavar="EXPERIMENT...")]


@app.command()
def compare(
    names: Experiments,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for table.csv, table.md, pareto.png, pareto.html and others."),
    ] = None,
    level: Level = "run",
    where: Where = None,
    sort: Sort = None,
    test: Test = "auto",
    bench: Bench = None,
    uri: Store = None,
    as_json: AsJson = False,
) -> None:
    """Top-1, top-5 and cost of every configuration, mean and spread over seeds."""
    from experiments import compare as command

    experiments, store = _experiments_and_store(names, uri)
    command.run(
        store, experiments, out,
        as_json=as_json, level=level, where=where or (), sort=sort, test=test, bench=bench,
    )  # fmt: skip


@app.command()
def report(
    names: Experiments,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    level: Level = "run",
    where: Where = None,
    sort: Sort = None,
    test: Test = "auto",
    bench: Bench = None,
    uri: Store = None,
) -> None:
    """One page that opens offline: what was run on what, table, pictures, protocol, caveats."""
    from experiments import report as command

    experiments, store = _experiments_and_store(names, uri)
    command.run(
        store, experiments, out,
        level=level, where=where or (), sort=sort, test=test, bench=bench,
    )  # fmt: skip


@app.command()
def ui(
    changes: Overrides = None,
    port: Annotated[int | None, typer.Option(help="Default: a free one.")] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    experiment: Annotated[str | None, typer.Option(help="Default: the newest.")] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write PNGs of both views and of the report, and end."),
    ] = None,
) -> None:
    """The MLflow UI on this store, on 127.0.0.1, with links to the newest runs and their charts."""
    from experiments import track
    from experiments import ui as command

    store = track.store_uri(_tracking_uri(changes or []))
    if pictures is not None:
        from experiments.ui_pictures import draw

        print(*draw(store, pictures, experiment), sep="\n")
        return
    sys.exit(command.serve(store, port=port, open_browser=open_browser, experiment=experiment))


@app.command()
def export(
    network: Annotated[str, typer.Argument(metavar="RUN_OR_FILE", help="Run id or .keras file.")],
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[tracking.uri=URI]", help="Store of the run.")
    ] = None,
    kind: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="savedmodel, onnx or litert.")
    ] = "savedmodel",
    out: Annotated[Path | None, typer.Option(help="File; folder for savedmodel.")] = None,
    as_json: AsJson = False,
) -> None:
    """A trained network for other runtimes, checked against the original on the same images.

    savedmodel: a folder for TensorFlow. onnx: FILE.onnx, needs pip install 'ilsvrc-suite[export]'.
    litert: FILE.tflite, float32. Pixels 0..255 to logits, any batch size. Not supported: onnx and
    litert of mixed precision, dropout at inference, quantisation, other backends than TensorFlow.
    """
    from experiments import export as command
    from experiments import track

    store = track.store_uri(_tracking_uri(changes or []))
    done = command.export(network, kind, out, store)
    _print(done) if as_json else print(command.text(done))


@app.command()
def reproduce(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID")],
    changes: Overrides = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Even if the data have changed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a run again and say which metrics are identical, and how far the others are.

    Takes tracking.uri=..., data.source=... (the same data elsewhere) and launch.*=...
    """
    from experiments import reproduce as command

    document = command.reproduce(run_id, changes or (), anyway=anyway, quiet=as_json)
    _print(document) if as_json else print(command.text(document))
    _fail_unless(document["status"] == "finished")


@app.command()
def register(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the registered model.")],
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[tracking.uri=URI]", help="Store of the run.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """A run's network as a version of NAME in MLflow's model registry, pixels to logits.

    NAME-served is the same with everything around it, pictures to labels and probabilities, for
    `mlflow models serve`. Prints how each is used.
    """
    from experiments import registered_model as command
    from experiments import track

    document = command.register(run_id, name, track.store_uri(_tracking_uri(changes or [])))
    _print(document) if as_json else print(command.text(document))


app.command()(evaluate)
app.command()(predict)


app.add_typer(bench_app, name="bench")
app.add_typer(data_app, name="data")


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
    """One line, begun with the program's name once: messages on `ilsvrc:DIR` bring it along.

    A tracking URI that is quoted in it loses its password.
    """
    from experiments.track import shown

    print(f"ilsvrc: {shown(str(message)).removeprefix('ilsvrc: ')}", file=sys.stderr)


def _one_line_warnings() -> None:
    """What the suite itself warns of is one line; other libraries' warnings stay as they are."""
    before = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        if category is UserWarning and Path(filename).parent.name in ROOMS:
            _complain(message)
        else:
            before(message, category, filename, lineno, file, line)

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


def _experiments_and_store(words: list[str], uri: str | None) -> tuple[list[str], str]:
    """Experiment names, and the store that --uri or tracking.uri=... names."""
    from experiments import track

    names = [word for word in words if "=" not in word]
    if not names:
        raise BadInput("name an experiment; the store's are listed by: ilsvrc ui")
    return names, track.store_uri(uri or _tracking_uri([word for word in words if "=" in word]))


def _dry_run(config: Any, fits: int, as_json: bool, plan: Any = None) -> None:
    from experiments.plan import prepare
    from experiments.runs import to_yaml
    from experiments.train import dry_run, headline

    plan = plan or prepare(config)
    document = dry_run(plan, fits)
    if as_json:
        _print(document)
        return
    cost, update = document["cost"], document["update"]
    print(to_yaml(plan.config))
    print(headline(plan))
    print(
        f"{cost['params']:,} params, {cost['macs']:,} MACs, "
        f"{cost['activation_bytes']:,} activation bytes an image"
    )
    print(
        f"{update['images']} images an update, parts: {update['parts']}; learning rate before its "
        f"schedule: {update['learning_rate']:g} (scaling: {update['scaling']})"
    )
    print(f"{fits} fit{'s' if fits > 1 else ''}; nothing was trained (--dry-run)")


def _print(document: Any) -> None:
    print(json.dumps(document, indent=1))


def _show(*parts: Any) -> None:
    from experiments.wording import wide_console

    console = wide_console()
    for part in parts:
        console.print(part)
