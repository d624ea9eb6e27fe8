"""The commands `ilsvrc models` and `describe`; nothing heavy is imported here."""

from __future__ import annotations

from typing import Annotated

import typer

from experiments.cli.arguments import AsJson
from experiments.presentation.console import print_json, show


def models(
    containing: Annotated[str, typer.Argument(metavar="[WORD]", help="Part of a name.")] = "",
    as_json: AsJson = False,
) -> None:
    """The architectures, their size and what their papers reported."""
    from experiments.inspection.zoo import rows, table

    listing = rows(containing)
    print_json(listing) if as_json else show(table(listing))


def describe(
    name: Annotated[str, typer.Argument(help="One of `ilsvrc models`.")],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="classes, input_shape, its options."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """An architecture layer by layer, and what is known of it."""
    from experiments.inspection import describe as command

    document = command.describe(name, changes or ())
    print_json(document) if as_json else show(*command.parts(document))
