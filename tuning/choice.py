"""Which candidate is chosen of those that have every fold, and is its lead more than luck?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any, Literal

import numpy as np

from tuning import paired
from tuning.race import Race

Rule = Literal["best", "one_standard_error", "cheapest"]
Cost = Callable[[int], tuple[float, ...]]
"""Of a candidate, by its place in the ranking: cheaper is less."""


@dataclass(frozen=True)
class Lead:
    """How far the highest mean is ahead of the others."""

    difference: float
    """To the second."""
    p: float | None
    """One-sided, that the second is no worse."""
    level: float
    """p below which a candidate is told from the highest: 0.05 over the number of the others, so
    that those which are not have the truly best among them in 95 % of searches."""
    alike: list[int]
    """Places in the ranking of those that cannot be told from the highest, without it."""
    within_noise: bool | None
    """Is there one? None where images alone tell and the noise of training is not known."""
    of: Literal["images and training", "images", "folds"]
    """What the test knows the scatter of."""


@dataclass(frozen=True)
class Choice:
    """How a candidate is chosen.

    best: the highest mean. one_standard_error: the cheapest of those within one standard error of
    it (Breiman et al. 1984, section 3.4.3). cheapest: the cheapest of those that the paired test
    cannot tell from it, see `lead`. Of equal cost the higher mean, of equal means the first tried.

    Args:
        images: of each fold, as index arrays.
        ratio: validation over training images of a fold.
        noise: standard deviation of training, if it is known.
    """

    rule: Rule = "best"
    images: Sequence[np.ndarray] = ()
    ratio: float = 0.0
    noise: float | None = None

    def eligible(self, scores: np.ndarray, hits: list[list[np.ndarray]] | None) -> list[int]:
        """Places in the ranking of those of which the cheapest is chosen.

        Args:
            scores: float [candidates, folds], best mean first, higher is better.
            hits: bool [images] of each candidate on each fold, where they are known.
        """
        if self.rule == "best":
            return [0]
        if self.rule == "cheapest":
            told = self.lead(scores, hits)
            return [0, *(told.alike if told else [])]
        means = scores.mean(axis=1)
        least = means[0] - self.standard_error(scores[0], hits[0] if hits else None)
        return [int(at) for at in np.flatnonzero(means >= least)]

    def of(self, scores: np.ndarray, hits: list[list[np.ndarray]] | None, cost: Cost) -> int:
        """Place in the ranking of the one that is chosen."""
        among = self.eligible(scores, hits)
        return min(among, key=lambda at: (*cost(at), at)) if len(among) > 1 else among[0]

    def standard_error(self, scores: np.ndarray, hits: Sequence[np.ndarray] | None) -> float:
        """Of a mean over folds: their standard deviation over the root of their number, of which
        folds that ask images again count in part. With one fold that of a share of its images; 0
        where they are not known."""
        if len(scores) > 1:
            asked = np.concatenate(self.images) if len(self.images) else np.arange(1)
            return stdev(scores) / math.sqrt(len(scores) * len(np.unique(asked)) / len(asked))
        share = float(hits[0].mean()) if hits else 0.0
        return math.sqrt(share * (1 - share) / len(hits[0])) if hits else 0.0

    def lead(self, scores: np.ndarray, hits: list[list[np.ndarray]] | None) -> Lead | None:
        """What the paired test says of the highest mean; None where there is nothing to test.

        With one fold and no `noise` that is known the test is of the images alone: of two trained
        networks, not of two settings. Without hits it is the t-test of candidates by folds. Those
        that are told from the highest, the worst first, no longer count for the noise of training.

        Args:
            scores, hits: as of `eligible`.
        """
        count, folds = scores.shape
        lone = folds == 1 and self.noise is None
        if count < 2 or (lone and not hits):
            return None
        answers = paired.of_hits(hits, self.images) if hits else paired.of_scores(scores)
        level, noise = 0.05 / (count - 1), 0.0 if lone else self.noise
        race = Race(self.images, self.ratio, count, noise=noise)
        rivals = race.rivals(range(count))
        _, p, told = race.look(
            answers, np.ones(count, bool), np.full((count, count), level), rivals
        )
        alike = [at for at in range(1, count) if not told[at]]
        known: Any = "images" if lone else "images and training" if hits else "folds"
        within = True if alike else None if lone else False
        ahead = float(scores[0].mean() - scores[1].mean())
        return Lead(ahead, float(p[1]), level, alike, within, known)
