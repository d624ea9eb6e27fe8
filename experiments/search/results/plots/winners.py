"""What nested cross-validation chose in each outer fold, as a table."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from experiments.presentation.figure_style import INK, LINE, new_figure, save_picture
from experiments.presentation.formatting import in_percent
from experiments.presentation.quantities import SCORES
from experiments.search.results.intervals import of_outer_in_words, tested_by
from experiments.search.results.plots.view import name, short
from tuning.space import identity

TESTS = {
    "test_top1": "test top-1 (%)",
    "test_top5": "test top-5 (%)",
    "test_balanced_top1": "test balanced top-1 (%)",
    "test_macro_f1": "test macro F1 (%)",
    "test_mse": "test squared error",
    "test_loss": "test loss",
}
LETTER = 0.075  # inches, of 8.5 points


@dataclass(frozen=True)
class Table:
    """Header, a row an outer fold, the row of means, and what is said beneath."""

    title: str
    header: list[str]
    rows: list[list[str]]
    mean: list[str]
    notes: list[str]


def table(result: Mapping[str, Any]) -> Table:
    """The JSON of `ilsvrc nested` as text, settings that all folds agree on in a line beneath."""
    outer: Sequence[Mapping[str, Any]] = result["outer"]
    chosen = [row.get("hyperparameters") or {} for row in outer]
    keys = list(dict.fromkeys(key for one in chosen for key in one))
    labels = dict(zip(keys, short(keys), strict=True))
    settled = [row for row in outer if row.get("hyperparameters")]
    varied = [key for key in keys if len({_of(row, key) for row in settled}) > 1]
    tests = [key for key in TESTS if any(row.get(key) is not None for row in outer)]
    score_name = str(result.get("score_name") or "val_top1")
    header = ["outer fold", *(labels[key] for key in varied), f"inner {_unit(score_name)}"]
    rows = [
        [
            str(row["fold"]),
            *(name(one[key]) if key in one else "–" for key in varied),
            _number(row.get("inner_score"), score_name),
            *(_number(row.get(key), key) for key in tests),
        ]
        for row, one in zip(outer, chosen, strict=True)
    ]
    mean = [
        "mean ± s.d.",
        *("" for _ in varied),
        _spread([row.get("inner_score") for row in outer], score_name),
        *(_spread([row.get(key) for row in outer], key) for key in tests),
    ]
    return Table(
        str(result.get("name") or "nested"),
        header + [TESTS[key] for key in tests],
        rows,
        mean,
        _notes(result, settled, [key for key in keys if key not in varied], labels, bool(varied)),
    )


def draw(result: Mapping[str, Any], path: str | Path) -> None:
    """Save the table as a PNG."""
    shown = table(result)
    lines = [shown.header, *shown.rows, shown.mean]
    widths = [max(len(row[at]) for row in lines) * LETTER + 0.25 for at in range(len(shown.header))]
    width = max(5.5, sum(widths) + 0.4)
    notes = "\n".join(textwrap.fill(note, int(width * 17)) for note in shown.notes)
    below = 0.16 * (notes.count("\n") + 1) + 0.2
    height = 0.62 + 0.27 * len(lines) + below
    figure = new_figure(width, height)
    figure.text(
        0.2 / width, 1 - 0.14 / height, shown.title, fontsize=11, weight="bold", color=INK, va="top"
    )
    right = 0.2
    for at, wide in enumerate(widths):
        right += wide
        for row, cells in enumerate(lines):
            y = 1 - (0.62 + 0.27 * row) / height
            weight = "bold" if row in (0, len(lines) - 1) else "normal"
            x, side = (0.2, "left") if at == 0 else (right - 0.1, "right")
            figure.text(
                x / width,
                y,
                cells[at],
                fontsize=8.5,
                color=INK,
                ha=side,
                va="center",
                weight=weight,
            )
    for line in (0.5, len(lines) - 1.5):
        _rule(figure, 0.2 / width, right / width, 1 - (0.62 + 0.27 * line) / height)
    figure.text(
        0.2 / width, 0.12 / height, notes, fontsize=7.5, color="#444444", va="bottom",
        linespacing=1.4,
    )  # fmt: skip
    save_picture(figure, Path(path))


def _rule(figure: Any, left: float, right: float, y: float) -> None:
    from matplotlib.lines import Line2D

    figure.add_artist(Line2D([left, right], [y, y], color=LINE, linewidth=0.8))


def _notes(
    result: Mapping[str, Any],
    settled: Sequence[Mapping[str, Any]],
    shared: Sequence[str],
    labels: Mapping[str, str],
    varied: bool,
) -> list[str]:
    notes = []
    if settled and shared:
        settings = settled[0]["hyperparameters"]
        agreed = ", ".join(f"{labels[key]} {name(settings[key])}" for key in shared)
        notes.append(f"In all outer folds: {agreed}.")
    if varied:
        notes.append("Outer folds chose different settings: the figures are of the procedure.")
    optimism = result.get("optimism")
    if optimism is not None:
        test = tested_by(result)
        unit = " %" if in_percent(test) else ""
        keys = ("best_inner_score", f"mean_{test}")
        best, mean = (f"{_number(result[key], test)}{unit}" for key in keys)
        apart = f"{100 * optimism:+.2f} points" if in_percent(test) else f"{optimism:+.4f}"
        notes.append(
            f"Score of the search itself {best}, of its winners on images that it had not seen "
            f"{mean}: optimism {apart}. The first is the best of many, from networks that were "
            "trained on fewer images."
        )
    notes += [f"{line}." for line in of_outer_in_words(result)]
    notes.append("± sample standard deviation over outer folds, whose training images overlap.")
    return notes


def _of(row: Mapping[str, Any], key: str) -> str:
    settings = row["hyperparameters"]
    return identity(settings[key]) if key in settings else ""


def _unit(score_name: str) -> str:
    return SCORES.get(score_name, score_name).removeprefix("validation ")


def _number(value: float | None, score_name: str) -> str:
    if value is None:
        return "failed"
    return f"{100 * value:.2f}" if in_percent(score_name) else f"{value:.4g}"


def _spread(values: Sequence[float | None], score_name: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    mean = _number(fmean(known), score_name)
    return f"{mean} ± {_number(stdev(known), score_name)}" if len(known) > 1 else mean
