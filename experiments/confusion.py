"""What a classifier takes for what: counts by class, per-class accuracy, the worst pairs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tuning.significance import accuracy_interval

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


def per_class(counts: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """class, images, correct, accuracy and its 95% interval; None for a class without images."""
    rows = []
    for number, name in enumerate(names):
        images, correct = int(counts[number].sum()), int(counts[number, number])
        row: dict[str, Any] = {"class": name, "images": images, "correct": correct}
        row |= {"accuracy": None, "low": None, "high": None}
        if images:
            interval = accuracy_interval(correct, images)
            row |= {"accuracy": correct / images, "low": interval.low, "high": interval.high}
        rows.append(row)
    return rows


def worst_pairs(counts: np.ndarray, names: Sequence[str], most: int = 10) -> list[dict[str, Any]]:
    """The commonest mistakes: class, taken_for, images, share of the class; most images first."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    totals = counts.sum(axis=1)
    labels = [*names, OUTSIDE]
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [divmod(int(at), wrong.shape[1]) for at in order]
    return [
        {
            "class": labels[row],
            "taken_for": labels[column],
            "images": int(wrong[row, column]),
            "share": float(wrong[row, column] / totals[row]),
        }
        for row, column in pairs
        if wrong[row, column]
    ]


def write_matrix(path: Path, counts: np.ndarray, names: Sequence[str]) -> None:
    """CSV: a row a true class, a column an answer."""
    columns = [*names, OUTSIDE][: counts.shape[1]]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["true class", *columns])
        writer.writerows([name, *row] for name, row in zip(names, counts.tolist(), strict=True))


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """CSV of dictionaries with the same keys."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
