"""Is one setting better than another, over new seeds and new images?

A test over the images of two trained networks speaks of those two: with other seeds they would have
scored otherwise, and the more images there are, the more surely it finds a difference that is
theirs alone. What is asked of an architecture is the difference over both, so its variance has two
parts, and each is measured:

    training   by the spread of each row's scores over its seeds, on the same images
    images     by the spread over images of the paired differences, less what training moves there

Two seeds say little of a spread (one degree of freedom), so rows that scatter alike are pooled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, stats

from tuning.statistics.significance import Interval


@dataclass(frozen=True)
class Training:
    """Variance of a row's score from one training to the next, on given images."""

    variance: float
    degrees: int
    pooled: bool


@dataclass(frozen=True)
class Difference:
    """Of two settings: mean over common seeds and images, and the two variances of that mean.

    The interval is Banerjee's: its half width h at confidence 1 - a is

        h^2 = z(a/2)^2 images + sum over training parts of t(a/2, degrees)^2 variance

    which covers with at least 1 - a whatever the ratio of the parts (Banerjee 1960, Sankhya 22),
    while the degrees of freedom of Welch and Satterthwaite give too short an interval where the
    part known least is the larger. Assumed: normal means, which some hundred images and
    averages over thousands of updates give; trainings of two rows that are independent, as far as
    their seeds are not the same; images drawn alike.
    """

    mean: float
    images: float
    """Variance of the mean from the choice of images alone."""
    training: tuple[tuple[float, int], ...]
    """Variance of the mean from training, what it moves at single images included, and its degrees
    of freedom; one if pooled, else one a row."""

    def half_width(self, alpha: float) -> float:
        """Of the interval with confidence 1 - alpha, in the unit of the mean."""
        parts = stats.norm.isf(alpha / 2) ** 2 * self.images + sum(
            stats.t.isf(alpha / 2, degrees) ** 2 * variance for variance, degrees in self.training
        )
        return float(np.sqrt(parts))

    def interval(self, confidence: float = 0.95) -> Interval:
        """Of the difference over new seeds and new images."""
        reach = self.half_width(1 - confidence)
        return Interval(self.mean - reach, self.mean + reach, confidence, "seeds and images")

    @property
    def p_value(self) -> float:
        """Two-sided: the level at which the interval ends at 0."""
        lead = abs(self.mean)
        if lead == 0 or lead <= self.half_width(1 - 1e-12):
            return 1.0
        if lead >= self.half_width(SMALLEST):
            return SMALLEST
        log_p = optimize.brentq(
            lambda log_alpha: self.half_width(math.exp(log_alpha)) - lead, math.log(SMALLEST), 0.0
        )
        return math.exp(log_p)


SMALLEST = 1e-15  # p below which none is told from another


def training_variances(scores: Mapping[Any, Sequence[float]]) -> dict[Any, Training]:
    """How far each row's score is from what other seeds would give, rows pooled if alike.

    Rows are pooled unless the variance of one is beyond what rows of one variance show: Cochran's
    bound, an F quantile of its ratio to the others' (`alike`). Then every
    row stands for itself, with the degrees of freedom of its own seeds: a pool without the wild
    rows would be one of the calm, and promise too much. Of rows that are alike, two seeds are
    pooled in a fifth of sweeps, three in half of them, more in four of five.

    Args:
        scores: of each row, one a seed, on the same images; rows with fewer than two say nothing.

    Source: Cochran (1941), The distribution of the largest of a set of estimated variances,
    Annals of Eugenics 11.
    """
    known = {row: np.asarray(of, np.float64) for row, of in scores.items() if len(of) > 1}
    apart = {
        row: Training(float(of.var(ddof=1)), len(of) - 1, pooled=False) for row, of in known.items()
    }
    variances = np.array([of.variance for of in apart.values()])
    degrees = np.array([of.degrees for of in apart.values()])
    if len(apart) < 2 or not alike(variances, degrees):
        return apart
    pooled = Training(float(variances @ degrees / degrees.sum()), int(degrees.sum()), pooled=True)
    return dict.fromkeys(apart, pooled)


def _doubt(degrees: int) -> float:
    """Level at which rows are said to scatter differently, by the degrees of freedom of a row.

    The fewer the seeds, the less they show of a wild row, so pooling takes rows that are the more
    alike: with these levels some pair of equal rows was found different in 5 % of simulated sweeps
    at most, within simulation error (2 to 14 rows; 2, 3, 5 and 10 seeds; one, two, half or all but
    one of the rows up to 100 times as wild as the rest); at 0.1 throughout it were 14, 8 and 6 %
    with 2, 3 and 5 seeds.
    """
    return {1: 0.8, 2: 0.5}.get(degrees, 0.2)


def alike(variances: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Is no row's variance beyond what chance makes of the others'?

    Args:
        variances: float [..., rows], of two rows or more.
        degrees: int [rows].

    Returns:
        bool [...].
    """
    levels = np.array([_doubt(int(of)) for of in degrees]) / len(degrees)
    others = ~np.eye(len(degrees), dtype=bool)  # not by subtraction, which loses the smallest
    of_rest = others @ degrees
    rest = (variances * degrees) @ others / of_rest
    limits = stats.f.isf(levels, degrees, of_rest)
    return np.asarray((variances <= rest * limits).all(axis=-1))


def difference(
    first: np.ndarray, second: np.ndarray, training: tuple[Training, Training]
) -> Difference:
    """The first setting's accuracy minus the second's.

    Args:
        first, second: bool [seeds, images], whether the label was right, of two or more common
            seeds in the same order, on the same images.
        training: of the two rows, from `training_variances`.

    Raises:
        ValueError: arrays that are not bool, of different shapes, or of one seed.
    """
    kinds = {first.dtype, second.dtype}
    if kinds != {np.dtype(bool)} or first.shape != second.shape or len(first) < 2:
        raise ValueError(
            "expected two bool arrays [seeds, images] of one shape, of two seeds or more. "
            f"Received: {first.dtype} {first.shape}, {second.dtype} {second.shape}"
        )
    seeds, images = first.shape
    hits = [of.sum(axis=0, dtype=np.int64) for of in (first, second)]
    of_image = (hits[0] - hits[1]) / seeds
    spread = float(of_image.var(ddof=1))
    # seeds that disagree on an image move its mean, which the spread over seeds has already
    moved = sum(float((k * (seeds - k)).mean()) / (seeds * (seeds - 1)) for k in hits) / seeds
    one, other = training
    if one.pooled and other.pooled:
        parts: tuple[tuple[float, int], ...] = ((2 * one.variance / seeds, one.degrees),)
    else:
        parts = tuple((each.variance / seeds, each.degrees) for each in training)
    return Difference(float(of_image.mean()), max(spread - moved, 0.0) / images, parts)
