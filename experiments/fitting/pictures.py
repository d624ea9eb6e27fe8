"""Pictures of one fit: layer statistics by depth, and reconstructions under their originals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.presentation.figure_style import (
    GRID,
    INK,
    LINE,
    OKABE_ITO,
    new_figure,
    save_picture,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# They hand on what they get: thinned out, rearranged or averaged.
_PASSING = (
    "Dropout", "MonteCarloDropout", "Flatten", "Reshape", "ZeroPadding2D", "Cropping2D",
    "MaxPooling2D", "AveragePooling2D", "Pooling2D", "GlobalAveragePooling2D",
)  # fmt: skip


def draw_layers(rows: Sequence[dict[str, Any]], name: str, path: Path) -> None:
    """Save a PNG: standard deviation of activations, rms of kernel gradients; log scale.

    At each depth stand the activations that the next kernel gets, before any pooling and dropout.
    """
    figure = new_figure(6.5, 6.0, DPI, "tight")
    upper, lower = figure.subplots(2, 1, sharex=True)
    last = rows[-1]["epoch"]
    epochs = [(0, "before training")] + ([(last, f"after epoch {last}")] if last else [])
    for axes, key, label in (
        (upper, "activation_std", "std of activations"),
        (lower, "kernel_gradient_rms", "rms of kernel gradients"),
    ):
        for (epoch, words), colour in zip(epochs, OKABE_ITO, strict=False):
            points = by_depth(rows, epoch, key)
            axes.plot(*zip(*points, strict=True), ".-", color=colour, label=words, linewidth=1.1)
        _finish(axes, label, [v for epoch, _ in epochs for _, v in by_depth(rows, epoch, key)])
    upper.legend(frameon=False, fontsize=8.5, labelcolor=INK)
    upper.set_title(name, loc="left", fontsize=11, weight="bold", color=INK)
    lower.set_xlabel("Depth: number of convolutions and dense layers so far", fontsize=9, color=INK)
    figure.align_ylabels()
    save_picture(figure, path)


def by_depth(rows: Sequence[dict[str, Any]], epoch: int, key: str) -> list[tuple[int, float]]:
    """(depth, value) of one epoch; of several layers at one depth the last that has a value."""
    points = {
        row["depth"]: row[key]
        for row in rows
        if row["epoch"] == epoch and row[key] is not None and row["kind"] not in _PASSING
    }
    return sorted((depth, value) for depth, value in points.items() if depth)


def _finish(axes: Axes, label: str, values: list[float]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

    positive = [value for value in values if value > 0]
    if positive and len(positive) == len(values):
        axes.set_yscale("log")
    elif positive:  # exact zeros have a place below the smallest of the others
        axes.set_yscale("symlog", linthresh=min(positive), linscale=0.5)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    if positive and max(positive) < 30 * min(positive):  # powers of ten alone would be too few
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
        axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axes.tick_params(which="minor", labelsize=8.5, color=LINE, labelcolor=INK, length=2)
    axes.set_ylabel(label, fontsize=9, color=INK)
    axes.grid(True, color=GRID, linewidth=0.6)
    axes.tick_params(labelsize=8.5, color=LINE, labelcolor=INK, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(LINE)


IMAGES = 8
INCHES, DPI = 1.1, 160  # side of one image, and dots to the inch


def draw_reconstructions(originals: np.ndarray, made: np.ndarray, part: str, path: Path) -> None:
    """Save a PNG of two rows.

    Args:
        originals, made: float [images, h, w, 1 or 3] on 0..1; beyond it is clipped.
        part: what the originals are of, such as test.
        path: of the PNG.
    """
    figure = new_figure(INCHES * len(originals) + 1.2, 2 * INCHES + 0.5, DPI)
    grid = figure.subplots(2, len(originals), squeeze=False)
    errors = np.mean((originals - made) ** 2, axis=(1, 2, 3))
    for row, images in zip(grid, (originals, made), strict=True):
        for axes, image in zip(row, images, strict=True):
            pixels = np.clip(image, 0, 1)
            axes.imshow(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, "gray", vmin=0, vmax=1)
            axes.set_xticks([])
            axes.set_yticks([])
    for axes, error in zip(grid[1], errors, strict=True):
        axes.set_xlabel(f"{error:.2g}", fontsize=8)
    grid[0][0].set_ylabel(f"{part} image", fontsize=8)
    grid[1][0].set_ylabel("reconstruction\nand its MSE", fontsize=8)
    figure.tight_layout(pad=0.4)
    save_picture(figure, path)
