"""Settings as people read them: in the name of a run, on a label, in a cell of a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def run_title(model: str, seed: int, axes: Mapping[str, Any]) -> str:
    """The name of a run: what its sweep varies, and the seed."""
    varied = [
        f"{key.rpartition('.')[2]}={_cut(in_words(value))}"
        for key, value in axes.items()
        if key not in ("model.name", "seed")
    ]
    return " ".join([model, *varied, f"seed {seed}"])


def _cut(text: str, length: int = 40) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def in_words(value: Any) -> str:
    """A setting for a label or a cell."""
    if _is_stages(value):
        return stages_in_words(value)
    if isinstance(value, dict):
        return " ".join(f"{key}={in_words(inner)}" for key, inner in value.items()) or "{}"
    return value if isinstance(value, str) else json.dumps(value)


def stages_in_words(value: list[dict[str, Any]]) -> str:
    """The stages of a run (`train.stages`) for a label: vgg_a:5+vgg_b:3, epochs after the colon;
    options and frozen layers are told apart, too."""
    words = []
    for stage in value:
        options = [f"{k}={in_words(v)}" for k, v in stage["model"].get("options", {}).items()]
        options += [f"freeze={in_words(stage['freeze'])}"] if stage.get("freeze") else []
        inside = f"({', '.join(options)})" if options else ""
        words.append(f"{stage['model']['name']}{inside}:{stage['epochs']}")
    return "+".join(words)


def _is_stages(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(x, dict) and {"model", "epochs"} <= set(x) for x in value)
    )


def wide_console() -> Console:
    """For tables. A file or a pipe has no width; rich would take 80 and cut the longest."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = max(console.width, 120)
    return console
