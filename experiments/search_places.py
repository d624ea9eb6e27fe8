"""Where trials are drawn, on paper and on the page."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.search_axes import Axis, View

NOWHERE = -0.13  # height at which a trial passes an axis that it has no value on


def places(view: View, axes: Sequence[Axis]) -> dict[int, list[float]]:
    """Heights at which each trial crosses each axis, by its id.

    Trials that share a named value are spread around it, better ones higher, so that their lines
    can be followed.
    """
    found: dict[int, list[float]] = {trial["id"]: [] for trial in view.trials}
    for axis in axes:
        at = {trial["id"]: _place(view, axis, trial) for trial in view.trials}
        for trial in view.trials:
            own, place = trial["id"], at[trial["id"]]
            named = axis.categories is not None or place is None
            peers = [other for other in at if at[other] == place] if named else [own]
            room = 0.05 if place is None else min(0.06, 0.3 / len(axis.categories or [1]))
            spread = (2 * peers.index(own) / (len(peers) - 1) - 1) if len(peers) > 1 else 0.0
            base = NOWHERE if place is None else place
            found[own].append(base + room * spread)
    return found


def _place(view: View, axis: Axis, trial: Mapping[str, Any]) -> float | None:
    if axis.key != "score":
        return axis.place(trial["hyperparameters"])
    return None if trial["score"] is None else axis.at(view.shown(trial["score"]))


def beside(axis: Axis, order: int) -> float:
    """How far aside a dot is drawn, so that dots of one named value do not cover each other."""
    return 0.3 / len(axis.categories) * ((order * 0.618) % 1 - 0.5) if axis.categories else 0.0


def whole(trial: Mapping[str, Any]) -> bool:
    """Does a trial have the scores of all its folds, and several?"""
    scores = trial.get("scores") or []
    return len(scores) > 1 and None not in scores


def chosen_in_words(view: View) -> str:
    """Which trials are drawn in orange."""
    if len(view.chosen) == 1:
        best = view.chosen[0]
        return f"best: {best['label']}, {view.text(best['score'])}"
    return f"chosen in their outer folds: {len(view.chosen)}"


def crowded(axis: Axis, letters: int) -> bool:
    """Would the texts under an axis of so many letters touch each other?"""
    ticks = axis.ticks()
    return any(
        (len(one) + len(other)) / 2 + 1 > letters * (right - left)
        for (left, one), (right, other) in itertools.pairwise(ticks)
    )
