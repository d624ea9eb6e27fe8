"""The interval of a row's mean over folds: how far it may be from the score on new images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean
from typing import Any

from experiments.comparison.grouping import Comparison
from experiments.comparison.pair_tests import Sizes
from experiments.presentation.formatting import score_range

NONE = dict.fromkeys(("interval_low", "interval_high", "interval_method"))
REPEAT = re.compile(r"repeat/\d+")


def with_intervals(comparison: Comparison, sizes: Sizes) -> Comparison:
    """The comparison with `interval_low interval_high interval_method` in its rows, of 95 %; None
    where a row has one fold, or folds of unknown sizes.

    Seeds of a fold share its images: their mean is one score.
    """
    rows = [{**row, **_interval(row, sizes, comparison.score)} for row in comparison.rows]
    return replace(comparison, rows=rows)


def notes(comparison: Comparison) -> list[str]:
    """The intervals in words, and what they are not."""
    by_method: dict[str, list[str]] = {}
    for row in comparison.rows:
        if method := row.get("interval_method"):
            ends = score_range(comparison.score, row["interval_low"], row["interval_high"])
            by_method.setdefault(method, []).append(f"{row['name']} {ends}")
    lines = [
        f"95 % interval for new images ({method}): {', '.join(rows)}"
        for method, rows in by_method.items()
    ]
    if lines:
        lines.append("A ± over folds is their standard deviation, no interval")
    if lines and comparison.score.startswith("val"):
        lines.append(
            "Settings are chosen by these folds: the interval of a row that was picked for its "
            "score is optimistic"
        )
    return lines


def _interval(row: Mapping[str, Any], sizes: Sizes, score: str) -> dict[str, Any]:
    from tuning.statistics.intervals import of_folds

    scores: dict[str, list[float]] = {}
    parts: dict[str, tuple[float, float]] = {}
    for value in row["values"]:
        part = sizes.get(value["run_id"])
        if not value["fold"] or part is None or min(part) <= 0:
            return NONE
        scores.setdefault(value["fold"], []).append(value["score"])
        parts[value["fold"]] = part
    if len(scores) < 2:
        return NONE
    trained, held = zip(*parts.values(), strict=True)
    share, images = score.endswith("top1"), None
    if share and min(held) > 1:  # else only the proportion of the parts is known: (k - 1, 1)
        repeats = len({"".join(REPEAT.findall(fold)) for fold in scores})
        images = max(1, round(sum(held) / repeats))
    means = [fmean(one) for one in scores.values()]
    interval = of_folds(means, trained=trained, held=held, images=images)
    return {
        "interval_low": max(0.0, interval.low),
        "interval_high": min(1.0, interval.high) if share else interval.high,
        "interval_method": interval.method,
    }
