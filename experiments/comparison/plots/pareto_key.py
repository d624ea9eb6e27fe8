"""The key of a scatter plot: what the area of a bubble, its colour and the line mean."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.presentation.figure_style import FRONT, INK, LINE, OKABE_ITO
from experiments.presentation.formatting import si

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGEST_POINTS = 30.0  # diameter of the largest bubble


def diameter(params: float | None, largest: float) -> float:
    """Diameter in points, so that area is in proportion to the number of parameters."""
    return LARGEST_POINTS * math.sqrt(params / largest) if params and largest else 0.0


def size_key(largest: float) -> list[float]:
    """Two or three round numbers of parameters for the key of bubble sizes, largest first."""
    if largest <= 0:
        return []
    ten = 10 ** math.floor(math.log10(largest))
    top = max(step * ten for step in (1, 2, 5) if step * ten <= largest)
    return [top, top / 4 if top / ten == 2 else top / 5, top / 20 if top / ten == 2 else top / 25]


def draw_key(
    figure: Figure,
    axes: Axes,
    experiments: Sequence[str],
    colours: Mapping[str, str],
    largest: float,
) -> None:
    """What bubbles, colours and the line mean, right of the frame."""
    from matplotlib.lines import Line2D

    def bubble(diameter: float, **style: Any) -> Line2D:
        return Line2D([], [], linestyle="none", marker="o", markersize=diameter, **style)

    grey: dict[str, Any] = {"markerfacecolor": "#D9D9D9", "markeredgecolor": LINE}
    entries = [
        (bubble(diameter(size, largest), markeredgewidth=0.8, **grey), f"{si(size, 1)}")
        for size in size_key(largest)
    ]
    top = axes.get_position().y1
    width, height = figure.get_size_inches()
    left = 1 - 1.16 / width
    style: dict[str, Any] = {
        "frameon": False,
        "fontsize": 7.8,
        "title_fontsize": 7.8,
        "labelcolor": INK,
        "alignment": "left",
        "borderpad": 0,
    }
    if entries:
        sizes = figure.legend(
            *zip(*entries, strict=True),
            title="Parameters\n",  # a bubble is higher than its row
            loc="upper left",
            bbox_to_anchor=(left, top),
            labelspacing=1.7,
            handlelength=LARGEST_POINTS / 7.8,
            handletextpad=0.5,
            handleheight=1.8,
            **style,
        )
        figure.add_artist(sizes)
    marks = [
        (Line2D([], [], color=FRONT, linewidth=1.1), "Pareto front"),
        (bubble(8, color=OKABE_ITO[0], alpha=0.65, markeredgewidth=0), "on the front"),
        (bubble(8, color=OKABE_ITO[0], alpha=0.2, markeredgewidth=0), "dominated"),
    ]
    if len(experiments) > 1:
        marks = marks[:1] + [
            (bubble(7, color=colours[name]), textwrap.fill(name, 16)) for name in experiments
        ]
    figure.legend(
        *zip(*marks, strict=True),
        loc="upper left",
        bbox_to_anchor=(left, top - 1.65 / height),
        labelspacing=0.7,
        handlelength=1.6,
        handletextpad=0.6,
        **style,
    )
