"""Scales of a search's parameters and of its score, and where trials are drawn on them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from experiments.presentation.formatting import in_percent, in_words, round_values, shortened
from experiments.presentation.quantities import SCORES
from tuning.space import Float, Int, Parameter, Space, identity

FEW = 8  # values up to which an axis names each, in equal steps
VAGUE = ("name", "op", "probability", "factor")  # endings that say nothing alone
SHADES = (
    "#D2E21B", "#84D44B", "#42BE71", "#20A386", "#23888E", "#2F6C8E", "#3D4D8A", "#482979",
    "#440154",
)  # fmt: skip
"""Viridis, dark for the best, without its palest end, which white paper swallows."""
LETTERS = 16  # of a value on an axis


@dataclass(frozen=True)
class Axis:
    """One parameter: from a value to a position between 0 and 1."""

    key: str
    label: str
    """The shortest ending of the key that no other axis has."""
    low: float = 0.0
    high: float = 1.0
    """The end that is drawn on top or right, which may be the smaller one."""
    log: bool = False
    categories: tuple[str, ...] | None = None
    """Identities of the values that are named one by one, in order; None for a range."""
    names: tuple[str, ...] = ()
    absent: bool = False
    """Some trial lacks the key: its condition did not hold."""

    def position(self, settings: Mapping[str, Any]) -> float | None:
        """Where a trial's value is; None where it has none."""
        if self.key not in settings:
            return None
        value = settings[self.key]
        if self.categories is not None:
            return (self.categories.index(identity(value)) + 0.5) / len(self.categories)
        return self.at(float(value))

    def at(self, value: float) -> float:
        """Where a number of the range is."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return 0.5 if high == low else (value - low) / (high - low)

    def ticks(self) -> list[tuple[float, str]]:
        """Places and their texts."""
        if self.categories is not None:
            steps = len(self.categories)
            return [((at + 0.5) / steps, name) for at, name in enumerate(self.names)]
        values = round_values(self.low, self.high, self.log)
        return [(self.at(value), f"{value:g}") for value in values]


@dataclass(frozen=True)
class View:
    """Trials as they are drawn, best last, those without a score first."""

    title: str
    axes: tuple[Axis, ...]
    trials: tuple[Mapping[str, Any], ...]
    """As given, with `id` (unique), `label` and `chosen` (picked by the search)."""
    score_name: str = "val_top1"
    minimise: bool = False
    notes: tuple[str, ...] = field(default=())
    picked: str = "chosen in their outer folds"
    """What several trials that stand out were chosen for."""

    @property
    def scored(self) -> list[Mapping[str, Any]]:
        """Those with a score, worst first."""
        return [trial for trial in self.trials if trial["score"] is not None]

    @property
    def chosen(self) -> list[Mapping[str, Any]]:
        """What the search picked: the best trial, or that of each outer fold."""
        return [trial for trial in self.trials if trial["chosen"]]

    @property
    def score_label(self) -> str:
        return SCORES.get(self.score_name, self.score_name)

    def shown(self, score: float) -> float:
        """The score in the unit of its label."""
        return 100 * score if in_percent(self.score_name) else score

    def text(self, score: float) -> str:
        """The score for people."""
        shown = self.shown(score)
        return f"{shown:.2f} %" if in_percent(self.score_name) else f"{shown:.4g}"

    def score_axis(self) -> Axis:
        """The scale of the score; its upper end is the better one."""
        values = [
            self.shown(score) for score in [trial["score"] for trial in self.scored] or (0, 1)
        ]
        low, high = min(values), max(values)
        margin = 0.04 * (high - low) or abs(high) * 0.05 or 1.0
        low, high = low - margin, high + margin
        if in_percent(self.score_name):
            low, high = max(low, 0.0), min(high, 100.0)
        without = len(self.scored) < len(self.trials)
        ends = (high, low) if self.minimise else (low, high)
        return Axis("score", self.score_label, *ends, absent=without)

    def without_score(self) -> list[tuple[str, int]]:
        """Kinds of trials that have no score, with their number."""
        words = [why(trial) for trial in self.trials if trial["score"] is None]
        return [(word, words.count(word)) for word in dict.fromkeys(words)]


def view(
    trials: Sequence[Mapping[str, Any]],
    title: str,
    *,
    space: Space | None = None,
    score_name: str = "val_top1",
    minimise: bool = False,
    notes: Sequence[str] = (),
    chosen: Collection[tuple[int | str, int]] | None = None,
    picked: str = View.picked,
) -> View:
    """Trials with a scale for each parameter.

    Args:
        trials: `number status hyperparameters score`, and where there are folds `scores`; `outer`
            where several searches are drawn together.
        title: of the picture.
        space: what they were drawn from; without it, scales are those of the values.
        score_name: what the score is.
        minimise: is a lower score the better one?
        notes: lines under the picture.
        chosen: (outer, number) of the trials that were picked; None: the best.
        picked: what several of them were chosen for.
    """
    rows = [_row(at, trial, chosen) for at, trial in enumerate(trials)]
    keys = list(space.by_key) if space else []
    keys += [key for row in rows for key in row["hyperparameters"] if key not in keys]
    keys = list(dict.fromkeys(keys))
    parameters = space.by_key if space else {}
    axes = [
        axis(key, label, [row["hyperparameters"] for row in rows], parameters.get(key))
        for key, label in zip(keys, short(keys), strict=True)
    ]
    worst = math.inf if minimise else -math.inf

    def rank(row: Mapping[str, Any]) -> tuple[bool, int, float, int]:
        score = worst if row["score"] is None else row["score"]
        budget = row.get("budget") or 0  # a longer training's score comes before a shorter one's
        return row["score"] is not None, budget, -score if minimise else score, -row["id"]

    rows.sort(key=rank)
    if chosen is None and rows and rows[-1]["score"] is not None:
        rows[-1]["chosen"] = True
    return View(title, tuple(axes), tuple(rows), score_name, minimise, tuple(notes), picked)


def axis(
    key: str, label: str, settings: Sequence[Mapping[str, Any]], parameter: Parameter | None
) -> Axis:
    """The scale of one parameter."""
    values = [one[key] for one in settings if key in one]
    absent = len(values) < len(settings)
    listed: Sequence[Any] | None = _distinct(values)
    if parameter is not None:
        options = parameter.options
        listed = options if options is None or len(options) <= FEW else _distinct(values)
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    ranged = isinstance(parameter, Int | Float) or parameter is None
    if listed is None or (numbers and len(listed) > (FEW if parameter else FEW // 2)):
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        log = low > 0 and high > 10 * low
        if isinstance(parameter, Int | Float):
            low, high, log = parameter.low, parameter.high, parameter.log
        return Axis(key, label, float(low), float(high), log, absent=absent)
    ordered = sorted(listed) if numbers and ranged else list(listed)
    return Axis(
        key,
        label,
        categories=tuple(identity(value) for value in ordered),
        names=tuple(name(value) for value in ordered),
        absent=absent,
    )


def name(value: Any) -> str:
    """A value on an axis."""
    text = f"{value:.4g}" if isinstance(value, float) else in_words(value)
    return shortened(text, LETTERS, "…")


def words(trial: Mapping[str, Any], axes: Sequence[Axis]) -> str:
    """A trial's settings in a line."""
    settings = trial["hyperparameters"]
    held = (axis for axis in axes if axis.key in settings)
    return ", ".join(f"{axis.label} {name(settings[axis.key])}" for axis in held)


def why(trial: Mapping[str, Any]) -> str:
    """Why a trial has no score."""
    return str(trial["status"]).replace("_", " ")


def short(keys: Sequence[str]) -> list[str]:
    """The shortest ending of each dotted key that tells it from the others."""
    labels = []
    for key in keys:
        parts = key.split(".")
        endings = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        others = [other for other in keys if other != key]
        labels.append(
            next(
                (
                    e
                    for e in endings
                    if e not in VAGUE and not any(f".{other}".endswith(f".{e}") for other in others)
                ),
                key,
            )
        )
    return labels


def binned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float, float]]:
    """Means of neighbours along a scale: (from, to, mean) of up to four groups of three or more."""
    ordered = sorted(points)
    groups = max(1, min(4, len(ordered) // 3))
    cuts = [round(i * len(ordered) / groups) for i in range(groups + 1)]
    parts = [ordered[a:b] for a, b in itertools.pairwise(cuts) if b > a]
    return [(part[0][0], part[-1][0], fmean(score for _, score in part)) for part in parts]


def _row(
    at: int, trial: Mapping[str, Any], chosen: Collection[tuple[int | str, int]] | None
) -> dict[str, Any]:
    """The trial with what drawing it needs."""
    outer, number = trial.get("outer"), trial["number"]
    search = "" if outer is None else "final search, " if outer == "final" else f"outer {outer}, "
    return dict(trial) | {
        "id": at,
        "label": f"{search}trial {number}",
        "chosen": chosen is not None and (outer or 0, number) in chosen,
    }


def _distinct(values: Sequence[Any]) -> list[Any]:
    return list({identity(value): value for value in values}.values())


NOWHERE = -0.13  # height at which a trial passes an axis that it has no value on


def crossings(view: View, axes: Sequence[Axis]) -> dict[int, list[float]]:
    """Heights at which each trial crosses each axis, by its id.

    Trials that share a named value are spread around it, better ones higher, so that their lines
    can be followed.
    """
    heights: dict[int, list[float]] = {trial["id"]: [] for trial in view.trials}
    for axis in axes:
        at = {trial["id"]: _position(view, axis, trial) for trial in view.trials}
        for trial in view.trials:
            number, position = trial["id"], at[trial["id"]]
            named = axis.categories is not None or position is None
            peers = [other for other in at if at[other] == position] if named else [number]
            room = 0.05 if position is None else min(0.06, 0.3 / len(axis.categories or [1]))
            spread = (2 * peers.index(number) / (len(peers) - 1) - 1) if len(peers) > 1 else 0.0
            base = NOWHERE if position is None else position
            heights[number].append(base + room * spread)
    return heights


def _position(view: View, axis: Axis, trial: Mapping[str, Any]) -> float | None:
    if axis.key != "score":
        return axis.position(trial["hyperparameters"])
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
    if len(view.chosen) == 1 and view.chosen[0] is view.scored[-1]:
        best = view.chosen[0]
        return f"best: {best['label']}, {view.text(best['score'])}"
    return f"{view.picked}: {len(view.chosen)}"


def crowded(axis: Axis, letters: int) -> bool:
    """Would the texts under an axis of so many letters touch each other?"""
    ticks = axis.ticks()
    return any(
        (len(one) + len(other)) / 2 + 1 > letters * (right - left)
        for (left, one), (right, other) in itertools.pairwise(ticks)
    )
