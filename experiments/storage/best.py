"""Which runs stay with `ilsvrc rm --keep-best`: validation chooses, never the test."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from experiments.tracking.tracked_run import PARENTS, TrackedRun

SCORES = (("val_top1", 1), ("val_mse", -1))
"""Names, and 1 where more is better."""


def kept_as_best(runs: Sequence[TrackedRun]) -> dict[str, str]:
    """Run ids, and why they stay: of each architecture the finished run of the best validation
    score, and all finished ones that have none, such as the refit of a search, for nothing ranks
    them."""
    scored: dict[tuple[str, str], list[tuple[float, TrackedRun]]] = {}
    kept = {}
    for run in runs:
        if run.level in PARENTS or not run.is_complete:
            continue
        name, sign = next(((n, s) for n, s in SCORES if n in run.metrics), ("", 0))
        if name and isfinite(run.metrics[name]):
            model = run.params.get("model.name", "")
            scored.setdefault((model, name), []).append((sign * run.metrics[name], run))
        elif not name:
            kept[run.id] = "has no validation score to choose by"
    for (model, name), candidates in scored.items():
        score, best = max(candidates, key=lambda pair: (pair[0], -pair[1].info.start_time))
        value = f"{100 * score:.2f}%" if name == "val_top1" else f"{-score:.4g}"
        kept[best.id] = f"best {model} by {name} ({value}, of {len(candidates)} runs)"
    return kept
