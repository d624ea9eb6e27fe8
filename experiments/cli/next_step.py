"""The line with which a command ends: what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.errors import shown
from experiments.presentation.console import say
from experiments.presentation.formatting import short_id

if TYPE_CHECKING:
    from experiments.config.schema import Config

REPEAT = "the same command tries those that failed once more"
REFIT = "a refit trains the best on the whole learning set, and tests it once"


def say_next(
    *commands: Sequence[object], as_json: bool, uri: str | None = None, note: str = ""
) -> None:
    """`next: ilsvrc ...` on stderr, as it can be typed; nothing beside --json, or without a command
    and a note.

    Args:
        commands: words behind `ilsvrc` of each command, the most useful first.
        uri: the store that the command was given, which the next ones must be given too; its
            password is left out.
        note: a remark behind the commands, or in their place.
    """
    store = [f"tracking.uri={shown(uri)}"] if uri else []
    lines = []
    for command in commands:
        words = [shown(str(word)) for word in command]
        named = any(word.startswith("tracking.uri=") for word in words)
        lines.append(shlex.join(["ilsvrc", *words, *(() if named else store)]))
    text = "; ".join(filter(None, [", or ".join(lines), note]))
    if text and not as_json:
        say(f"next: {text}")


def of_run(config: Config, run_id: str) -> list[list[str]]:
    """What is worth doing with a run that was trained: score it, and look at it."""
    import models

    reconstructs = models.card(config.model.name).task == "reconstruction"
    if reconstructs or config.tracking.save_model == "none":
        return [["compare", config.name], ["ui", "--open"]]
    return [["evaluate", short_id(run_id)], ["ui", "--open"]]


def of_search(
    kind: str, config: Config, result: Mapping[str, Any], again: Sequence[str]
) -> list[list[str]]:
    """What is worth doing with a search that has ended.

    Args:
        again: the words of the command itself.
    """
    if (final := result.get("final")) and final["card"]:
        return [["register", short_id(final["run_id"]), config.name]]
    if kind == "nested":
        return [["compare", config.name, "--level", "outer_fold"]]
    refit = result["refit"]
    if refit and refit["status"] == "finished":
        return of_run(config, refit["run_id"])
    trials = ["compare", config.name, "--level", "trial"]
    plateau = config.train.schedule.name == "plateau"  # waits for images that a refit has not
    return [trials] if plateau or refit else [[*again, "search.refit=true"], trials]
