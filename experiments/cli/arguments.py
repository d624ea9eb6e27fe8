"""Arguments that several commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments.errors import BadInput

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY.PATH=VALUE]...", help="Changed settings.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


def fail_unless(fine: bool) -> None:
    """End with exit code 1 where work failed."""
    if not fine:
        sys.exit(1)


def tracking_uri(words: list[str]) -> str | None:
    """The value of tracking.uri=... among a command's words."""
    for word in words:
        key, equals, value = word.partition("=")
        if key != "tracking.uri" or not equals:
            raise BadInput(f"this command takes tracking.uri=... only. Received: {word}")
        return value
    return None
