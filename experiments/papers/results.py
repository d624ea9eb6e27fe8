"""The page of all tables that were run in a folder, from the journals alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.errors import BadInput
from experiments.jobs.job import ROOT
from experiments.jobs.pace import duration
from experiments.papers import text
from experiments.papers.run import TABLES
from experiments.tracking.journal import Journal

HEAD = """# Tables of the papers, as they came out here

Written by `ilsvrc paper --results`; not by hand. Each table says on what images, at which scale
(the rule is in experiments/papers/README.md) and with how many seeds it was run. *published* is the
paper's figure, with * where it was not read again in the paper. The verdict is `same order` where a
figure stands to all others of its kind as in the paper, `other order` where it does not, `?` where
chance may have ordered it, which with one seed is that of the images alone. Kendall's tau is 1
where all pairs are in the paper's order, -1 where none is; its interval counts undecided pairs both
ways.
"""


def found(root: Path = ROOT) -> list[dict[str, Any]]:
    """What each command came to, by paper, scale, data and settings, in the order of names; not of
    cells that are in a later one of as many seeds, or in one of more."""
    entries = []
    for directory in sorted(root.glob("paper-*/sweep-*")):
        event = Journal(directory).last(TABLES)
        if event is not None:
            document = event["document"]
            entries += [
                document | {"tables": [table], "time": event["time"]}
                for table in document["tables"]
            ]
    kept = [
        one for one in entries
        if not any(_replaces(other, one) for other in entries if other is not one)
    ]  # fmt: skip
    return sorted(kept, key=lambda entry: (*_of(entry), sorted(_cells(entry))))


def _of(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    [table] = entry["tables"]
    return entry["paper"], table["name"], entry["scale"], entry["source"], list(entry["settings"])


def _cells(entry: Mapping[str, Any]) -> set[tuple[str, str]]:
    [table] = entry["tables"]
    return {(cell["row"], cell["column"]) for cell in table["cells"]}


def _replaces(entry: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    newer = (entry["seeds"], entry["time"]) > (other["seeds"], other["time"])
    return newer and _of(entry) == _of(other) and _cells(entry) >= _cells(other)


def write(path: Path, root: Path = ROOT) -> int:
    """Write the page; returns the number of tables.

    Raises:
        BadInput: none was run in this folder, or the file cannot be written.
    """
    entries = found(root)
    if not entries:
        raise BadInput(
            f"{root}: no table was run in this folder; ilsvrc paper NAME data.source=... runs one"
        )
    page = HEAD + "\n" + overview(entries) + "".join(section(entry) for entry in entries)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"--results: {path} cannot be written ({error.strerror})") from None
    return len(entries)


def named(spec: str) -> str:
    """A source without the folders that it lies in, which are of one machine."""
    scheme, colon, rest = spec.partition(":")
    place, comma, settings = rest.partition(",")
    return f"{scheme}{colon}{Path(place).name if '/' in place else place}{comma}{settings}"


def overview(entries: list[dict[str, Any]]) -> str:
    """A row a table."""
    rows = [
        (
            entry["paper"], table["name"], entry["scale"], named(entry["source"]),
            str(entry["seeds"]), _tau(table), f"{table['undecided']} of {table['pairs']}",
            str(table["networks"]), duration(table["train_seconds"]), ", ".join(entry["settings"]),
        )
        for entry in entries
        for table in entry["tables"]
    ]  # fmt: skip
    heads = (
        "paper", "table", "scale", "images", "seeds", "tau", "undecided pairs", "networks",
        "training", "settings",
    )  # fmt: skip
    return markdown(heads, rows)


def section(entry: Mapping[str, Any]) -> str:
    """One table, cell by cell."""
    [table] = entry["tables"]
    rows = [
        (
            cell["row"], cell["column"], text.published(cell), text.ours(cell), text.interval(cell),
            text.verdict(cell),
        )
        for cell in table["cells"]
    ]  # fmt: skip
    settings = f" Settings: {', '.join(entry['settings'])}." if entry["settings"] else ""
    lines = [
        f"\n## {entry['title']}: {table['name']}\n",
        f"{table['title']} ({table['source']}). Scale {entry['scale']}, {entry['seeds']} "
        f"seed{'s' * (entry['seeds'] != 1)} a cell, {named(entry['source'])} (fingerprint "
        f"{entry['fingerprint'][:12]}): {table['classes']} classes, {table['train_images']:,} "
        f"images to train, {table['scored_images']:,} to score.{settings}\n",
        markdown(("", "", "published", "ours", "95 % interval", "verdict"), rows),
        f"{text.agreement(table)}.\n",
    ]
    lines += [f"- {remark}" for remark in (*table["departs"], *table["notes"])]
    return "\n".join(lines) + "\n"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; bars inside cells would end them."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


def _tau(table: Mapping[str, Any]) -> str:
    if table["tau"] is None:
        return "none"
    low, high = table["tau_interval"]
    return f"{table['tau']:+.2f} ({low:+.2f} to {high:+.2f})"
