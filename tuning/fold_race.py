"""A race on fold means, which earlier versions ran: see `race` for the one that keeps a promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

FEWEST_FOLDS = 3  # that a race tests: two differences have a spread by chance alone


@dataclass(frozen=True)
class Racing:
    """When a candidate gives up its remaining folds.

    After each fold from `after_folds` on, its paired differences to the leader over the folds done
    are tested one-sided with the corrected resampled t (Nadeau and Bengio 2003): below `alpha`, and
    worse on average by `margin` or more, it gives up. Each test is at `alpha`; they are not
    corrected for their number. Two differences, or any that are equal but for rounding, say nothing
    of the spread: nothing is tested then, and nobody gives up.
    """

    after_folds: int = 2
    alpha: float = 0.05
    margin: float = 0.0
    ratio: float = 0.5
    """Validation over training images, the correction for training parts that overlap."""

    def can_save(self, folds: int) -> bool:
        return folds > max(self.after_folds, FEWEST_FOLDS)

    def losers(self, scores: np.ndarray, *_: Any) -> dict[int, tuple[int, float]]:
        """Of each that loses, by position, the leader that it loses to and p.

        Args:
            scores: float [candidates, folds done], higher is better.
        """
        table = scores.tolist()
        leader = max(range(len(table)), key=lambda at: (fmean(table[at]), -at))
        lost = {
            at: self.loses([best - score for best, score in zip(table[leader], row, strict=True)])
            for at, row in enumerate(table)
        }
        return {at: (leader, p) for at, p in lost.items() if p is not None}

    def loses(self, differences: Sequence[float]) -> float | None:
        """p of the leader's lead, if a candidate so far behind gives up; else None."""
        p = self.p(differences)
        return p if p < self.alpha and fmean(differences) >= self.margin else None

    def p(self, differences: Sequence[float]) -> float:
        """One-sided p of a mean difference above 0; 1 where there is nothing to test it against."""
        from tuning.statistics.significance import all_equal, corrected_resampled_t

        if len(differences) < FEWEST_FOLDS or all_equal(differences):
            return 1.0
        test = corrected_resampled_t(differences, 1.0, self.ratio, alternative="greater")
        return test.p_value
