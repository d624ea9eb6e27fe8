"""How many seeds and images would settle a difference, by the test of `over_seeds`.

The power is that test's own: of its pooling, its quantiles and Holm's correction in its first step,
so that rows which are beaten besides only add to it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from tuning.statistics.over_seeds import alike

DRAWS = 2048
"""Of the variances that seeds will show. The power given these is exact, so that it is off by less
than a point."""
MOST_SEEDS = 1000
MOST_IMAGES = 100_000_000


@dataclass(frozen=True)
class Noise:
    """Variances that a difference of two rows is made of, in squared fractions.

    The mean over n seeds and m images of the difference has variance

        images / m + 2 (training + moved / m) / n
    """

    training: float
    """Of a row's score from one training to the next, over ever more images."""
    moved: float
    """Of a row's answer at one image from one training to the next, less the former."""
    images: float
    """Over images of the difference between the two rows' expected answers."""

    def of_score(self, images: float) -> float:
        """Variance of a row's score over its seeds, on these images."""
        return self.training + self.moved / images

    def parts(self, seeds: float, images: float) -> dict[str, float]:
        """Variance of the difference's mean: of training, of images, and of both at once."""
        return {
            "training": 2 * self.training / seeds,
            "images": self.images / images,
            "both": 2 * self.moved / (seeds * images),
        }


def assumed(seed_sd: float, top1: float) -> Noise:
    """Before any run exists.

    Half of what errors made independently of each other would give is taken for the variance over
    images, top1 (1 - top1) a pair of networks, and all of it is the settings' own.

    Args:
        seed_sd: standard deviation of a score over seeds, as a fraction, whatever the images.
        top1: accuracy of the networks, as a fraction.
    """
    return Noise(seed_sd**2, 0.0, top1 * (1 - top1))


def power(
    noise: Noise, lead: float, seeds: float, images: float, rows: int = 2, alpha: float = 0.05
) -> float:
    """Probability that a row ahead of another by `lead`, a fraction, is found ahead.

    Args:
        seeds, images: common to all rows, two seeds or more; either may be infinite.
        rows: of the comparison; all pairs are tested, and all seeds tell how far trainings scatter.
        alpha: level that all pairs share.
    """
    return float(_found(noise, seeds, images, rows, alpha)(lead))


def detectable(
    noise: Noise,
    seeds: float,
    images: float,
    rows: int = 2,
    alpha: float = 0.05,
    wanted: float = 0.8,
) -> float:
    """The smallest lead, as a fraction, that is found with power `wanted`."""
    found = _found(noise, seeds, images, rows, alpha)
    high = 1e-6
    while found(high) < wanted:
        high *= 2
    return float(optimize.brentq(lambda lead: found(lead) - wanted, 0.0, high))


def fewest_seeds(
    noise: Noise, lead: float, images: float, rows: int, alpha: float, wanted: float
) -> int | None:
    """That find a lead with power `wanted`; None where MOST_SEEDS do not."""
    return _fewest(lambda n: power(noise, lead, n, images, rows, alpha) >= wanted, MOST_SEEDS)


def fewest_images(
    noise: Noise, lead: float, seeds: int, rows: int, alpha: float, wanted: float
) -> int | None:
    """That find a lead with power `wanted`; None where MOST_IMAGES do not: seeds are too few."""
    return _fewest(lambda n: power(noise, lead, seeds, n, rows, alpha) >= wanted, MOST_IMAGES)


def _fewest(enough: Callable[[int], bool], most: int) -> int | None:
    """The smallest number from 2 to `most` that is enough, by halving."""
    if not enough(most):
        return None
    low, high = 1, most
    while high - low > 1:
        middle = math.isqrt(low * high) if high > 4 * low else (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _found(
    noise: Noise, seeds: float, images: float, rows: int, alpha: float
) -> Callable[[float], float]:
    """The power by the lead."""
    level = alpha / math.comb(rows, 2)
    of_images = stats.norm.isf(level / 2) ** 2 * noise.images / images
    reach = np.sqrt(np.atleast_1d(of_images))
    if seeds < math.inf:
        degrees = int(seeds) - 1
        factors = _factors(rows, degrees, level)
        reach = np.sqrt(of_images + noise.of_score(images) / seeds * factors)
    deviation = max(math.sqrt(sum(noise.parts(seeds, images).values())), 1e-12)

    def found(lead: float) -> float:
        return float(stats.norm.sf((reach - lead) / deviation).mean())

    return found


@functools.lru_cache(maxsize=256)
def _factors(rows: int, degrees: int, level: float) -> np.ndarray:
    """[DRAWS] of t^2 times the two rows' variances as estimated, where each is 1 in truth; pooled
    or not by the rule of `over_seeds.training_variances`."""
    draws = np.random.default_rng(0)
    variances = draws.chisquare(degrees, (DRAWS, rows)) / degrees
    pooled = 2 * variances.mean(axis=1) * stats.t.isf(level / 2, rows * degrees) ** 2
    apart = variances[:, :2].sum(axis=1) * stats.t.isf(level / 2, degrees) ** 2
    return np.where(alike(variances, np.full(rows, degrees)), pooled, apart)
