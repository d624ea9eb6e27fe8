"""`ilsvrc configs` and `ilsvrc schema`: the configs that come along, and what a config may hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.config import settings
from experiments.config.meant import shipped
from experiments.config.schema import Config
from pipelines.files.text import read_lines

if TYPE_CHECKING:
    from rich.table import Table

SENTENCE = re.compile(r"(?<!et al)(?<!section \d)\. (?=[A-Z])|: (?=\d)")

OF_PAPERS = "papers/"


def rows() -> list[dict[str, str]]:
    """name, command (that reads it), about (its first sentence) and file of each shipped config."""
    return [
        {
            "name": name,
            "command": f"ilsvrc {_command(name, file)}",
            "about": _about(read_lines(file)),
            "file": str(file),
        }
        for name, file in shipped().items()
    ]


def table(listing: list[dict[str, str]]) -> Table:
    """The rows for people."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    shown.add_column("command", no_wrap=True)
    shown.add_column("about")
    papers = [row for row in listing if row["name"].startswith(OF_PAPERS)]
    for row in listing:
        if row not in papers:
            shown.add_row(row["command"], row["about"])
    if papers:
        shown.add_row()
        shown.add_row("As the papers trained", "data.source has to be given: the images")
    for row in papers:
        shown.add_row(row["command"], row["about"])
    return shown


def schema_text() -> str:
    """The JSON schema of a config, for editors that complete keys."""
    schema: dict[str, Any] = Config.model_json_schema()
    return json.dumps(schema, indent=1) + "\n"


def _command(name: str, file: Path) -> str:
    if name.startswith(OF_PAPERS):
        return f"train {name} data.source=..."
    config = settings.load(file)
    if config.evaluate.ensemble:
        return f"ensemble {name}"
    if config.search:
        return f"{'nested' if name == 'nested' else 'search'} {name}"
    return f"{'sweep' if config.sweep.axes else 'train'} {name}"


def _about(lines: list[str]) -> str:
    """The first sentence of the comment at the top, the line for editors apart."""
    words = []
    for line in lines:
        if line.startswith("# yaml-language-server"):
            continue
        if not line.startswith("# "):
            break
        words += line[2:].split()
    text = " ".join(words)
    return SENTENCE.split(text, maxsplit=1)[0].rstrip(".")
