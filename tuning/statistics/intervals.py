"""How far a cross-validated score may be from the score on new images: intervals over folds.

    plain_t     t over the fold scores, as if folds were independent          covers too seldom
    wilson      over the scored images, as if one network had named them      covers too seldom
    corrected   t over the fold scores, widened for training parts that       covers
                overlap (Nadeau and Bengio 2003)
    nested_cv   from fits without one and without two folds (Bates, Hastie    from one draw of the
                and Tibshirani 2024)                                          folds: too seldom
    of_folds    what is printed: `corrected`, or `wilson` where that is wider

How often each covers was measured, on real images: README.md. A mean ± its standard deviation over
folds is no interval of anything.

What they are intervals of: the mean score, on new images of the same kind, of networks that the
same procedure makes from as many training images as a fold has. The procedure is fixed; where it
chooses (a search), the choice must have been made anew for each fold, without the images that the
fold is scored by, as nested cross-validation does. The fold scores of a search's winner are high
because it was chosen for them, and no interval around them is honest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tuning.statistics.significance import Interval, all_equal, corrected_resampled_t

Scores = Sequence[float] | np.ndarray
"""One number a fold."""
PLAIN, WILSON, NESTED = "t over folds", "Wilson over images", "nested cross-validation"
CORRECTED = "corrected resampled t"


@dataclass(frozen=True)
class NestedCV:
    """What fits without one and without two folds say of a fixed procedure."""

    estimate: float
    """The score, corrected for training on fewer images: of networks trained on all of them."""
    error: float
    """Square root of the estimated mean squared error, within its bounds."""
    interval: Interval


def of_folds(
    scores: Scores,
    *,
    trained: Scores,
    held: Scores,
    images: int | None = None,
    confidence: float = 0.95,
) -> Interval:
    """The interval to print for the mean over folds: `corrected`, or `wilson` where that is wider.

    Folds may agree by chance, and all of them may be perfect; then their spread knows less than
    the number of images does.

    Args:
        scores: of each fold (and repeat), on images that no choice was made by.
        trained, held: images that each fold is trained on, and scored by.
        images: different images in all that were scored, of accuracies; None for other scores,
            which have no Wilson interval and no bounds.

    Raises:
        ValueError: as `corrected`.
    """
    interval = corrected(scores, trained=trained, held=held, confidence=confidence)
    if images is None:
        return interval
    low, high = max(0.0, interval.low), min(1.0, interval.high)
    other = wilson(float(np.mean(scores)), images, confidence=confidence)
    wider = other.high - other.low > high - low
    return other if wider else Interval(low, high, confidence, interval.method)


def corrected(
    scores: Scores,
    *,
    trained: Scores,
    held: Scores,
    confidence: float = 0.95,
) -> Interval:
    """Corrected resampled t interval of a mean score over folds.

    mean ± t sqrt((1/n + held/trained) s^2), n - 1 degrees of freedom, as
    `significance.corrected_resampled_t` has it for differences.

    Raises:
        ValueError: fewer than two scores, one that is not finite, or a size that is not positive.

    Source: Nadeau and Bengio (2003), Machine Learning 52, section 4; repeated k-fold: Bouckaert
    and Frank (2004).
    """
    values = np.asarray(scores, np.float64)
    # A test refuses differences that are all alike; an interval around their mean is a point then.
    mean = float(values.mean()) if values.size else 0.0
    spread = np.zeros_like(values) if values.size and all_equal(values) else values - mean
    around = corrected_resampled_t(spread, trained, held, confidence=confidence).interval
    return Interval(mean + around.low, mean + around.high, confidence, CORRECTED)


def plain_t(scores: Scores, *, confidence: float = 0.95) -> Interval:
    """t interval of the mean of fold scores, as if they were independent: for comparison only.

    Raises:
        ValueError: fewer than two scores.
    """
    values = np.asarray(scores, np.float64)
    n = len(values)
    if n < 2:
        raise ValueError(f"scores: expected two or more. Received: {values}")
    reach = float(stats.t.isf((1 - confidence) / 2, n - 1) * values.std(ddof=1) / math.sqrt(n))
    return Interval(float(values.mean()) - reach, float(values.mean()) + reach, confidence, PLAIN)


def wilson(share: float, images: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's interval of a share of images: of what the images alone leave open.

    Raises:
        ValueError: a share outside 0..1, or no images.

    Source: Wilson (1927), Journal of the American Statistical Association 22.
    """
    if not 0 <= share <= 1 or images < 1:
        raise ValueError(f"expected a share within 0..1 of 1 image or more: {share}, {images}")
    z2 = float(stats.norm.isf((1 - confidence) / 2)) ** 2
    centre = (share + z2 / (2 * images)) / (1 + z2 / images)
    square = share * (1 - share) / images + z2 / (4 * images**2)
    reach = math.sqrt(z2 * square) / (1 + z2 / images)
    return Interval(max(0.0, centre - reach), min(1.0, centre + reach), confidence, WILSON)


def nested_cv(
    pairs: Sequence[Scores],
    singles: Scores,
    sizes: Sequence[int] | np.ndarray,
    *,
    losses: Sequence[np.ndarray] | None = None,
    confidence: float = 0.95,
) -> NestedCV:
    """Nested cross-validation interval of Bates, Hastie and Tibshirani, from one draw of the folds.

    It is of the error of a FIXED procedure. For one that chooses, a pair's score must be that of
    what would be chosen without both folds; the winner's own inner scores are not.

    Fold i gives a_i = (mean inner error - error of the single fit)^2 and b_i, the variance of the
    latter from its images; MSE = (K-1)/K (mean a - mean b), its root kept within SE and sqrt(K) SE.
    The estimate is the mean inner error less the bias (1 + (K-2)/K) (inner - outer). The authors
    average a and b over hundreds of draws of the folds; one draw has only K of each, and the
    interval covers less often than it says (README.md).

    Args:
        pairs: of each fold i, the score on each other fold j, ascending, of the network that was
            trained without i and j: the inner scores of outer fold i.
        singles: of each fold i, the score on i of the network that was trained without i.
        sizes: images of each fold.
        losses: of each fold, the losses of its images in the single fit; None: accuracies or
            error rates, whose images have the variance p (1 - p).

    Raises:
        ValueError: fewer than three folds, lengths that do not fit, or shares outside 0..1.

    Source: Bates, Hastie and Tibshirani (2024), Cross-validation: what does it estimate and how
    well does it do it?, Journal of the American Statistical Association 119 (arXiv 2104.00673),
    Algorithm 1 and section 4.
    """
    outer, counts, k = np.asarray(singles, np.float64), np.asarray(sizes, np.float64), len(singles)
    if k < 3 or len(counts) != k or [len(row) for row in pairs] != [k - 1] * k or counts.min() < 2:
        raise ValueError(
            "expected three folds or more of two images or more, a score of each and of its pairs "
            f"with the others. Received: {k} scores, sizes {list(sizes)}, pairs of "
            f"{[len(row) for row in pairs]}"
        )
    inner = np.array([np.average(pairs[i], weights=np.delete(counts, i)) for i in range(k)])
    mean = float(inner.mean())
    if losses is None:
        if min(inner.min(), outer.min()) < 0 or max(inner.max(), outer.max()) > 1:
            raise ValueError("scores: expected shares within 0..1, or the losses of each image")
        within = outer * (1 - outer) / (counts - 1)
        error = math.sqrt(mean * (1 - mean) / counts.sum())
    else:
        within = np.array([np.var(one, ddof=1) / len(one) for one in losses])
        error = float(np.concatenate(losses).std(ddof=1)) / math.sqrt(counts.sum())
    square = (k - 1) / k * float(((inner - outer) ** 2).mean() - within.mean())
    root = min(max(math.sqrt(max(square, 0.0)), error), math.sqrt(k) * error)
    bias = (1 + (k - 2) / k) * (mean - float(np.average(outer, weights=counts)))
    reach = float(stats.norm.isf((1 - confidence) / 2)) * root
    low, high = mean - bias - reach, mean - bias + reach
    if losses is None:
        low, high = max(0.0, low), min(1.0, high)
    return NestedCV(mean - bias, root, Interval(low, high, confidence, NESTED))
