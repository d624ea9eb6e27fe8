"""Power by seeds, a line for each number of test images: what more of either would buy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.presentation.figure_style import (
    OKABE_ITO,
    heading,
    label_axes,
    new_figure,
    plain_axes,
    save_picture,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(document: Mapping[str, Any]) -> Figure:
    """The figure of a plan, as `planning.plan` gives it."""
    figure = new_figure(6.4, 4.2)
    heading(figure, f"Power to find a difference of {100 * document['detect']:.3g} points")
    axes = figure.add_axes((0.1, 0.13, 0.86, 0.74))
    plain_axes(axes)
    cells = document["table"]
    for colour, images in zip(OKABE_ITO, sorted({c["images"] for c in cells}), strict=False):
        line = [(c["seeds"], c["power"]) for c in cells if c["images"] == images]
        axes.plot(*zip(*line, strict=True), "o-", color=colour, label=f"{images:,} images")
    axes.axhline(document["wanted_power"], color="0.5", linestyle="--", linewidth=1)
    axes.set_xscale("log")
    seeds = sorted({cell["seeds"] for cell in cells})
    axes.set_xticks(seeds, [str(n) for n in seeds])
    axes.minorticks_off()
    axes.set_ylim(0, 1.02)
    label_axes(axes, "Seeds a row", "Power")
    axes.legend(frameon=False, loc="best")
    return figure


def write(document: Mapping[str, Any], out: Path) -> Path:
    """The figure as plan.png in a folder, made if need be."""
    out.mkdir(parents=True, exist_ok=True)
    save_picture(draw(document), out / "plan.png")
    return out / "plan.png"
