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
    return only(words, "tracking.uri").get("tracking.uri")


def only(words: list[str], *keys: str) -> dict[str, str]:
    """The settings of a command that takes these keys and no other. Raises BadInput."""
    given = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in keys or not equals:
            known = " and ".join(f"{key}=..." for key in keys)
            raise BadInput(f"this command takes {known} only. Received: {word}")
        given[key] = value
    return given
