"""Which rows are Pareto-optimal in accuracy and a cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experiments.presentation.columns import MACS, CostAxis, Row, axes


def placeable(rows: Sequence[Row], axis: CostAxis = MACS) -> list[Row]:
    """Rows that have both coordinates of the accuracy-cost plane."""
    return [r for r in rows if r.get(axis.key) is not None and r.get(axis.accuracy) is not None]


def optimal(rows: Sequence[Row], axis: CostAxis = MACS) -> list[Row]:
    """The Pareto-optimal rows, cheapest first: no other is as good in both and better in one."""
    placed = placeable(rows, axis)

    def dominates(other: Row, row: Row) -> bool:
        gain = other[axis.accuracy] - row[axis.accuracy]
        if axis.better(row[axis.key], other[axis.key]) or gain < 0:
            return False
        return bool(other[axis.key] != row[axis.key] or gain > 0)

    chosen = [row for row in placed if not any(dominates(other, row) for other in placed)]
    sign = 1 if axis.less_is_better else -1
    return sorted(chosen, key=lambda row: (sign * row[axis.key], -row[axis.accuracy]))


def mark(rows: Sequence[dict[str, Any]]) -> None:
    """Write `pareto` and `dominated`, as to MACs, into each row; neither where it has no place."""
    chosen = {id(row) for row in optimal(rows)}
    placed = {id(row) for row in placeable(rows)}
    for row in rows:
        row["pareto"] = id(row) in chosen
        row["dominated"] = id(row) in placed - chosen


def drawable(rows: Sequence[Row], accuracy: str = MACS.accuracy) -> list[CostAxis]:
    """The axes on which at least one row can be placed."""
    return [axis for cost in axes() if placeable(rows, axis := cost.against(accuracy))]
