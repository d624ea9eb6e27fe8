"""What one outer fold sees of a fit that it shares with another: the scores on that one alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def on_fold(values: Mapping[str, float], fold: int) -> dict[str, float]:
    """The scores on one fold of a pair under their usual names, without those on the other, which
    must not be seen, and the means of both."""
    scored = f"val_{fold}_"
    shown = {name: value for name, value in values.items() if not name.startswith("val_")}
    return shown | {
        f"val_{name.removeprefix(scored)}": value
        for name, value in values.items()
        if name.startswith(scored)
    }


def record_on_fold(record: Mapping[str, Any], fold: int) -> dict[str, Any]:
    """The journal's record of a shared fit, as one of its two outer folds sees it.

    Each bears half of what it took, so that sums over trials are what was spent.
    """
    outcome = record["outcome"]
    halved = {name: value / 2 for name, value in outcome["cost"].items() if name in SPENT}
    seen = outcome | {
        "scores": on_fold(outcome["scores"], fold),
        "history": [on_fold(values, fold) for values in outcome["history"]],
        "cost": outcome["cost"] | halved,
    }
    return {**record, "outcome": seen, "seconds": record["seconds"] / 2}


SPENT = ("train_seconds", "step_seconds")  # of costs; others are the same in both folds
