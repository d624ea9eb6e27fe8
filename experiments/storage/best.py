"""Which runs stay with `ilsvrc rm --keep-best`: validation chooses, never the test."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from experiments.tracking.tracked_run import FOLD, PARENTS, TrackedRun

SCORES = (("val_top1", 1), ("val_mse", -1))
"""Names, and 1 where more is better."""


def kept_as_best(runs: Sequence[TrackedRun]) -> dict[str, str]:
    """Run ids, and why they stay: of each architecture the finished run of the best validation
    score, and all finished ones that have none, such as the refit of a search and its final
    network, for nothing ranks them. Runs on folds are ranked by the mean above them, and stay or
    go together."""
    scored: dict[tuple[str, str], list[tuple[float, TrackedRun]]] = {}
    kept = {}
    above = {run.id for run in runs if run.is_above_folds}
    for run in runs:
        if run.level in PARENTS or not run.is_complete or _is_part(run, above):
            continue
        name, sign = next(((n, s) for n, s in SCORES if n in run.metrics), ("", 0))
        if name and isfinite(run.metrics[name]):
            model = run.params.get("model.name", "")
            scored.setdefault((model, name), []).append((sign * run.metrics[name], run))
        elif not name:
            final = f"the final network: {run.card}" if run.card else ""
            kept[run.id] = final or "has no validation score to choose by"
    for (model, name), candidates in scored.items():
        score, best = max(candidates, key=lambda pair: (pair[0], -pair[1].info.start_time))
        value = f"{100 * score:.2f}%" if name == "val_top1" else f"{-score:.4g}"
        kept[best.id] = f"best {model} by {name} ({value}, of {len(candidates)} runs)"
    parts = [run for run in runs if _is_part(run, above) and run.parent in kept]
    return kept | {run.id: "a fold of a run that stays" for run in parts}


def _is_part(run: TrackedRun, above: set[str]) -> bool:
    """Does a run above it, one of these ids, speak for it?"""
    return FOLD in run.tags and run.parent in above
