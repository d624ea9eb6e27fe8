"""What accuracy is set against: multiply-accumulates, parameters, latency, memory, rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.presentation.formatting import si, significant

Row = Mapping[str, Any]


class CostAxis(NamedTuple):
    """A column of a comparison as the horizontal axis of a figure."""

    key: str
    slug: str
    """in file names: pareto_SLUG.png; the multiply-accumulates' is pareto.png"""
    title: str
    """short, for headings and buttons"""
    label: str
    note: str
    """what was measured, in a line; empty where the label says it"""
    unit: float = 1.0
    """what the values are divided by"""
    suffix: str = ""
    less_is_better: bool = True
    prefixed: bool = False
    """ticks read 10 M, not 10000000"""

    @property
    def stem(self) -> str:
        """The name of its files without their endings."""
        return "pareto" if self.key == "macs" else f"pareto_{self.slug}"

    def of(self, row: Row) -> float | None:
        """The row's value in the axis' unit; None where it has none."""
        value = row.get(self.key)
        return None if value is None else value / self.unit

    def shown(self, row: Row) -> str:
        """The row's value for people, with its unit."""
        value = self.of(row)
        if value is None:
            return "?"
        text = si(value) if self.prefixed else significant(value)
        return f"{text} {self.suffix}".rstrip()

    def better(self, one: float, other: float) -> bool:
        return one < other if self.less_is_better else one > other


MACS = CostAxis(
    "macs",
    "macs",
    "MACs",
    "Multiply-accumulates for one image",
    "MACs = multiply-accumulates of conv and dense layers, one image",
    prefixed=True,
)

AXES = (
    MACS,
    CostAxis("params", "params", "Parameters", "Trainable parameters", "", prefixed=True),
    CostAxis(
        "latency_ms_p50",
        "latency",
        "Latency",
        "Latency of one image, median (ms)",
        "Latency: network alone, batch 1, image in memory, logits on the host",
        suffix="ms",
    ),
    CostAxis(
        "peak_memory_bytes",
        "memory",
        "Memory",
        "Peak memory of the run (MiB)",
        "Memory: peak of the process, or of the device where there is one, training included",
        unit=2**20,
        suffix="MiB",
    ),
    CostAxis(
        "infer_images_per_second",
        "images_per_second",
        "Images per second",
        "Images per second at inference",
        "Rate: network alone, evaluation batches in memory, median batch",
        suffix="images/s",
        less_is_better=False,
        prefixed=True,
    ),
    CostAxis(
        "bench_latency_ms_p50",
        "bench_latency",
        "Latency (bench)",
        "Latency of one image in ilsvrc bench, median (ms)",
        "Bench: side by side in processes of their own; see the notes below the table",
        suffix="ms",
    ),
    CostAxis(
        "bench_infer_images_per_second",
        "bench_images_per_second",
        "Images per second (bench)",
        "Images per second at inference in ilsvrc bench",
        "",
        suffix="images/s",
        less_is_better=False,
        prefixed=True,
    ),
    CostAxis(
        "bench_infer_memory_bytes",
        "bench_memory",
        "Memory (bench)",
        "Peak memory of inference in ilsvrc bench (MiB)",
        "",
        unit=2**20,
        suffix="MiB",
    ),
)


def placeable(rows: Sequence[Row], axis: CostAxis = MACS) -> list[Row]:
    """Rows that have both coordinates of the accuracy-cost plane."""
    return [r for r in rows if r.get(axis.key) is not None and r["top1_mean"] is not None]


def optimal(rows: Sequence[Row], axis: CostAxis = MACS) -> list[Row]:
    """The Pareto-optimal rows, cheapest first: no other is as good in both and better in one."""
    placed = placeable(rows, axis)

    def dominates(other: Row, row: Row) -> bool:
        if axis.better(row[axis.key], other[axis.key]) or other["top1_mean"] < row["top1_mean"]:
            return False
        return bool(other[axis.key] != row[axis.key] or other["top1_mean"] > row["top1_mean"])

    chosen = [row for row in placed if not any(dominates(other, row) for other in placed)]
    sign = 1 if axis.less_is_better else -1
    return sorted(chosen, key=lambda row: (sign * row[axis.key], -row["top1_mean"]))


def drawable(rows: Sequence[Row]) -> list[CostAxis]:
    """The axes on which at least one row can be placed."""
    return [axis for axis in AXES if placeable(rows, axis)]
