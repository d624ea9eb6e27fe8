"""The reliability diagram: how often answers of a confidence are right, and how many there are."""

from __future__ import annotations

from pathlib import Path

from experiments.calibration import Calibration
from experiments.plots import GRID, INK, LINE, OKABE_ITO

DPI = 160


def draw(found: Calibration, title: str, path: Path) -> None:
    """Save a PNG: accuracy by confidence over the diagonal of the perfectly calibrated."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 5.6), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    width = 1 / len(found.bins)
    filled = [each for each in found.bins if each.images]
    middles = [(each.low + each.high) / 2 for each in filled]
    right = [each.accuracy or 0.0 for each in filled]
    said = [each.confidence or 0.0 for each in filled]
    above.plot([0, 1], [0, 1], color=LINE, linewidth=0.9, linestyle=(0, (4, 3)), zorder=3)
    above.bar(
        middles, right, 0.92 * width, color=OKABE_ITO[5], edgecolor=OKABE_ITO[0], linewidth=0.6
    )
    above.plot(said, right, "o", color=OKABE_ITO[1], markersize=3.5, zorder=4)
    above.vlines(said, right, said, color=OKABE_ITO[1], linewidth=1.0, zorder=3.5)
    above.set(xlim=(0, 1), ylim=(0, 1))
    above.set_ylabel("accuracy", fontsize=9, color=INK)
    above.text(
        0.03,
        0.97,
        f"ECE {found.ece:.3f} ({len(found.bins)} bins of equal width)\n"
        f"mean confidence {found.confidence:.3f}, accuracy {found.accuracy:.3f}\n"
        "orange: the bin's gap to its mean confidence",
        transform=above.transAxes,
        va="top",
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
    figure.suptitle(title, fontsize=8.5, color=INK, wrap=True)
    figure.savefig(path, format="png")
