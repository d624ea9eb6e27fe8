"""What figures of a search share: paper, frame, title and caption."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from experiments.plots import DPI, GRID, INK, LINE
from experiments.search_axes import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """An empty one, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def plain(panel: Axes) -> None:
    """Axes on two sides and a pale grid."""
    panel.grid(True, color=GRID, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=7.2, color=LINE, labelcolor=INK, length=3)
    for side, spine in panel.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(LINE)


def frame(figure: Figure, view: View, caption: str, left: float) -> None:
    """Title above, caption and notes below."""
    inches = figure.get_figheight()
    figure.text(
        left, 1 - 0.12 / inches, view.title, fontsize=11, weight="bold", color=INK, va="top"
    )
    letters = int(17.5 * figure.get_figwidth())
    lines = [textwrap.fill(line, letters) for line in (caption, *view.notes)]
    figure.text(
        left, 0.1 / inches, "\n".join(lines), fontsize=7.2, color="#444444", linespacing=1.4,
        va="bottom",
    )  # fmt: skip


def wrapped(label: str, letters: int) -> str:
    """A config key in lines of so many letters, broken after dots and underscores."""
    broken = label.replace("_", "_ ").replace(".", ". ")
    lines = textwrap.wrap(broken, letters, break_long_words=False)
    return "\n".join(line.replace("_ ", "_").replace(". ", ".") for line in lines)
