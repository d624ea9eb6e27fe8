"""What the commands of `ilsvrc` have in common: arguments, and how they answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.errors import BadInput

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY.PATH=VALUE]...", help="Changed settings.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


def print_json(document: Any) -> None:
    """The answer of a command that was given --json."""
    print(json.dumps(document, indent=1))


def show(*parts: Any) -> None:
    """Tables and other things of rich, on a console as wide as they are."""
    from experiments.wording import wide_console

    console = wide_console()
    for part in parts:
        console.print(part)


def answer(document: Any, parts: Sequence[Any], as_json: bool) -> None:
    """The document as JSON, or its parts for people."""
    if as_json:
        print_json(document)
        return
    for part in parts:  # text is not wrapped: paths and digests are copied from it
        print(part) if isinstance(part, str) else show(part)


def say(line: str) -> None:
    """Progress, beside what a command answers on stdout."""
    print(line, file=sys.stderr, flush=True)


def complain(message: object) -> None:
    """One line, begun with the program's name once: messages on `ilsvrc:DIR` bring it along.

    A tracking URI that is quoted in it loses its password.
    """
    from experiments.track import shown

    print(f"ilsvrc: {shown(str(message)).removeprefix('ilsvrc: ')}", file=sys.stderr)


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
