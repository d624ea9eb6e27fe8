"""A race of candidates whose cost is known before they are trained: each need only beat the front
at its own cost.

With several objectives, one a validation score and the others costs that are known, a candidate
that is no better than a cheaper one is on no front, however good it is beside the dearer ones. So
it is held against those that cost no more than it, as `race` holds all against the best; the
cheapest has no rival and gets every fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tuning.race import Race


@dataclass(frozen=True)
class CostRace(Race):
    """When a candidate gives up its remaining folds.

    The true front has the candidates for which no other one costs as little, or less, and is as
    good, or better; of equal cost and accuracy both. The promise, under the assumptions of
    `paired.p_no_better`: over a whole search a member of it is lost in at most `alpha` of searches,
    whichever member; the whole front is kept in the others. Every pair of candidates is tested one
    way, against the one that costs less, or both ways where they cost the same; `alpha` is shared
    out over the pairs (Bonferroni), and over the looks as in `Race`.

    A candidate that costs more and is exactly as good is on no front, but nothing tells it from one
    that is a little better: it is kept.

    Args:
        cost: of a candidate by its number, one entry an objective, cheaper is less.
    """

    cost: Callable[[int], Sequence[float]] = field(kw_only=True)

    def rivals(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Whom each candidate is held against: those that cost no more on any objective."""
        return super().rivals(numbers) & self._no_dearer(numbers)

    def levels(self, done: int, folds: int, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        levels = super().levels(done, folds, numbers)
        later = np.maximum.outer(numbers, numbers) + 1.0
        if self.candidates is not None:
            members = np.full(later.shape, max(1, self.candidates) / 2)
        else:  # 45 pairs of the first ten spend 0.6 of the level, later ones 0.37 at most
            members = np.where(later <= 10, 5.0, np.maximum(later - 1, 1))
        no_dearer = self._no_dearer(numbers)
        return levels / members / np.where(no_dearer & no_dearer.T, 2, 1)

    def _no_dearer(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """bool [candidates, candidates]: does the second cost no more than the first?"""
        costs = np.array([self.cost(int(number)) for number in numbers], np.float64)
        return np.asarray((costs[None, :] <= costs[:, None]).all(-1))
