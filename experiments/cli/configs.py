"""The commands `ilsvrc configs` and `schema`; nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.arguments import AsJson
from experiments.errors import BadInput
from experiments.presentation.console import print_json, show, tell


def configs(as_json: AsJson = False) -> None:
    """The configs that come along: what each is for, and the command that reads it by its name."""
    from experiments.inspection.configs import rows, table

    listing = rows()
    print_json(listing) if as_json else show(table(listing))


def schema(
    out: Annotated[Path | None, typer.Option(help="File; printed without it.")] = None,
) -> None:
    """The JSON schema of a config, with which editors complete and check its keys."""
    from experiments.inspection.configs import schema_text

    if out is None:
        tell(schema_text().rstrip())
        return
    try:
        out.write_text(schema_text(), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"--out: {out} cannot be written ({error.strerror})") from None
    tell(f"{out}: name it in the first line of a config: # yaml-language-server: $schema={out}")
