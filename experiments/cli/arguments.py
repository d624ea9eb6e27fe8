"""Arguments that several commands share."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

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
Rate = Annotated[
    float | None,
    typer.Option(
        "--images-per-second",
        min=1e-3,
        help="With --dry-run: training images a second, for the hours that all takes.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@contextlib.contextmanager
def _one_line(ctx: Any) -> Iterator[None]:
    """What the command line itself refuses, in one line that says what would be taken."""
    try:
        yield
    except Exception as error:  # of a click that typer brings along
        if not hasattr(error, "format_message") or type(error).__name__ == "NoArgsIsHelpError":
            raise
        name = ctx.command_path.removeprefix(ctx.find_root().command_path).strip()
        option = getattr(error, "option_name", None)
        settings = any("KEY.PATH=VALUE" in (it.metavar or "") for it in ctx.command.params)
        if type(error).__name__ == "NoSuchOption" and option and settings:
            from experiments.config.meant import setting_of_option

            message = setting_of_option(option)
        else:
            message = error.format_message().rstrip(".")
            message = message[0].lower() + message[1:]
            if not message.endswith("?"):
                message += f"; see {' '.join(['ilsvrc', name]).strip()} --help"
        raise BadInput(f"{name}: {message}" if name else message) from None


class Command(TyperCommand):
    """A command that answers words it does not take in one line, with the setting meant."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _one_line(ctx):
            return super().parse_args(ctx, args)


class Group(TyperGroup):
    """Commands below a word, which answers what is none of them in one line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _one_line(ctx):
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        with _one_line(ctx):
            return super().resolve_command(ctx, args)


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
