"""The text of a first config: settings in their sections, each below the reason for it."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from experiments.config import yaml_text
from experiments.inspection.proposal import Choice

WIDTH = 98
PLAIN = re.compile(r"[A-Za-z0-9_./~-][A-Za-z0-9_./:=~,*-]*")
SCHEMA = "schema.json"


def text(name: str, head: Iterable[str], settings: Mapping[str, Choice]) -> str:
    """The YAML text.

    Args:
        head: paragraphs of the comment at the top; those that begin with two spaces are kept as
            they are.
        settings: by dotted key; those of a section stand together.
    """
    lines = [f"# yaml-language-server: $schema={SCHEMA}"]
    for paragraph in head:
        lines += [f"# {paragraph}"] if paragraph.startswith("  ") else _comment(paragraph, "")
    lines.append(f"name: {flow(name)}")
    for section, items in groupby(settings.items(), key=lambda item: item[0].partition(".")[0]):
        lines += ["", *_section(section, list(items))]
    return "\n".join(lines) + "\n"


def _section(section: str, items: list[tuple[str, Choice]]) -> Iterator[str]:
    is_set = any(choice.is_set for _, choice in items)
    yield f"{section}:" if is_set else f"# {section}:"
    for key, choice in items:
        yield from _comment(choice.why, "  ")
        line = f"{key.removeprefix(f'{section}.')}: {flow(choice.value)}"
        yield f"  {line}" if choice.is_set else f"  # {line}"


def _comment(words: str, indent: str) -> list[str]:
    begin = f"{indent}# "
    return textwrap.wrap(
        words, WIDTH, initial_indent=begin, subsequent_indent=begin, break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip


def flow(value: Any) -> str:
    """A value on one line, read by `yaml_text.read` as it was."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    is_plain = PLAIN.fullmatch(value) and "," not in value and not value.endswith(":")
    if is_plain and yaml_text.read(value, "") == value:
        return value
    return json.dumps(value, ensure_ascii=False)
