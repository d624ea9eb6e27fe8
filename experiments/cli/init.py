"""The command `ilsvrc init`; nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.arguments import AsJson
from experiments.presentation.console import answer


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to write; made if need be.")
    ] = Path("."),
    source: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Your images, such as folder:flowers.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=1, help="That all runs may take on this machine, about.")
    ] = 60,
    force: Annotated[
        bool, typer.Option("--force", help="Write over files that are there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """A commented config for your own images, which it looks at, and the shipped examples."""
    from experiments.inspection import init as command

    document = command.init(folder, source, minutes, force=force)
    answer(document, command.lines(document, minutes), as_json)
