"""Is a classifier as often right as it says? Expected calibration error and its bins."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

BINS = 15


@dataclass(frozen=True)
class Bin:
    """Images whose highest probability is above `low` and up to `high`; means of an empty one are
    None."""

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """ece: mean gap between confidence and accuracy, weighted by images; `largest_gap` of a bin."""

    ece: float
    largest_gap: float
    confidence: float
    accuracy: float
    bins: list[Bin]

    def to_dict(self) -> dict[str, Any]:
        binning = f"{len(self.bins)} bins of equal width over the highest probability"
        return {"binning": binning, **asdict(self)}


def measure(probabilities: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Calibration:
    """Of the answers' own probabilities (top-1), in bins (i / n, (i + 1) / n] of equal width.

    Args:
        probabilities: float [images, classes], rows of sum one.
        correct: bool [images], whether the most probable class is the label.

    Raises:
        ValueError: no images.

    Source: Guo, Pleiss, Sun, Weinberger 2017 (arXiv:1706.04599), equations 2 and 3, 15 bins.
    """
    if not len(correct):
        raise ValueError("calibration needs at least one image. Received: none")
    confidence = probabilities.max(axis=1).astype(np.float64)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    found, total = [], len(correct)
    ece = largest = 0.0
    for number in range(bins):
        inside = place == number
        images = int(inside.sum())
        said = right = None
        if images:
            said, right = float(confidence[inside].mean()), float(correct[inside].mean())
            ece += images / total * abs(said - right)
            largest = max(largest, abs(said - right))
        found.append(Bin(number / bins, (number + 1) / bins, images, said, right))
    return Calibration(ece, largest, float(confidence.mean()), float(correct.mean()), found)
