"""A race decided on images: who gives up the folds that are left, and how often that may be wrong.

After each fold every candidate that is left is held against the leader by their paired answers and
the noise of training (`paired`). That needs two folds, which is when the first look is, or one and
a noise that is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuning import paired
from tuning.paired import Answers


@dataclass(frozen=True)
class Race:
    """When a candidate gives up its remaining folds.

    The promise, under the assumptions of `paired.p_no_better`: over a whole search the candidate
    that is truly best is lost in at most `alpha` of searches, and of candidates that are equally
    good each one is. `alpha` is shared out over the looks in proportion to the folds that each can
    save, and at each look over the rivals that may lead, so it holds however the looks and the
    candidates depend on each other (Bonferroni), and whoever leads.

    Args:
        images: of each fold, as index arrays.
        ratio: validation over training images of a fold, the correction for training parts that
            overlap.
        candidates: in all. None where a search may be taken further: levels then shrink with the
            number of a candidate and never change, so that what was decided stays so.
        noise: standard deviation of the score between trainings of one setting, if it is known:
            what the folds tell is then never taken to be less, and the first fold is looked at.
    """

    images: Sequence[np.ndarray]
    ratio: float
    candidates: int | None = None
    alpha: float = 0.05
    noise: float | None = None

    @property
    def after_folds(self) -> int:
        """How many folds all of them get."""
        return 2 if self.noise is None else 1

    def can_save(self, folds: int) -> bool:
        return folds > self.after_folds

    def levels(self, done: int, folds: int, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """p below which a candidate gives up, float [candidates, candidates] by it and the leader.

        Args:
            done: folds that they have.
            folds: in all.
            numbers: of the candidates in the search, from 0.
        """
        looks = folds - self.after_folds
        level = self.alpha * (folds - done) / (looks * (looks + 1) / 2)
        later = np.maximum.outer(numbers, numbers) + 1.0
        if self.candidates is not None:
            return np.full(later.shape, level / max(1, self.candidates - 1))
        # Against all that may ever come a candidate spends 0.97 of the level at most.
        return np.where(later <= 10, level / 15, 4 * level / (later * (later + 1)))

    def losers(
        self,
        scores: np.ndarray,
        hits: Sequence[Sequence[np.ndarray]] | None,
        numbers: Sequence[int],
        folds: int,
    ) -> dict[int, tuple[int, float]]:
        """Of each that loses, by position, the leader that it loses to and p.

        Args:
            scores: float [candidates, folds done].
            hits: of each candidate on each of these folds; without, nobody loses.
            numbers: of the candidates in the search, from 0.
            folds: of the whole search.
        """
        if hits is None:
            return {}
        answers = paired.of_hits(hits, self.images)
        levels, rivals = self.levels(scores.shape[1], folds, numbers), self.rivals(numbers)
        leader, p, loses = self.look(answers, np.ones(len(hits), bool), levels, rivals)
        return {int(at): (int(leader[at]), float(p[at])) for at in np.flatnonzero(loses)}

    def rivals(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Whom each candidate is held against, bool [candidates, candidates]: all others."""
        return ~np.eye(len(numbers), dtype=bool)

    def look(
        self, answers: Answers, left: np.ndarray, levels: np.ndarray, rivals: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Leader (the best rival), p and who loses [..., candidates], of one search or several.

        The worst is tested first. One that loses no longer counts where the noise of training is
        estimated: what diverges would hide the differences of the others.

        Args:
            left: bool [..., candidates], those that have not given up.
            levels: as from `levels`.
            rivals: as from `rivals`.
        """
        means = np.where(left, answers.scores.mean(-1), -np.inf)
        order, leader = np.argsort(means, axis=-1, kind="stable"), np.zeros(left.shape, int)
        p, loses = np.ones(left.shape), np.zeros(left.shape, bool)
        levels, rivals = (np.broadcast_to(of, answers.of_mean.shape) for of in (levels, rivals))
        for rank in range(left.shape[-1]):
            tested = order[..., rank]
            of_rivals = np.where(_at(rivals, tested), means, -np.inf)
            best, lead = of_rivals.argmax(-1), of_rivals.max(-1)
            counts = _at(left, tested) & (lead > -np.inf)
            if not counts.any():
                continue
            lead = np.where(counts, lead, 0.0) - np.where(counts, _at(means, tested), 0.0)
            by_images = _at(_at(answers.of_mean, tested), best)
            noise = paired.residual(answers, left & ~loses)
            value = paired.p_no_better(
                lead, by_images, noise, answers.folds, ratio=self.ratio, noise=self.noise
            )
            beaten = counts & (value < _at(_at(levels, tested), best))
            np.put_along_axis(leader, tested[..., None], best[..., None], -1)
            np.put_along_axis(p, tested[..., None], np.where(counts, value, 1.0)[..., None], -1)
            np.put_along_axis(loses, tested[..., None], beaten[..., None], -1)
        return leader, p, loses


def _at(values: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Of each search the entry at its position along the axis behind those of the searches."""
    index = position[(..., *[None] * (values.ndim - position.ndim))]
    return np.asarray(np.take_along_axis(values, index, position.ndim).squeeze(position.ndim))
