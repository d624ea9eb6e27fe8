"""The commands `ilsvrc bench ...`. Nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.cli.arguments import AsJson, Command, Group, Overrides, fail_unless
from experiments.cli.examples import epilog
from experiments.cli.next_step import say_next
from experiments.errors import Stopped
from experiments.presentation.console import answer, say

bench_app = typer.Typer(
    cls=Group, help="Measure on this machine.", no_args_is_help=True, epilog=epilog("bench")
)


@bench_app.command(cls=Command, epilog=epilog("bench suite"))
def suite(
    quickstart: Annotated[
        bool, typer.Option("--quickstart", help="Time the quickstart sweep too (minutes).")
    ] = False,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Only a sweep with 1 and with 2 workers (minutes).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What this tool itself costs: start-up, memory over a sweep."""
    from experiments.bench import suite as command

    if scaling:
        document = command.scaling()
        _answer(document, command.scaling_report(document), as_json)
        return
    document = command.run(with_quickstart=quickstart)
    _answer(document, command.report(document), as_json)


@bench_app.command(cls=Command, epilog=epilog("bench pipeline"))
def pipeline(changes: Overrides = None, as_json: AsJson = False) -> None:
    """The input pipeline beside the plain alternatives, interleaved: images a second."""
    from experiments.bench import pipeline as command
    from experiments.config import settings

    config = settings.parse(settings.override({}, changes or ()), where="bench pipeline")
    document = command.run(config.bench, config.data.threads, say)
    _answer(document, command.text(document), as_json)


@bench_app.command(name="search", cls=Command, epilog=epilog("bench search"))
def bench_search(
    only: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PART]...", help="overhead, two_epochs, ten_epochs, memory; default: all."
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=2, help="Candidates, of three fits each.")] = 16,
    image_size: Annotated[int, typer.Option(min=16, help="Side of the digits, in pixels.")] = 16,
    as_json: AsJson = False,
) -> None:
    """A search beside its training steps alone, and beside KerasTuner: minutes."""
    from experiments.bench import search as command

    document = command.run(trials, only or (), say, image_size)
    _answer(document, command.text(document), as_json)


BenchOut = Annotated[Path, typer.Option(help="Folder of the CSV files.")]
BenchLog = Annotated[bool, typer.Option("--log", help="The rows also as runs, as bench.log=true.")]


@bench_app.command("train", cls=Command, epilog=epilog("bench train"))
def bench_train(
    changes: Overrides = None,
    out: BenchOut = Path("bench"),
    log: BenchLog = False,
    as_json: AsJson = False,
) -> None:
    """Updates of bench.names x bench.precisions x bench.batch_sizes: images a second, memory."""
    _bench("train", changes, out, log, as_json)


@bench_app.command("infer", cls=Command, epilog=epilog("bench infer"))
def bench_infer(
    changes: Overrides = None,
    out: BenchOut = Path("bench"),
    log: BenchLog = False,
    as_json: AsJson = False,
) -> None:
    """Forward passes of the same: images a second, latency at batch 1, memory."""
    _bench("infer", changes, out, log, as_json)


def _bench(mode: Any, changes: list[str] | None, out: Path, log: bool, as_json: bool) -> None:
    from experiments.bench import models, table
    from experiments.config import settings
    from experiments.tracking.experiment import Experiment

    raw = settings.override({"name": "bench"}, changes or ())
    config = settings.parse(raw, where=f"bench {mode}")
    experiment = None
    if log or config.bench.log:  # before hours of work, as a store that does not answer ends it
        experiment = Experiment(config.name, config.tracking)
    document = models.run(config, mode, say)
    files = table.write_csv(document["rows"], out, partial=bool(document["missing"]))
    document["files"] = [str(file) for file in files]
    try:
        if experiment:
            document["run_id"] = table.log(document, files, config, experiment)
    finally:
        answer(document, [table.text(document)], as_json)
    if "run_id" in document:
        step = ["ui", "--open", "--experiment", config.name]
        say_next(step, as_json=as_json, uri=config.tracking.uri)
    _end(document)


def _answer(document: dict[str, Any], text: str, as_json: bool) -> None:
    answer(document, [text], as_json)
    _end(document)


def _end(document: dict[str, Any]) -> None:
    """End as the bench did, once what it measured is written."""
    if document["status"] == "killed":
        raise Stopped("stopped; what was measured until then is above")
    fail_unless(document["status"] == "finished")
