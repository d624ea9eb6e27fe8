"""Is a classifier as often right as it says? Its bins, expected calibration error and diagram."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.presentation.figure_style import (
    GRID,
    INK,
    LINE,
    OKABE_ITO,
    new_figure,
    save_picture,
    title_above,
)

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
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    measured, total = [], len(correct)
    ece = largest = 0.0
    for number in range(bins):
        inside = bin_of == number
        images = int(inside.sum())
        said = right = None
        if images:
            said, right = float(confidence[inside].mean()), float(correct[inside].mean())
            ece += images / total * abs(said - right)
            largest = max(largest, abs(said - right))
        measured.append(Bin(number / bins, (number + 1) / bins, images, said, right))
    return Calibration(ece, largest, float(confidence.mean()), float(correct.mean()), measured)


DPI = 160


def draw(calibration: Calibration, title: str, path: Path) -> None:
    """Save a PNG: accuracy by confidence over the diagonal of the perfectly calibrated."""
    figure = new_figure(4.6, 5.6, DPI, "constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    width = 1 / len(calibration.bins)
    filled = [each for each in calibration.bins if each.images]
    middles = [(each.low + each.high) / 2 for each in filled]
    right = [each.accuracy or 0.0 for each in filled]
    said = [each.confidence or 0.0 for each in filled]
    above.plot([0, 1], [0, 1], color=LINE, linewidth=0.9, linestyle=(0, (4, 3)), zorder=3)
    above.bar(
        middles, right, 0.92 * width, color=OKABE_ITO[5], edgecolor=OKABE_ITO[0], linewidth=0.6
    )
    above.plot(said, right, "o", color=OKABE_ITO[1], markersize=3.5, zorder=4, clip_on=False)
    above.vlines(said, right, said, color=OKABE_ITO[1], linewidth=1.0, zorder=3.5)
    above.set(xlim=(0, 1), ylim=(0, 1))
    above.set_ylabel("accuracy", fontsize=9, color=INK)
    above.set_title(  # bars may be anywhere in the square
        f"ECE {calibration.ece:.3f} ({len(calibration.bins)} bins of equal width)\n"
        f"mean confidence {calibration.confidence:.3f}, accuracy {calibration.accuracy:.3f}\n"
        "orange: the bin's gap to its mean confidence",
        loc="left",
        fontsize=8,
        color=INK,
    )
    below.bar(middles, [each.images for each in filled], 0.92 * width, color="#BBBBBB")
    below.set_xlabel("confidence (highest probability)", fontsize=9, color=INK)
    below.set_ylabel("images", fontsize=9, color=INK)
    for axes in (above, below):
        axes.grid(True, axis="y", color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8, color=LINE, labelcolor=INK, length=3)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(LINE)
    title_above(figure, title)
    save_picture(figure, path)
