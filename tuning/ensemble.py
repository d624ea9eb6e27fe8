"""Ensembles from what their members said of each image: no network, no file.

The mean of the members' probabilities (Krizhevsky et al. 2012, section 7; Lakshminarayanan et al.
2017, section 2.4), set beside the member that validation images chose, at its multiplied cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tuning.statistics.significance import (
    Interval,
    McNemar,
    accuracy_interval,
    difference_interval,
    mcnemar,
)

TOP5_FROM = 6  # classes; with five or fewer every answer is a top-5 hit
SUMMED = ("macs", "params", "latency_ms_p50")


@dataclass(frozen=True)
class Score:
    """Accuracies on one part, as fractions, with their bootstrap intervals over its images."""

    images: int
    top1: float
    top1_interval: Interval
    top5: float | None
    """None with five classes or fewer."""
    top5_interval: Interval | None


@dataclass(frozen=True)
class Gain:
    """Top-1 of one model minus that of another on the same images."""

    top1: float
    interval: Interval
    """Paired bootstrap over images."""
    test: McNemar


def average(members: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of the members' probabilities, float64 [images, classes], summed in float64.

    Args:
        members: probabilities [images, classes] of each member, the same images in the same order.

    Raises:
        ValueError: no members, different shapes, or rows that are no probabilities.
    """
    if not members or any(m.ndim != 2 or m.shape != members[0].shape for m in members):
        shapes = [m.shape for m in members]
        raise ValueError(f"expected members of one shape [images, classes]. Received: {shapes}")
    total = np.zeros(members[0].shape)
    for member in members:
        sums = member.sum(axis=1, dtype=np.float64)
        if not (np.abs(sums - 1) < 1e-3).all() or (member < 0).any():
            raise ValueError("expected probabilities, whose rows sum to 1; average no logits")
        total += member
    return total / len(members)


def hits(probabilities: np.ndarray, labels: np.ndarray, k: int = 1) -> np.ndarray:
    """Is the label among the k most probable classes? bool [images].

    Equal probabilities count for the lower class number, as argmax does.
    """
    of_label = np.take_along_axis(probabilities, labels[:, None], axis=1)
    above = (probabilities > of_label).sum(axis=1)
    lower = np.arange(probabilities.shape[1]) < labels[:, None]
    level = ((probabilities == of_label) & lower).sum(axis=1)
    return np.asarray(above + level < k)


def score(probabilities: np.ndarray, labels: np.ndarray, confidence: float = 0.95) -> Score:
    """Top-1 and top-5 of probabilities [images, classes] for labels [images]."""
    images = len(labels)
    right = int(hits(probabilities, labels).sum())
    top1 = accuracy_interval(right, images, confidence=confidence)
    if probabilities.shape[1] < TOP5_FROM:
        return Score(images, right / images, top1, None, None)
    among = int(hits(probabilities, labels, 5).sum())
    top5 = accuracy_interval(among, images, confidence=confidence)
    return Score(images, right / images, top1, among / images, top5)


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative logarithm of the label's probability, in nats."""
    of_label = np.take_along_axis(probabilities, labels[:, None], axis=1).astype(np.float64)
    return float(-np.log(np.maximum(of_label, np.finfo(np.float64).tiny)).mean())


def best_member(validation: Sequence[np.ndarray], labels: np.ndarray) -> int:
    """Position of the member with the highest top-1; of equals the one with the lowest log loss.

    Args:
        validation: probabilities [images, classes] of each member on validation images. Never
            test images: the best of n on the images that it is then scored on looks too good.

    Raises:
        ValueError: no members.
    """
    if not validation:
        raise ValueError("expected a member or more. Received: none")
    ranked = [
        (-hits(member, labels).mean(), log_loss(member, labels), at)
        for at, member in enumerate(validation)
    ]
    return min(ranked)[2]


def gain(
    first: np.ndarray, second: np.ndarray, labels: np.ndarray, confidence: float = 0.95
) -> Gain:
    """Top-1 of `first` minus `second`, paired: bootstrap interval and McNemar's test.

    Args:
        first, second: probabilities [images, classes] on the same images in the same order.
    """
    right, other = hits(first, labels), hits(second, labels)
    return Gain(
        float(right.mean() - other.mean()),
        difference_interval(right, other, confidence=confidence),
        mcnemar(right, other),
    )


def cost(members: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Cost of asking every member: {macs, params, latency_ms_p50}, each the members' sum.

    The latency is what the members take one after another (the sum of their medians). A figure
    that a member lacks is left out.
    """
    return {
        key: sum(member[key] for member in members)
        for key in SUMMED
        if members and all(key in member for member in members)
    }
