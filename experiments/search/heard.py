"""What a search hears of a fit that has ended: its score, its answers, its figures, its epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.config.schema import Config
from experiments.jobs.folds import is_share
from experiments.jobs.job import Outcome
from experiments.jobs.predictions import HITS, unpacked_hits
from experiments.search import pairs
from tuning.nested import Figures, Right, Score


@dataclass(frozen=True)
class Heard:
    """As `tuning.nested.Nested.tell` takes it."""

    score: Score
    right: Right
    figures: Figures


def heard(
    outcome: Outcome,
    sides: Sequence[tuple[int, int, int | None]],
    objective: str,
    measured: Sequence[str] = (),
) -> Heard:
    """Of a fit, or of a shared one by the outer folds that hear of it.

    Args:
        outcome: of the fit.
        sides: as of `Nested.sides`.
        objective: the score.
        measured: of several objectives, those that are not known before.
    """
    seen = {
        outer: outcome.scores if scored is None else pairs.on_fold(outcome.scores, scored)
        for outer, _, scored in sides
    }
    figures = {
        outer: {name: (outcome.cost | scores).get(name) for name in measured}
        for outer, scores in seen.items()
    }
    if [scored for _, _, scored in sides] == [None]:
        return Heard(outcome.scores.get(objective), _right(outcome, "val", objective), figures)
    return Heard(
        {outer: scores.get(objective) for outer, scores in seen.items()},
        {outer: _right(outcome, f"val_{scored}", objective) for outer, _, scored in sides},
        figures,
    )


def _right(outcome: Outcome, part: str, objective: str) -> np.ndarray | None:
    """Which images of a part it had right; None where the journal holds no answers, or the
    objective is no share of right images, which they would tell nothing of."""
    packed = outcome.artifacts.get(HITS, {}).get(part)
    return unpacked_hits(packed) if packed and is_share(objective) else None


def epochs_of(outcome: Outcome, config: Config) -> int:
    """Epochs that gave the score: with early stopping the best one's number."""
    stopping = config.train.early_stopping
    if stopping is None or not outcome.history:
        return len(outcome.history)
    sign = -1 if stopping.monitor == "val_loss" else 1
    best, at = float("-inf"), len(outcome.history)
    for epoch, values in enumerate(outcome.history, start=1):
        score = sign * values[stopping.monitor]
        if score > best + stopping.min_delta:
            best, at = score, epoch
    return at
