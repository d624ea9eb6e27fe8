"""The commands `ilsvrc data ...`. Nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.arguments import AsJson, Command, Group
from experiments.cli.examples import epilog
from experiments.cli.next_step import say_next
from experiments.errors import BadInput
from experiments.presentation.console import answer

data_app = typer.Typer(
    cls=Group, help="Look at images, and prepare them.", no_args_is_help=True, epilog=epilog("data")
)

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="A source, such as folder:DIR.")]


@data_app.command(cls=Command, epilog=epilog("data check"))
def check(
    spec: Spec,
    csv: Annotated[Path | None, typer.Option("--csv", help="All findings, one a row.")] = None,
    tiny: Annotated[int, typer.Option(help="Report short sides below, in pixels.")] = 32,
    deep: Annotated[
        bool, typer.Option("--deep", help="Decode those too that have not changed since a check.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Undecodable, mislabelled, tiny and duplicate images; exit 1 when any does not decode."""
    from experiments.inspection import data

    document = data.check(spec, tiny=tiny, deep=deep, quiet=as_json)
    if csv is not None:
        data.write_csv(csv, document["findings"])
    answer(document, data.check_table(document), as_json)
    findings = [] if csv else [["data", "check", spec, "--csv", "findings.csv"]]
    following = [["data", "preview", spec], ["init", "--source", spec]]
    say_next(*findings if document["corrupt"] else following, as_json=as_json)
    if document["corrupt"]:
        raise typer.Exit(1)


@data_app.command(cls=Command, epilog=epilog("data stats"))
def stats(
    spec: Spec,
    limit: Annotated[int | None, typer.Option(help="At most so many images, evenly.")] = None,
    as_json: AsJson = False,
) -> None:
    """Mean, deviation and colour axes of the training part."""
    from experiments.inspection import data

    document = data.stats(spec, limit=limit)
    answer(document, data.stats_lines(document), as_json)


@data_app.command(cls=Command, epilog=epilog("data preview"))
def preview(
    what: Annotated[str, typer.Argument(metavar="CONFIG|SPEC", help="A YAML file or a source.")],
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY.PATH=VALUE]...", help="Changed settings.")
    ] = None,
    out: Annotated[Path, typer.Option(help="PNG file.")] = Path("preview.png"),
    images: Annotated[int, typer.Option(min=1, max=50, help="Rows.")] = 6,
    draws: Annotated[int, typer.Option(min=1, max=50, help="Augmented samples of each.")] = 5,
    as_json: AsJson = False,
) -> None:
    """What the network sees: a labelled grid of originals and augmented samples."""
    if out.suffix.lower() != ".png":
        raise BadInput(f"--out: expected a .png file, received {out}")
    from experiments.runtime.startup import load_tensorflow

    load_tensorflow()
    from experiments.inspection import preview as command

    document = command.preview(what, changes or (), out, images=images, draws=draws)
    answer(document, [f"{document['out']}: {document['recipe']}"], as_json)
    step = ["init", "--source", what]
    if command.is_config(what):
        from experiments.config import settings

        verb = "sweep" if settings.load(what, changes or ()).sweep.axes else "train"
        step = [verb, what, *(changes or ())]
    say_next(step, as_json=as_json)


@data_app.command(cls=Command, epilog=epilog("data prepare"))
def prepare(
    spec: Spec,
    out: Annotated[Path, typer.Option(help="A new folder, or the one of a stopped run.")],
    size: Annotated[int, typer.Option(min=0, help="Short side in pixels; 0: as it is.")] = 480,
    encoding: Annotated[str, typer.Option("--format", help="jpeg, or raw uint8.")] = "jpeg",
    quality: Annotated[int, typer.Option(help="Of the JPEG, 1 to 100.")] = 95,
    channels: Annotated[int | None, typer.Option(help="1 or 3; default: the source's.")] = None,
    images_per_shard: Annotated[int, typer.Option(help="What a stop costs at most.")] = 2048,
    as_json: AsJson = False,
) -> None:
    """Resize once, into checksummed shards that open as prepared:OUT; run again to go on."""
    from experiments.inspection import data

    document = data.prepare(
        spec,
        out,
        size=size or None,
        encoding=encoding,
        quality=quality,
        images_per_shard=images_per_shard,
        channels=channels,
        quiet=as_json,
    )
    line = (
        f"{document['spec']}: {document['images']} images, {document['shards']} shards, "
        f"{document['bytes'] / 1e6:,.1f} MB"
    )
    answer(document, [line], as_json)
    say_next(
        ["data", "preview", document["spec"]], ["init", "--source", document["spec"]],
        as_json=as_json,
    )  # fmt: skip
