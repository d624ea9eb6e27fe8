"""Is a difference more than luck? Tests and intervals for folds and for paired predictions.

SciPy has the distributions and the binomial test; the corrected t, McNemar and Holm are a few
lines each and are written here (statsmodels, which has two of them, is no dependency).

The bootstrap here draws nothing. A resample of n images gives a sum of n whole numbers with the
observed frequencies: for the hits of one model that sum is Binomial(n, top-1), for errors on many
versions of an image its terms go higher. The exact distribution of the sum is what infinitely many
resamples would give, and it costs one Fourier transform: no seed, no simulation error, milliseconds
for the hits on 50,000 images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import optimize, stats

Alternative = Literal["two-sided", "greater", "less"]
ROUNDING = 1e-12  # of differences of scores, float64
FEW_PAIRS = 25  # discordant pairs below which the chi-square is not to be trusted (Conover 1999)


@dataclass(frozen=True)
class Interval:
    """A confidence interval in the unit of what it is of; infinite where one-sided."""

    low: float
    high: float
    confidence: float
    method: str


@dataclass(frozen=True)
class TTest:
    """Of a mean difference: t, its degrees of freedom, p, and the interval of the mean."""

    mean: float
    statistic: float
    degrees: int
    p_value: float
    interval: Interval


@dataclass(frozen=True)
class McNemar:
    """Images that only the first (only the second) model had right, and how likely that is.

    `statistic` is chi-square with one degree of freedom, or the smaller count of the exact test.
    """

    only_first: int
    only_second: int
    statistic: float
    p_value: float
    method: Literal["exact", "chi-square", "chi-square with continuity correction"]


def all_equal(differences: Sequence[float] | np.ndarray) -> bool:
    """Are they equal but for rounding? Then there is no spread to test their mean against."""
    values = np.asarray(differences, np.float64)
    return bool(np.ptp(values) <= ROUNDING * max(1.0, float(np.abs(values).max())))


def corrected_resampled_t(
    differences: Sequence[float] | np.ndarray,
    train_size: float | Sequence[float] | np.ndarray,
    test_size: float | Sequence[float] | np.ndarray,
    *,
    alternative: Alternative = "two-sided",
    confidence: float = 0.95,
) -> TTest:
    """Corrected resampled t-test of the mean score difference over folds.

    t = mean / sqrt((1/n + n_test/n_train) s^2), with n - 1 degrees of freedom; s^2 is the sample
    variance of the n differences. The plain t has 1/n alone and takes folds whose training parts
    overlap for independent, so that it finds differences where there are none.

    Args:
        differences: score of one model minus score of the other, one a fold (and repeat).
        train_size, test_size: images of a fold's parts; of unequal folds the list, averaged.
        alternative: greater tests for a mean above 0; the interval is then a lower bound.

    Raises:
        ValueError: fewer than two differences, one that is not finite, a size that is not
            positive, or differences all equal and not zero, which have no spread to test against.

    Source: Nadeau and Bengio (2003), Inference for the Generalization Error, Machine Learning 52,
    section 4; for repeated k-fold Bouckaert and Frank (2004).
    """
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"differences: expected two finite numbers or more. Received: {values}")
    train, test = float(np.mean(train_size)), float(np.mean(test_size))
    if not (np.min(train_size) > 0 and np.min(test_size) > 0):
        raise ValueError(f"fold sizes: expected above 0. Received: train {train:g}, test {test:g}")
    n, mean = len(values), float(values.mean())
    if all_equal(values):
        if abs(mean) > ROUNDING:
            raise ValueError(f"differences: all {n} are {mean:g}; a t-test needs some that differ")
        return TTest(0.0, 0.0, n - 1, 1.0, Interval(0.0, 0.0, confidence, "corrected t"))
    spread = float(values.std(ddof=1)) * math.sqrt(1 / n + test / train)
    t = mean / spread
    tail = stats.t.sf(abs(t) if alternative == "two-sided" else t, n - 1)
    p = {"two-sided": 2 * tail, "greater": tail, "less": 1 - tail}[alternative]
    outside = (1 - confidence) / (2 if alternative == "two-sided" else 1)
    reach = spread * float(stats.t.isf(outside, n - 1))
    interval = Interval(
        -math.inf if alternative == "less" else mean - reach,
        math.inf if alternative == "greater" else mean + reach,
        confidence,
        "corrected t",
    )
    return TTest(mean, t, n - 1, float(p), interval)


def mcnemar(first: Any, second: Any, *, exact: bool | None = None) -> McNemar:
    """McNemar's test that two models are right equally often on the same images.

    Args:
        first, second: bool [images], whether each model is right (top-1 or top-5), paired.
        exact: as `mcnemar_counts`.

    Raises:
        ValueError: arrays of different lengths, or not bool.

    Source: McNemar (1947), Psychometrika 12; for classifiers Dietterich (1998), section 3.1.
    """
    first, second = _paired(first, second)
    return mcnemar_counts(int((first & ~second).sum()), int((second & ~first).sum()), exact=exact)


def mcnemar_counts(
    only_first: int, only_second: int, *, exact: bool | None = None, correction: bool = True
) -> McNemar:
    """McNemar's test of the two counts of discordant pairs, b and c, two-sided.

    Exact: min(b, c) of Binomial(b + c, 1/2). Otherwise (|b - c| - 1)^2 / (b + c) against
    chi-square with one degree of freedom (Edwards 1948), without the 1 if not `correction`.

    Args:
        exact: None: exact below 25 discordant pairs, else chi-square.

    Raises:
        ValueError: a negative count.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"expected counts of pairs. Received: {only_first}, {only_second}")
    pairs, fewer = only_first + only_second, min(only_first, only_second)
    if exact or (exact is None and pairs < FEW_PAIRS) or not pairs:
        p = stats.binomtest(fewer, pairs).pvalue if pairs else 1.0
        return McNemar(only_first, only_second, float(fewer), float(p), "exact")
    excess = max(abs(only_first - only_second) - correction, 0)
    statistic = excess**2 / pairs
    p = float(stats.chi2.sf(statistic, 1))
    method: Any = "chi-square with continuity correction" if correction else "chi-square"
    return McNemar(only_first, only_second, statistic, p, method)


def accuracy_interval(
    hits: int,
    images: int,
    *,
    confidence: float = 0.95,
    method: Literal["bca", "percentile"] = "bca",
) -> Interval:
    """Bootstrap interval over images of an accuracy (top-1 or top-5), as fractions.

    With no hit or no miss every resample is the same and the bootstrap knows no spread; the
    interval is then Clopper and Pearson's, and says so.

    Args:
        hits: images whose label the model had right, of `images`.
        method: bca corrects bias and skewness (Efron 1987); percentile does not.

    Raises:
        ValueError: no images, or hits beyond 0..images.

    Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapters 13 and 14.
    """
    if not 0 <= hits <= images or images < 1:
        raise ValueError(f"expected hits within 0..images, images >= 1. Received: {hits}, {images}")
    if hits in (0, images):
        reach = 1 - ((1 - confidence) / 2) ** (1 / images)
        low, high = (1 - reach, 1.0) if hits else (0.0, reach)
        return Interval(low, high, confidence, "clopper-pearson")
    low, high = _bootstrap(np.array([0, images - hits, hits]), -1, confidence, method)
    return Interval(low, high, confidence, f"bootstrap {method}")


def difference_interval(first: Any, second: Any, *, confidence: float = 0.95) -> Interval:
    """Score interval of accuracy(first) - accuracy(second) on the same images.

    Every difference that a score test of the two paired shares does not refuse. It covers where
    few images are discordant, or none, and a bootstrap, which knows only those seen, does not.

    Args:
        first, second: bool [images], whether each model is right, paired.

    Raises:
        ValueError: arrays of different lengths, or not bool, or empty.

    Source: Tango (1998), Statistics in Medicine 17, section 2.
    """
    first, second = _paired(first, second)
    plus, minus, n = int((first & ~second).sum()), int((second & ~first).sum()), len(first)
    z = float(stats.norm.isf((1 - confidence) / 2))

    def deviation(difference: float) -> float:
        """Of the counts from this difference, in standard errors under it."""
        linear = (2 * n - plus + minus) * difference - plus - minus
        constant = -minus * difference * (1 - difference)
        # the likeliest share of images that only the second has right, under this difference
        share = (math.sqrt(max(linear**2 - 8 * n * constant, 0)) - linear) / (4 * n)
        variance = n * (2 * share + difference * (1 - difference))
        excess = plus - minus - n * difference
        if abs(excess) <= ROUNDING * n:
            return 0.0  # where every image says the same, the variance is 0 too
        return excess / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, excess)

    middle, edge = (plus - minus) / n, 1 - ROUNDING
    low, high = -1.0, 1.0
    if middle > -edge and deviation(-edge) > z:
        low = optimize.brentq(lambda difference: deviation(difference) - z, -edge, middle)
    if middle < edge and deviation(edge) < -z:
        high = optimize.brentq(lambda difference: deviation(difference) + z, middle, edge)
    return Interval(float(low), float(high), confidence, "score")


def mean_interval(values: Any, lowest: int, highest: int, *, confidence: float = 0.95) -> Interval:
    """Bootstrap BCa interval of the mean of whole numbers, one an image.

    Errors on several versions of each image, counted, or the differences of two models' counts:
    the versions of an image stay together, and so do the models.

    Args:
        values: int [images].
        lowest, highest: bounds of a value; they matter where all are equal, and the interval is
            what Clopper and Pearson's says of a share of other values seen 0 times.

    Raises:
        ValueError: no images, or values that are not whole numbers within the bounds.
    """
    values = np.asarray(values)
    whole = values.ndim == 1 and values.size and values.dtype.kind in "iu"
    if not whole or values.min() < lowest or values.max() > highest:
        raise ValueError(
            f"expected whole numbers from {lowest} to {highest}, one an image. Received: "
            f"{values.dtype} {values.shape}"
        )
    counts = np.bincount(values.astype(np.int64) - lowest)
    if counts.max() == len(values):
        unseen, value = 1 - ((1 - confidence) / 2) ** (1 / len(values)), float(values[0])
        low, high = value - unseen * (value - lowest), value + unseen * (highest - value)
        return Interval(low, high, confidence, "clopper-pearson")
    low, high = _bootstrap(counts, lowest, confidence, "bca")
    return Interval(low, high, confidence, "bootstrap bca")


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjusted p-values of m tests, in the order given: reject those at or below the level.

    The i-th smallest becomes the largest of (m - j + 1) p_(j) over j <= i, at most 1. Holds the
    chance of any false rejection at the level, whatever the tests' dependence.

    Raises:
        ValueError: a p-value outside 0..1.

    Source: Holm (1979), Scandinavian Journal of Statistics 6.
    """
    values = np.asarray(p_values, np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"expected p-values within 0..1. Received: {values}")
    order = np.argsort(values, kind="stable")
    steps = np.arange(len(values), 0, -1) * values[order]
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _paired(first: Any, second: Any) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first), np.asarray(second)
    if first.dtype != bool or second.dtype != bool or first.shape != second.shape or not first.size:
        raise ValueError(
            "expected two bool arrays of one length, right or wrong for each image. "
            f"Received: {first.dtype} {first.shape}, {second.dtype} {second.shape}"
        )
    return first, second


def _bootstrap(
    counts: np.ndarray, lowest: int, confidence: float, method: str
) -> tuple[float, float]:
    """Interval of the mean of whole numbers from its exact bootstrap distribution; `counts` [k]
    says how often each of `lowest`, `lowest` + 1, ... was seen."""
    n, steps = int(counts.sum()), np.arange(len(counts))
    chances = _resampled_sums(counts / n, n)
    up_to = np.cumsum(chances)
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    if method == "bca":
        at = int(counts @ steps)  # position of the observed sum
        bias = stats.norm.ppf(up_to[at] - chances[at] / 2)
        centred = steps - at / n
        # jackknife acceleration; for a mean the left-out values are the centred ones, scaled
        skew = (counts @ centred**3) / (6 * (counts @ centred**2) ** 1.5)
        shifted = bias + stats.norm.ppf(tails)
        tails = stats.norm.cdf(bias + shifted / (1 - skew * shifted))
    low, high = np.minimum(np.searchsorted(up_to, tails), n * int(steps[-1])) + n * lowest
    return float(low / n), float(high / n)


def _resampled_sums(shares: np.ndarray, n: int) -> np.ndarray:
    """Chance of each sum of n draws of 0, 1, ..., k - 1 with these shares, float64 [n (k - 1) + 1].

    The characteristic function of one draw, to the power n, transformed back.
    """
    # the sums fill the transform exactly
    sums = n * (len(shares) - 1) + 1
    turn = np.exp(-2j * np.pi * np.arange(sums) / sums)
    one = np.full(sums, shares[-1], np.complex128)
    for share in shares[-2::-1]:  # Horner's scheme
        one = one * turn + share
    return np.maximum(np.fft.ifft(one**n).real, 0.0)


def sign_flip(first: Any, second: Any) -> float:
    """Two-sided p of a randomisation test over images, from its exact distribution.

    Every image gives one difference of hits, first minus second. Were the two alike, each
    difference might as well have had the other sign; p is the share of all 2^images choices of
    signs whose sum is as far from 0 as the observed one. The seeds of an image stay together, as
    they are not independent. With one seed this is McNemar's exact test.

    Args:
        first, second: int [images], how many of the same seeds had the image right, paired.

    Raises:
        ValueError: arrays of different lengths, empty, or not of integers.

    Source: Fisher (1935), The Design of Experiments, section 21.
    """
    first, second = np.asarray(first), np.asarray(second)
    kinds = {first.dtype.kind, second.dtype.kind}
    if not kinds <= {"i", "u"} or first.shape != second.shape or not first.size:
        raise ValueError(
            "expected two int arrays of one length, hits of each image. "
            f"Received: {first.dtype} {first.shape}, {second.dtype} {second.shape}"
        )
    differences = first.astype(np.int64) - second.astype(np.int64)
    counts = np.bincount(np.abs(differences))
    largest = int(np.abs(differences).sum())
    observed = abs(int(differences.sum()))
    # the characteristic function of a sum of +-k, transformed back to the chances of -T..T
    angles = 2 * np.pi * np.arange(2 * largest + 1) / (2 * largest + 1)
    wave = np.ones_like(angles)
    for size, images in enumerate(counts):
        wave *= np.cos(size * angles) ** int(images)
    chances = np.maximum(np.fft.ifft(wave).real, 0.0)
    sums = np.minimum(np.arange(2 * largest + 1), 2 * largest + 1 - np.arange(2 * largest + 1))
    return float(min(1.0, chances[sums >= observed].sum()))
