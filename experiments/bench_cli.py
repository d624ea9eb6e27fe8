"""The commands `ilsvrc bench ...`, hooked into `experiments.cli`; heavy imports are lazy."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

bench_app = typer.Typer(help="Measure on this machine.", no_args_is_help=True)

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY.PATH=VALUE]...", help="Changed settings.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@bench_app.command()
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
    from experiments import bench

    if scaling:
        found = bench.scaling()
        _print(found) if as_json else print(bench.scaling_report(found))
        return
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


@bench_app.command()
def pipeline(changes: Overrides = None, as_json: AsJson = False) -> None:
    """The input pipeline beside the plain alternatives, interleaved: images a second."""
    from experiments import bench_pipeline, settings

    config = settings.parse(settings.override({}, changes or ()), where="bench pipeline")
    document = bench_pipeline.run(config.bench, config.data.threads, _say)
    _print(document) if as_json else print(bench_pipeline.text(document))


@bench_app.command(name="search")
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
    from experiments import bench_search as command

    document = command.run(trials, only or (), _say, image_size)
    _print(document) if as_json else print(command.text(document))


BenchOut = Annotated[Path, typer.Option(help="Folder of the CSV files.")]
BenchLog = Annotated[bool, typer.Option("--log", help="The rows also as runs, as bench.log=true.")]


@bench_app.command("train")
def bench_train(
    changes: Overrides = None,
    out: BenchOut = Path("bench"),
    log: BenchLog = False,
    as_json: AsJson = False,
) -> None:
    """Updates of bench.names x bench.precisions x bench.batch_sizes: images a second, memory."""
    _bench("train", changes, out, log, as_json)


@bench_app.command("infer")
def bench_infer(
    changes: Overrides = None,
    out: BenchOut = Path("bench"),
    log: BenchLog = False,
    as_json: AsJson = False,
) -> None:
    """Forward passes of the same: images a second, latency at batch 1, memory."""
    _bench("infer", changes, out, log, as_json)


def _bench(mode: Any, changes: list[str] | None, out: Path, log: bool, as_json: bool) -> None:
    from experiments import bench_models, bench_table, settings

    raw = settings.override({"name": "bench"}, changes or ())
    config = settings.parse(raw, where=f"bench {mode}")
    document = bench_models.run(config, mode, _say)
    files = bench_table.write_csv(document["rows"], out)
    document["files"] = [str(file) for file in files]
    if log or config.bench.log:
        document["run_id"] = bench_table.log(document, files, config)
    _print(document) if as_json else print(bench_table.text(document))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print(document: Any) -> None:
    print(json.dumps(document, indent=1))
