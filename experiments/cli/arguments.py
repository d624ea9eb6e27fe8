"""Arguments that several commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from experiments.errors import BadInput

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="YAML file, or the name of a shipped config.")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY.PATH=VALUE]...", help="Changed settings.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
EveryKey = Annotated[
    bool, typer.Option("--all", help="With --dry-run: every setting, defaults too.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


class Command(TyperCommand):
    """A command that answers an option it does not know in one line, with the setting meant."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:  # of a click that typer brings along
            option = getattr(error, "option_name", None)
            if type(error).__name__ != "NoSuchOption" or option is None:
                raise
            from experiments.config.meant import setting_of_option

            raise BadInput(f"{ctx.info_name}: {setting_of_option(option)}") from None


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
