"""What our networks say of a cell: its figure, its interval, and the hits that order it by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments.config import settings
from experiments.evaluation import image_set, scoring
from experiments.evaluation.answers import together
from experiments.inference.loading import load
from experiments.jobs import predictions
from experiments.jobs.job import Outcome
from experiments.metrics import ranks
from experiments.papers.declaration import Cell
from experiments.tracking.journal import Journal
from tuning.ensemble import TOP5_FROM, average
from tuning.statistics.intervals import plain_t, wilson
from tuning.statistics.rank_agreement import share_interval

MILLION = 1e6
RANK = {"top-1 error": 1, "top-5 error": 5}


@dataclass
class Figure:
    """Of one cell: a value a seed, and of errors which images were right."""

    values: dict[int, float] = field(default_factory=dict)
    hits: dict[int, np.ndarray] = field(default_factory=dict)
    """bool [images] by seed."""

    @property
    def mean(self) -> float | None:
        """None without any; infinite where a target was not reached."""
        return float(np.mean(list(self.values.values()))) if self.values else None


Fit = tuple[Outcome, str]
"""With the id of its run."""


def part_of(outcome: Outcome) -> str:
    """The images that a fit is scored by: test, or where there are none val."""
    return "test" if "test_top1" in outcome.scores else "val"


def ranks_of(members: Sequence[Outcome], epochs: Sequence[int] = ()) -> np.ndarray:
    """Classes before the label, int [images], of the members' mean probabilities on what they were
    scored by when they ended; with their answers after these earlier epochs averaged, too."""
    columns = [predictions.PROBABILITIES, *map(predictions.epoch_column, epochs)]
    kept = [
        predictions.read(str(outcome.predictions), name=str(outcome.path), column=column)
        for outcome in members
        for column in columns
    ]
    _, labels, probabilities = predictions.paired(kept, part_of(members[0]))
    mean = probabilities[0] if len(kept) == 1 else average(probabilities)
    return ranks(mean, labels)


def ranks_under(cell: Cell, run_ids: Sequence[str], uri: str | None, part: str) -> np.ndarray:
    """As `ranks_of`, of crops of the same images under the cell's `evaluate.protocol`, by the
    runs' stored networks.

    Raises:
        BadInput: a run kept no network, or it cannot be scored so.
    """
    words = [f"evaluate.protocol={cell.protocol}", f"evaluate.part={PARTS[part]}"]
    words += [f"evaluate.sides={list(cell.sides)}"] if cell.sides else []
    words += [f"tracking.uri={uri}"] if uri else []
    given = settings.parse(settings.override({}, words))
    networks = load(run_ids, given)
    config = image_set.base(networks, words)
    subject = image_set.choose(networks, config, words)
    prepared = scoring.prepare(networks, subject, config, given)
    answers, _ = scoring.run(prepared, config, quiet=False, say=lambda line: None)
    mean, _ = together(answers)
    order = np.argsort(subject.indices, kind="stable")  # as predictions are kept
    return np.asarray((mean or answers[0]).rank)[order]


PARTS = {"val": "validation", "test": "test"}


def updates_to(target: float, outcome: Outcome, updates_an_epoch: int) -> float:
    """Millions of updates until validation is as good as `target`, a straight line between epochs;
    infinite where it never is."""
    before = 0.0
    for epoch, row in enumerate(outcome.history):
        reached = row.get("val_top1", 0.0)
        if reached >= target:
            part = (target - before) / (reached - before) if reached > before else 1.0
            return (epoch + max(part, 0.0)) * updates_an_epoch / MILLION
        before = reached
    return math.inf


def value_of(
    cell: Cell, members: Sequence[Outcome], rank: np.ndarray | None
) -> tuple[float, np.ndarray | None] | None:
    """A cell's figure with one seed, and its hits; None where the networks have none of the kind.

    Not of `updates to target`, which needs another cell's.
    """
    first = members[0]
    if cell.measure == "multiply-adds":
        return first.cost["macs"] / MILLION, None
    if cell.measure == "training error":
        return 100 * (1 - first.scores["train_top1"]), None
    assert rank is not None
    best = RANK[cell.measure]
    if best == 5 and f"{part_of(first)}_top5" not in first.scores:
        return None
    right = rank < best
    return 100 * (1 - float(right.mean())), right


def interval_of(figure: Figure, group: Mapping[int, Figure], at: int) -> list[float] | None:
    """Of a cell's figure, 95 %: over seeds and images; with one seed over images alone (Wilson), of
    this trained network; of what is no share of images over seeds (t), with one seed None."""
    if figure.hits:
        of = share_interval(figure.hits, {k: each.hits for k, each in group.items()}, at)
        if of is None:
            [right] = figure.hits.values()
            of = wilson(float(right.mean()), len(right))
        return [100 * (1 - of.high), 100 * (1 - of.low)]
    values = list(figure.values.values())
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    of = plain_t(values)
    return [of.low, of.high]


def remembered(book: Journal, key: Sequence[Any], measure: Callable[[], np.ndarray]) -> np.ndarray:
    """What `measure()` gave for this key when the command was run before; else it is asked, and
    kept in the journal."""
    name = list(key)
    for event in book.events():
        if event["event"] == "ranked" and event["of"] == name:
            return np.asarray(event["ranks"])
    rank = measure()
    book.append("ranked", of=name, ranks=np.minimum(rank, TOP5_FROM).tolist())
    return rank
