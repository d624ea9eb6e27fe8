"""What a run measures, as columns: a metric's name, unit and direction, and where it is shown.

The one list of them. `compare`'s table and files, the report, progress, MLflow's views and the
figures of accuracy against cost all read it; whoever adds a metric adds a line here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from experiments.presentation.formatting import si, significant

Row = Mapping[str, Any]
"""Of a comparison: values by their column's key, in the unit in which runs log them."""

Kind = Literal["loss", "accuracy", "error", "size", "work", "measured", "bench"]
"""Accuracies are fractions. Errors are those of reconstructions. Size and work are counts, the
second for one image. Measured is what a run measures of itself, bench what `ilsvrc bench` does.

A row holds the means of all but losses; those of accuracies and errors with their spread.
"""

MIB = 2**20
DISTURBED = " †"
DISTURBED_NOTE = (
    "† Measured while the machine did other things, every time: too slow by an unknown amount; "
    "ilsvrc bench infer measures side by side"
)
TIMED_NOTE = (
    "Times and rates: measured at the end of each run, on a machine that may have done other "
    "things; ilsvrc bench infer measures side by side"
)

_whole = "{:.0f}".format


@dataclass(frozen=True, kw_only=True)
class Column:
    """A metric, and where it is shown; an empty field is a place where it is not."""

    key: str
    """Its name in the store, in rows, `table.csv` and `table.json`."""
    kind: Kind
    heading: str = ""
    """Of the table and the report, which leave out columns without a value."""
    text: Callable[[float], str] = significant
    """A value in a cell, in `unit`; accuracies and errors are written as mean and spread."""
    unit: float = 1.0
    """What values are divided by."""
    less_is_better: bool = True
    dropped: int = 0
    """Rank by which it goes where the terminal is narrow, the highest first; 0: never."""
    progress: str = ""
    """A value in a line of progress."""
    rounded: tuple[str, float] | None = None
    """The metric that MLflow's pages show instead, and its unit: they print every digit."""
    bench: tuple[str, str] | None = None
    """Of kind bench: the mode of `ilsvrc bench`, and the metric of its rows."""
    disturbed: str = ""
    """The metric that says whether the machine did other things while this was measured."""

    def cell(self, row: Row) -> str:
        """The row's value for a table; empty where it has none."""
        value = row.get(self.key)
        return "" if value is None else self.text(value / self.unit) + self.mark(row)

    def mark(self, row: Row) -> str:
        """What follows a value that was disturbed every time it was measured."""
        return DISTURBED if self.disturbed and row.get(self.disturbed) else ""

    def doubtful(self, row: Row) -> bool:
        """Is there a time or rate that is not known to be of an idle machine?"""
        timed = self.kind == "measured" and not self.key.endswith("_bytes")
        known = self.disturbed and row.get(self.disturbed) is False
        return timed and row.get(self.key) is not None and not known


@dataclass(frozen=True, kw_only=True)
class CostAxis(Column):
    """A cost that accuracy is drawn against: the horizontal axis of a figure, and what is drawn."""

    axis: int
    """Its place among the axes."""
    slug: str
    """In file names: pareto_SLUG.png; the multiply-accumulates' is pareto.png."""
    title: str
    """Short, for headings and buttons."""
    label: str
    note: str = ""
    """What was measured, in a line; empty where the label says it."""
    suffix: str = ""
    """The unit's name."""
    prefixed: bool = False
    """Ticks read 10 M, not 10000000."""
    accuracy: str = "top1_mean"
    """The key of the accuracy that is drawn against it."""

    @property
    def stem(self) -> str:
        """The name of its files without their endings."""
        return f"pareto_{self.slug}".replace("_macs", "")

    @property
    def ranked(self) -> str:
        """Top-1 or Top-5."""
        return "Top-5" if self.accuracy.endswith("top5") else "Top-1"

    def against(self, accuracy: str) -> CostAxis:
        """The same cost with the accuracy of another key, such as test_top5."""
        axis = replace(self, accuracy=accuracy)
        return axis if axis.ranked == self.ranked else replace(axis, slug=f"{self.slug}_top5")

    def error(self, row: Row) -> float:
        """Per cent."""
        return 100 * (1 - row[self.accuracy])

    def spread(self, row: Row) -> float:
        """One sample standard deviation of the error, per cent; 0 where there is none."""
        return 100 * (row.get(f"{self.accuracy.removesuffix('_mean')}_std") or 0.0)

    def shown(self, row: Row) -> str:
        """The row's value for people, with its unit."""
        value = row.get(self.key)
        if value is None:
            return "not measured"
        text = (si if self.prefixed else significant)(value / self.unit)
        return f"{text} {self.suffix}".rstrip() + self.mark(row)

    def better(self, one: float, other: float) -> bool:
        return one < other if self.less_is_better else one > other


LATENCY_DISTURBED = "latency_disturbed"

MACS = CostAxis(
    key="macs", kind="work", heading="MACs", text=si, rounded=("macs_millions", 1e6),
    axis=1, slug="macs", title="MACs", label="Multiply-accumulates for one image", prefixed=True,
    note="MACs = multiply-accumulates of conv and dense layers, one image",
)  # fmt: skip

# In the order of the table. Top-1 and top-5 of the scored part have no heading here: the table
# begins with them, under the name of the part.
COLUMNS: list[Column] = [
    Column(key="train_loss", kind="loss", progress="train loss {:.3f}"),
    Column(key="val_loss", kind="loss", progress="val loss {:.3f}"),
    Column(
        key="test_top1", kind="accuracy", less_is_better=False,
        progress="test top-1 {:.2%}", rounded=("test_top1_percent", 0.01),
    ),
    Column(
        key="test_top5", kind="accuracy", less_is_better=False,
        progress="test top-5 {:.2%}", rounded=("test_top5_percent", 0.01),
    ),
    Column(
        key="val_top1", kind="accuracy", heading="val\ntop-1 %", less_is_better=False, dropped=7,
        progress="val top-1 {:.2%}", rounded=("val_top1_percent", 0.01),
    ),
    Column(
        key="val_top5", kind="accuracy", less_is_better=False,
        rounded=("val_top5_percent", 0.01),
    ),
    *(
        Column(key=f"{part}_{mean}", kind="accuracy", less_is_better=False)
        for part in ("test", "val")
        for mean in ("balanced_top1", "macro_f1")
    ),
    Column(key="test_mse", kind="error", heading="test\nMSE", progress="test mse {:.4g}"),
    Column(key="val_mse", kind="error", heading="val\nMSE", dropped=7, progress="val mse {:.4g}"),
    Column(key="train_mse", kind="error", heading="train\nMSE", dropped=9),
    Column(
        key="train_top1", kind="accuracy", heading="train\ntop-1 %", less_is_better=False,
        dropped=9,
    ),
    MACS,
    CostAxis(
        key="params", kind="size", heading="params", text=si,
        rounded=("params_millions", 1e6),
        axis=2, slug="params", title="Parameters", label="Trainable parameters", prefixed=True,
    ),
    Column(
        key="activation_bytes", kind="work", heading="activations\nMiB", unit=MIB, dropped=12
    ),
    CostAxis(
        key="latency_ms_p50", kind="measured", heading="p50\nms", dropped=4,
        rounded=("latency_ms", 1.0),
        axis=3, slug="latency", title="Latency", label="Latency of one image, median (ms)",
        note="Latency: network alone, batch 1, image in memory, logits on the host", suffix="ms",
        disturbed=LATENCY_DISTURBED,
    ),
    Column(
        key="latency_ms_p95", kind="measured", heading="p95\nms", dropped=8,
        disturbed=LATENCY_DISTURBED,
    ),
    Column(
        key="train_images_per_second", kind="measured", heading="train\nimages/s",
        less_is_better=False, dropped=5,
    ),
    CostAxis(
        key="infer_images_per_second", kind="measured", heading="infer\nimages/s",
        less_is_better=False, dropped=6, rounded=("images_per_second", 1.0),
        axis=5, slug="images_per_second", title="Images per second",
        label="Images per second at inference", suffix="images/s", prefixed=True,
        note="Rate: network alone, evaluation batches in memory, median batch",
        disturbed="infer_disturbed",
    ),
    CostAxis(
        key="peak_memory_bytes", kind="measured", heading="memory\nMiB", text=_whole, unit=MIB,
        dropped=10,
        axis=4, slug="memory", title="Memory", label="Peak memory of the run (MiB)", suffix="MiB",
        note="Memory: peak of a process that ran nothing of another size before, libraries and "
        "training included, or of the device where there is one",
    ),
    Column(key="train_seconds", kind="measured", heading="train\ns", dropped=11),
    CostAxis(
        key="bench_latency_ms_p50", kind="bench", heading="bench\np50 ms", dropped=2,
        bench=("infer", "latency_ms_p50"),
        axis=6, slug="bench_latency", title="Latency (bench)",
        label="Latency of one image in ilsvrc bench, median (ms)", suffix="ms",
        note="Bench: side by side in processes of their own; see the notes below the table",
    ),
    CostAxis(
        key="bench_infer_images_per_second", kind="bench", heading="bench infer\nimages/s",
        less_is_better=False, dropped=3, bench=("infer", "infer_images_per_second"),
        axis=7, slug="bench_images_per_second", title="Images per second (bench)",
        label="Images per second at inference in ilsvrc bench", suffix="images/s", prefixed=True,
    ),
    CostAxis(
        key="bench_infer_memory_bytes", kind="bench", heading="bench infer\nMiB", text=_whole,
        unit=MIB, dropped=8, bench=("infer", "peak_memory_bytes"),
        axis=8, slug="bench_memory", title="Memory (bench)",
        label="Peak memory of inference in ilsvrc bench (MiB)", suffix="MiB",
    ),
    Column(
        key="bench_train_images_per_second", kind="bench", heading="bench train\nimages/s",
        less_is_better=False, dropped=3, bench=("train", "train_images_per_second"),
    ),
    Column(
        key="bench_train_memory_bytes", kind="bench", heading="bench train\nMiB", text=_whole,
        unit=MIB, dropped=8, bench=("train", "peak_memory_bytes"),
    ),
]  # fmt: skip


def of_kind(*kinds: Kind) -> list[Column]:
    """The columns of these kinds, kind by kind."""
    return [column for kind in kinds for column in COLUMNS if column.kind == kind]


def axes() -> list[CostAxis]:
    """The costs that accuracy is drawn against, in the order in which they are offered."""
    costs = [column for column in COLUMNS if isinstance(column, CostAxis)]
    return sorted(costs, key=lambda cost: cost.axis)


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """What runs log for MLflow's pages beside these metrics: four digits in a handy unit, and
    logarithms of what spans several powers of ten, for charts, whose axes are linear."""
    metrics = {}
    for column in COLUMNS:
        value = values.get(column.key)
        if column.rounded is None or value is None or not math.isfinite(value):
            continue
        name, unit = column.rounded
        metrics[name] = float(f"{value / unit:.4g}")
        if column.kind in ("size", "work") and value > 0:
            metrics[f"log10_{column.key}"] = round(math.log10(value), 3)
    return metrics


def exact(metrics: Mapping[str, float]) -> dict[str, float]:
    """A run's metrics without those that `rounded` made of them."""
    made = rounded(dict.fromkeys((column.key for column in COLUMNS), 1.0))
    return {name: value for name, value in metrics.items() if name not in made}


def progress_line(values: Mapping[str, float]) -> str:
    """The values that people watch while runs go on: train loss 0.500, val top-1 91.23%."""
    kinds = get_args(Kind)
    watched = [column for column in COLUMNS if column.progress]
    watched.sort(key=lambda c: (kinds.index(c.kind), c.key.startswith("test")))
    return ", ".join(c.progress.format(values[c.key]) for c in watched if c.key in values)
