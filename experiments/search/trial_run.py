"""What MLflow is told of one trial of a search: tags, curves and scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from experiments.config.schema import Config
from experiments.jobs.job import Outcome
from experiments.presentation.columns import rounded


@dataclass(frozen=True)
class TrialRun:
    """What is written of one trial."""

    path: str
    number: int
    config: Config
    chosen: Mapping[str, Any]
    status: str
    error: str | None
    outcomes: list[Outcome]
    """Of its folds in order; those that there are."""
    began: float
    """Seconds since 1970."""
    cost: Mapping[str, float] | None = None
    """For which it was refused."""


def outer_words(path: str) -> str:
    """The outer fold of a path, before what is said of it; nothing in a plain search."""
    first, _, rest = path.partition("/")
    if first == "final":
        return "final search, " if rest else "final, "
    return f"outer fold {rest.partition('/')[0]}, " if first == "outer" else ""


def ending(trial: TrialRun) -> dict[str, str]:
    """Tags: how it ended."""
    tags = {"trial_status": trial.status}
    return tags | ({"error": trial.error} if trial.error else {})


def curve(fold: int | None, values: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Points of an epoch; those of one of several folds under names of its own."""
    for name, value in values.items():
        yield name if fold is None else f"fold_{fold}_{name}", value


def lone_curve(trial: TrialRun) -> Iterator[tuple[str, float, int]]:
    """(name, value, epoch) of a trial of one fold."""
    if len(trial.outcomes) == 1:
        for epoch, values in enumerate(trial.outcomes[0].history, start=1):
            yield from ((name, value, epoch) for name, value in curve(None, values))


def metrics(trial: TrialRun) -> Iterator[tuple[str, float, int]]:
    """(name, value, step): each fold's scores, their mean and spread; seconds in all."""
    yield from ((name, float(value), 0) for name, value in (trial.cost or {}).items())
    finished = [outcome for outcome in trial.outcomes if outcome.status == "finished"]
    names = sorted({name for outcome in finished for name in outcome.scores})
    for name in names:
        values = [outcome.scores[name] for outcome in finished if name in outcome.scores]
        if name.startswith("val_"):
            yield from ((f"fold_{name}", value, fold) for fold, value in enumerate(values))
        if trial.status != "finished":
            continue
        last = len(finished[0].history) if len(trial.outcomes) == 1 else 0
        yield name, fmean(values), last
        yield from ((short, mean, last) for short, mean in rounded({name: fmean(values)}).items())
        if len(values) > 1:
            yield f"{name}_std", stdev(values), 0
    seconds = [outcome.cost["train_seconds"] for outcome in finished
               if "train_seconds" in outcome.cost]  # fmt: skip
    if seconds:
        yield "train_seconds", sum(seconds), 0
