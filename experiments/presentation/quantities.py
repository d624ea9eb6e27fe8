"""What scores and costs are called on an axis, and how a value of one is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.presentation.columns import axes
from experiments.presentation.formatting import in_percent, score, si, significant

SCORES = {
    "val_top1": "validation top-1 (%)",
    "val_balanced_top1": "validation balanced top-1 (%)",
    "val_macro_f1": "validation macro F1 (%)",
    "val_loss": "validation loss",
    "val_mse": "validation squared error",
}
COSTS = {axis.key: axis.label for axis in axes()} | {
    "activation_bytes": "Bytes of the activations of one image",
    "train_seconds": "Seconds of training, mean over the fits",
}
UNITS = {"activation_bytes": "B", "latency_ms_p50": "ms", "train_seconds": "s"}


def label(name: str) -> str:
    """Of an axis."""
    return SCORES.get(name) or COSTS.get(name) or name


def scale(name: str) -> float:
    """Times a value: what stands on the axis."""
    return 100.0 if in_percent(name) else 1.0


def with_spread(name: str, one: Mapping[str, Any]) -> str:
    """Of a trial's `values` and `spread` those of one objective: 95.10 % ± 0.40 %."""
    value, spread = one["values"][name], one["spread"][name]
    return written(name, value) + ("" if spread is None else f" ± {written(name, spread)}")


def written(name: str, value: float) -> str:
    """A value for people, with its unit: 95.10 %, 40.6 M, 1.23 ms."""
    if name.startswith(("val_", "test_")):
        return score(name, value)
    unit = UNITS.get(name, "")
    text = significant(value) if unit in ("ms", "s") else si(value)
    return f"{text} {unit}".rstrip()
