"""What a classifier takes for what: counts by class, the worst pairs, the matrix as a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from experiments.metrics import precision_recall_f1
from experiments.presentation import csv_text
from experiments.presentation.figure_style import INK, LINE, new_figure, save_picture, title_above
from experiments.presentation.fonts import legible
from experiments.presentation.formatting import shortened
from tuning.statistics.significance import accuracy_interval

RATES = "precision", "recall", "f1"
NO_TITLES: Mapping[str, str] = MappingProxyType({})
OUTSIDE = "another class"
"""The column of answers that are no class of the set."""


def matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Images by true class (rows) and answer (columns), int64 [classes, classes or + 1].

    Answers of `classes` and above share a last column, which is there only if there are any.

    Args:
        labels: int [images], below `classes`.
        predicted: int [images].
    """
    answers = np.minimum(predicted, classes)
    wide = np.bincount(labels * (classes + 1) + answers, minlength=classes * (classes + 1))
    counts = wide.reshape(classes, classes + 1)
    return counts if counts[:, classes].any() else counts[:, :classes]


def per_class(
    counts: np.ndarray, names: Sequence[str], titles: Mapping[str, str] = NO_TITLES
) -> list[dict[str, Any]]:
    """class, images, correct, accuracy and its 95% interval, precision, recall and f1; None for a
    class without images.

    With `titles`, readable names by class name, a title behind the class.
    """
    rows = []
    rates = by_class(counts)
    for number, name in enumerate(names):
        images, correct = int(counts[number].sum()), int(counts[number, number])
        row: dict[str, Any] = {"class": name}
        if titles:
            row["title"] = titles.get(name, "")
        row |= {"images": images, "correct": correct}
        row |= {"accuracy": None, "low": None, "high": None}
        if images:
            interval = accuracy_interval(correct, images)
            row |= {"accuracy": correct / images, "low": interval.low, "high": interval.high}
        of_class = rates[number].tolist() if images else [None] * len(RATES)
        rows.append(row | dict(zip(RATES, of_class, strict=True)))
    return rows


def by_class(counts: np.ndarray) -> np.ndarray:
    """precision, recall and f1 of each class, [classes, 3], as `metrics.precision_recall_f1`."""
    classes = len(counts)
    answers = counts.sum(axis=0)[:classes]
    return precision_recall_f1(np.diagonal(counts), counts.sum(axis=1), answers)


def macro_averages(counts: np.ndarray) -> dict[str, float]:
    """macro_precision, macro_recall (which is balanced top-1) and macro_f1: means over the classes
    that have images."""
    means = np.nanmean(by_class(counts), axis=0).tolist()
    return {f"macro_{rate}": mean for rate, mean in zip(RATES, means, strict=True)}


def worst_pairs(
    counts: np.ndarray,
    names: Sequence[str],
    most: int = 10,
    titles: Mapping[str, str] = NO_TITLES,
) -> list[dict[str, Any]]:
    """The commonest mistakes: class, taken_for, images, share of the class; most images first.

    With `titles`, readable names by class name, also title and taken_for_title of those known.
    """
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    totals = counts.sum(axis=1)
    labels = [*names, OUTSIDE]
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [divmod(int(at), wrong.shape[1]) for at in order]
    mistakes = []
    for row, column in pairs:
        if not wrong[row, column]:
            continue
        named = {"class": labels[row], "taken_for": labels[column]}
        keys = zip(("title", "taken_for_title"), named.values(), strict=True)
        entitled = {key: titles[name] for key, name in keys if name in titles}
        images = int(wrong[row, column])
        mistakes.append(
            {**named, **entitled, "images": images, "share": float(images / totals[row])}
        )
    return mistakes


def write_matrix(path: Path, counts: np.ndarray, names: Sequence[str]) -> None:
    """CSV: a row a true class, a column an answer."""
    columns = [*names, OUTSIDE][: counts.shape[1]]
    rows = ([name, *row] for name, row in zip(names, counts.tolist(), strict=True))
    csv_text.write(path, ["true class", *columns], rows)


DPI = 160
NAMED, COUNTED = 60, 25  # classes up to which names fit, and counts in the cells
PAIRS = 6


def draw(counts: np.ndarray, names: Sequence[str], title: str, path: Path) -> None:
    """Save a PNG.

    Args:
        counts: int [classes, classes or + 1], rows true classes.
        names: of the classes.
        title: what was scored on what.
        path: of the PNG.
    """
    from matplotlib.colors import PowerNorm

    rows, columns = counts.shape
    side = min(max(0.24 * rows, 3.4), 9.0)
    figure = new_figure(side + 2.6, side + 2.4, DPI, "constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # The root of the share: mistakes are what is looked for, and they are small beside the hits.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.ax.set_yticklabels(["0", "1%", "5%", "20%", "50%", "100%"])
    bar.set_label("share of the true class", fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=7, color=LINE)
    by_number = ", by number" if rows > NAMED else ""
    axes.set_xlabel(f"answer{by_number}", fontsize=9, color=INK)
    axes.set_ylabel(f"true class{by_number}", fontsize=9, color=INK)
    if rows <= NAMED:
        labels = [*names, OUTSIDE][:columns]
        size = 8 if rows <= COUNTED else 6
        axes.set_xticks(range(columns), [_short(x) for x in labels], rotation=90, fontsize=size)
        axes.set_yticks(range(rows), [_short(x) for x in names], fontsize=size)
    else:
        axes.tick_params(labelsize=7)
    if rows <= COUNTED:
        for row, column in zip(*np.nonzero(counts), strict=True):
            dark = shares[row, column] > 0.25
            axes.text(
                column,
                row,
                f"{counts[row, column]}",
                ha="center",
                va="center",
                fontsize=6.5,
                color="white" if dark else INK,
            )
    axes.tick_params(color=LINE, length=2)
    for spine in axes.spines.values():
        spine.set_color(LINE)
    title_above(figure, title)
    worst = "\n".join(textwrap.wrap(_worst(counts, names), int(16 * figure.get_figwidth())))
    figure.supxlabel(worst, fontsize=7, color="#444444")
    save_picture(figure, path)


def _worst(counts: np.ndarray, names: Sequence[str]) -> str:
    pairs = worst_pairs(counts, names, PAIRS)
    if not pairs:
        return "No image was taken for another class."
    words = [
        f"{_short(pair['class'])} for {_short(pair['taken_for'])}: "
        f"{pair['images']} ({pair['share']:.0%} of the class)"
        for pair in pairs
    ]
    return f"Most often taken, images: {',   '.join(words)}"


def _short(name: str) -> str:
    return shortened(legible(name), 18, "…")
