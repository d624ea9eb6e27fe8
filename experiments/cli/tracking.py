"""The commands `ilsvrc status`, `upload` and `ui`; nothing heavy is imported here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.arguments import AsJson, Overrides, tracking_uri
from experiments.cli.next_step import say_next
from experiments.presentation.console import print_json, say, tell


def status(name: Annotated[str | None, typer.Argument()] = None, as_json: AsJson = False) -> None:
    """What is done, failed, running, left and undecided, with an estimate."""
    from experiments.jobs.pace import duration
    from experiments.presentation.settled import with_seeds_more
    from experiments.tracking import status as command

    rows = command.status(name)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        left = row["seconds_left"]
        eta = f", about {duration(left)} to go" if left else ""
        tell(
            f"{row['name']}: {row['runs']} runs, {row['done']} done, {row['failed']} failed, "
            f"{row['running']} running, {row['left']} left{eta}"
        )
        for run in row["under_way"]:
            at = f"epoch {run['epoch']}/{run['epochs']}"
            tell(f"  {run['run']}: {run['fraction']:.0%}, {at} ended")
        if row["undecided"]:
            rows_left = ", ".join(map(with_seeds_more, row["undecided"]))
            tell(f"  undecided against {row['undecided'][0]['against']}: {rows_left}")
    if not rows:
        tell("nothing has run in this folder yet")
        say_next(["sweep", "quickstart"], as_json=as_json)


def upload(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Experiment, as in its config.")],
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[tracking.uri=URI]", help="Where to send it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send to the tracking server what it missed, or all of it to another, from the journals."""
    from experiments.tracking import upload as command

    document = command.upload(name, tracking_uri(changes or []), say)
    print_json(document) if as_json else tell(command.text(document))
    say_next(["compare", name], as_json=as_json, uri=tracking_uri(changes or []))


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
    from experiments.reporting.ui import serve as command
    from experiments.tracking.store import store_uri

    store = store_uri(tracking_uri(changes or []))
    if pictures is not None:
        from experiments.reporting.ui.pictures import draw

        tell("\n".join(map(str, draw(store, pictures, experiment))))
        return
    sys.exit(command.serve(store, port=port, open_browser=open_browser, experiment=experiment))
