"""What further sets and corruptions add to the answer of `ilsvrc evaluate`: text, CSV, picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.presentation import csv_text
from experiments.presentation.figure_style import (
    INK,
    OKABE_ITO,
    label_axes,
    new_figure,
    plain_axes,
    save_picture,
    title_above,
)
from experiments.presentation.fonts import legible
from experiments.presentation.formatting import shortened

DPI = 160
MAIN = "main set"
SET_COLUMNS = (
    "set", "name", "source", "part", "images", "top1", "top1_low", "top1_high", "top5", "top5_low",
    "top5_high", "ece", "drop", "drop_low", "drop_high",
)  # fmt: skip
CORRUPTION_COLUMNS = ("name", "corruption", "severity", "error")


def parts(document: dict[str, Any]) -> list[Any]:
    """A table of sets by networks, and lines."""
    return [*_of_sets(document), *_of_corruptions(document)]


def write(out: Path, document: dict[str, Any]) -> list[Path]:
    """sets.csv and corruptions.csv, of what there is. Raises OSError."""
    files = []
    if "sets" in document:
        files.append(out / "sets.csv")
        csv_text.write(files[-1], SET_COLUMNS, list(_cells(document)))
    if "corruptions" in document:
        rows = [
            (row["name"], name, severity, error)
            for row in document["rows"]
            for name, errors in row["corruptions"]["per"].items()
            for severity, error in enumerate(errors, 1)
        ]
        files.append(out / "corruptions.csv")
        csv_text.write(files[-1], CORRUPTION_COLUMNS, rows)
    return files


def draw(document: dict[str, Any], path: Path) -> None:
    """Save a PNG: top-1 of every network on every set, with its interval."""
    by_set = dict(_sets(document))
    names = [row["name"] for row in document["rows"]]
    figure = new_figure(1.8 + 0.9 * len(by_set), 4.0, DPI, "constrained")
    axes = figure.subplots()
    plain_axes(axes, "y")
    for place, name in enumerate(names):
        rows = [each["rows"][place] for each in by_set.values()]
        offset = 0.6 * ((place + 0.5) / len(names) - 0.5)
        across = [at + offset for at in range(len(rows))]
        up = [100 * row["top1"] for row in rows]
        low = [100 * (row["top1"] - row["top1_interval"][0]) for row in rows]
        high = [100 * (row["top1_interval"][1] - row["top1"]) for row in rows]
        axes.errorbar(
            across,
            up,
            (low, high),
            fmt="o",
            markersize=4.5,
            capsize=2.5,
            linewidth=1.2,
            color=OKABE_ITO[place % len(OKABE_ITO)],
            label=shortened(legible(name), 40, "…"),
        )
    ticks = [shortened(legible(name), 18, "…") for name in by_set]
    axes.set_xticks(range(len(by_set)), ticks, rotation=0 if len(by_set) < 7 else 60)
    label_axes(axes, "", "top-1 accuracy, %; 95% intervals")
    if len(names) > 1:
        axes.legend(fontsize=7.5, frameon=False, labelcolor=INK)
    who = names[0] if len(names) == 1 else f"{len(names)} networks"
    title_above(
        figure, f"{who}, {document['protocol']}; main set {document['source']}, {document['part']}"
    )
    save_picture(figure, path)


def _sets(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield MAIN, document
    yield from document["sets"].items()


def _cells(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name, each in _sets(document):
        for row in each["rows"]:
            cells = row | {"set": name, "source": each["source"], "part": each["part"]}
            for key in ("top1", "top5", "drop"):
                for end, at in (("low", 0), ("high", 1)):
                    interval = row.get(f"{key}_interval")
                    cells[f"{key}_{end}"] = interval[at] if interval else None
            yield cells


def _of_sets(document: dict[str, Any]) -> list[Any]:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    if "sets" not in document:
        return []
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("top-1 %")
    for row in document["rows"]:
        table.add_column(row["name"], justify="right")
    for name, each in _sets(document):
        cells = [f"{100 * row['top1']:.2f} [{_ends(row['top1_interval'])}]" for row in each["rows"]]
        table.add_row(name, *cells)
    lines: list[Any] = [table]
    for name, each in document["sets"].items():
        left_out = sum(row.get("left_out", 0) for row in each["rows"][:1])
        counted = f", {left_out:,} left out" if left_out else ""
        lines.append(
            f"{name}: {each['images']:,} images of {each['classes']} classes{counted}: "
            f"{each['source']}, {each['part']} ({each['origin']})"
        )
        if len(each["rows"]) == 1:
            lines.append(f"{name}: {_drop(each['rows'][0])}")
        for pair in each["mcnemar"]:
            lines.append(
                f"{name}: {pair['first']} - {pair['second']}: top-1 "
                f"{_points(pair['top1_difference'], pair['interval'])}, McNemar p = "
                f"{pair['p_value']:.2g} (Holm {pair['p_holm']:.2g})"
            )
        lines += [f"{name}: {note}" for note in each["notes"]]
    return lines


def _drop(row: dict[str, Any]) -> str:
    drop, interval = -row["drop"], row["drop_interval"]
    turned = None if interval is None else [-interval[1], -interval[0]]
    return f"top-1 {_points(drop, turned)} from the main set"


def _points(value: float, interval: Sequence[float] | None) -> str:
    ends = ""
    if interval is not None:
        ends = f" [{100 * interval[0]:+.2f}, {100 * interval[1]:+.2f}]"
    return f"{100 * value:+.2f} points{ends}"


def _ends(interval: Sequence[float]) -> str:
    return f"{100 * interval[0]:.2f} - {100 * interval[1]:.2f}"


def _of_corruptions(document: dict[str, Any]) -> list[str]:
    if "corruptions" not in document:
        return []
    lines = []
    for row in document["rows"]:
        measured = row["corruptions"]
        relative = measured["relative_to_first"]
        beside = "" if relative is None else f", {relative:.3f} x that of the first network"
        lines.append(
            f"{row['name']}: mean corruption error {100 * measured['mean_corruption_error']:.2f}% "
            f"[{_ends(measured['interval'])}]{beside}"
        )
        means = {name: sum(errors) / len(errors) for name, errors in measured["per"].items()}
        worst = sorted(means.items(), key=lambda item: -item[1])
        lines.append("  " + ", ".join(f"{name} {100 * error:.1f}%" for name, error in worst))
    for pair in document["corruptions"]["differences"]:
        lines.append(
            f"{pair['first']} - {pair['second']}: mean corruption error "
            f"{_points(pair['difference'], pair['interval'])}"
        )
    about = document["corruptions"]
    lines.append(f"{about['definition']}; constants of {', '.join(about['constants'])}")
    return lines
