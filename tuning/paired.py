"""How far candidates are apart: their answers to the same images, and the noise of training.

The mean over folds of a candidate is off its accuracy for two reasons: the images that were asked,
and the draw of each training. A difference of two candidates on the same images has a variance of
images that their answers tell, image by image; that of training shows between folds, as what is
left of a table of candidates by folds beyond its row and column means and beyond what images
explain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy import special

from tuning.statistics.significance import ROUNDING

_NODES, _WEIGHTS = (part / 2 for part in np.polynomial.legendre.leggauss(64))
_NODES += 0.5  # on 0..1
REACH = 11.0  # standard deviations of chi-square, beyond which is nothing that counts


@dataclass(frozen=True)
class Answers:
    """What candidates came to on the same folds. Axes before those named are of several searches.

    Without images, as of losses, both variances are 0 and folds alone tell.
    """

    scores: np.ndarray
    """float [..., candidates, folds], higher is better."""
    of_fold: np.ndarray
    """float [..., candidates, candidates], variance by images of the difference on one fold."""
    of_mean: np.ndarray
    """float [..., candidates, candidates], that of the mean over folds, were the two alike."""
    again: float = 0.0
    """Share of a fold's images that another fold has too, mean over pairs of folds."""

    @property
    def folds(self) -> int:
        return self.scores.shape[-1]


@dataclass(frozen=True)
class Residual:
    """Of candidates by folds: variance beside row and column means, the part of it that images
    explain, and degrees of freedom."""

    variance: np.ndarray
    of_images: np.ndarray
    degrees: np.ndarray


def of_scores(scores: Any) -> Answers:
    """Answers of which only the scores are known, float [candidates, folds]."""
    scores = np.asarray(scores, np.float64)
    nothing = np.zeros((len(scores), len(scores)))
    return Answers(scores, nothing, nothing)


def of_hits(hits: Sequence[Sequence[np.ndarray]], images: Sequence[np.ndarray]) -> Answers:
    """Answers that were right or wrong.

    Args:
        hits: bool [images] of each candidate and fold, whether it was right.
        images: int [images] of each fold, what is asked: images of several folds are seen again,
            and count once.

    Raises:
        ValueError: a fold whose hits are not one an image.
    """
    folds = range(len(hits[0]))
    right = [np.array([candidate[fold] for candidate in hits], np.float32) for fold in folds]
    sizes = [len(images[fold]) for fold in folds]
    if [answers.shape[1] for answers in right] != sizes:
        raise ValueError(f"hits: expected {sizes} of each candidate")
    scores = np.stack([answers.mean(axis=1, dtype=np.float64) for answers in right], axis=1)
    of_fold = of_mean = np.zeros((len(hits), len(hits)))
    for fold, size in zip(folds, sizes, strict=True):
        differ = _together(right[fold], right[fold]) / size
        lead = scores[:, None, fold] - scores[None, :, fold]
        of_fold = of_fold + (differ - lead**2) / max(size - 1, 1)
        of_mean = of_mean + differ / size
    shared = []
    for one, other in combinations(folds, 2):
        _, here, there = np.intersect1d(images[one], images[other], True, return_indices=True)
        shared.append(len(here) / math.sqrt(sizes[one] * sizes[other]))
        if len(here):
            both = _together(right[one][:, here], right[other][:, there])
            of_mean = of_mean + 2 * both / (sizes[one] * sizes[other])
    again = float(np.mean(shared)) if shared else 0.0
    return Answers(scores, of_fold / len(folds), of_mean / len(folds) ** 2, again)


def _together(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sum over images of a difference of two candidates on one fold times that on another."""
    products = (first @ second.T).astype(np.float64)
    own = np.diag(products)
    return np.asarray(own[:, None] + own[None, :] - products - products.T)


def residual(answers: Answers, of: np.ndarray) -> Residual:
    """What is left of the scores of some candidates beside the means of candidates and folds.

    Args:
        of: bool [..., candidates], those that count. Fewer than two, or one fold, have none: 0.
    """
    scores, count = answers.scores, of.sum(-1)
    rows = np.maximum(count, 1)
    centred = (scores - scores.mean(-1, keepdims=True)) * of[..., None]
    centred = (centred - centred.sum(-2, keepdims=True) / rows[..., None, None]) * of[..., None]
    degrees = (rows - 1) * (answers.folds - 1)
    pairs = answers.of_fold * (of[..., :, None] & of[..., None, :])
    return Residual(
        (centred**2).sum((-2, -1)) / np.maximum(degrees, 1),
        (1 - answers.again) * pairs.sum((-2, -1)) / np.maximum(rows * (rows - 1), 1) / 2,
        degrees,
    )


def p_no_better(
    lead: Any, of_mean: Any, left: Residual, folds: int, *, ratio: float, noise: float | None = None
) -> np.ndarray:
    """One-sided p of a lead, that its candidate is no better: 1 where nothing tells.

    The variance of the lead is that of the images plus 2 (1/folds + ratio) times that of training.
    The first is known. Of the second the residual R tells, with n degrees of freedom: R n / x for
    x from chi-square(n), cut off where it would be less than images alone explain. p is the normal
    tail, averaged over x. Where images explain nothing this is the t-test with n degrees, where
    they explain all of R it comes near to the test of paired answers alone.

    It holds if (1) images are a random sample, and each fold's answers differ by chance from those
    of a like candidate; (2) training scatters alike for the candidates that R is of, near enough to
    a normal distribution; (3) trainings on overlapping parts correlate by ratio / (1 + ratio), as
    Nadeau and Bengio (2003) have it; (4) a candidate was not made to fit these folds. A candidate
    that scatters more than the others makes p larger for all.

    Args:
        lead: float [...], difference of two means over folds.
        of_mean: float [...], its variance by images.
        left: of the candidates that tell the noise of training.
        folds: that the means are over.
        ratio: validation over training images of a fold.
        noise: standard deviation of training, known: the variance is at least that. With one fold
            there is no other, and without it p is 1.
    """
    lead, of_mean = np.asarray(lead, np.float64), np.asarray(of_mean, np.float64)
    least, scale = (noise or 0.0) ** 2, 2 * (1 / folds + ratio)
    shown = np.broadcast_to(left.degrees > 0, lead.shape)
    if noise is None and not shown.any():
        return np.ones(lead.shape)
    degrees = np.maximum(left.degrees, 1)[..., None]
    spread = np.where(left.variance > ROUNDING**2, left.variance, 0.0)[..., None] * degrees
    of_images, reach = left.of_images[..., None], REACH * np.sqrt(2 * degrees)
    lowest = np.maximum(of_images + least, spread / (degrees + reach + REACH**2 / 3))
    with np.errstate(divide="ignore", invalid="ignore"):
        highest = np.nan_to_num(spread / lowest)  # of x, a square below so that its density is flat
        first = np.sqrt(np.clip((degrees - reach) / highest, 0.0, 0.5))
        root = np.nan_to_num(first) + (1 - np.nan_to_num(first)) * _NODES
        logarithm = (degrees - 1) * np.log(root) - highest * root**2 / 2
    weights = np.exp(logarithm - logarithm.max(-1, keepdims=True)) * _WEIGHTS
    weights = weights / weights.sum(-1, keepdims=True)
    training = np.maximum(lowest / root**2 - of_images, least)
    averaged = (weights * _tail(lead[..., None], of_mean[..., None] + scale * training)).sum(-1)
    if noise is None:
        return np.where(shown, averaged, 1.0)
    return np.where(shown, averaged, _tail(lead, of_mean + scale * least))


def _tail(lead: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Chance of a normal variable above this lead; 1 where nothing varies."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 0, special.ndtr(-lead / np.sqrt(variance)), 1.0)
