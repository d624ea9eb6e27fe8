"""Each row's difference to the best with its interval: how sure is it that the row is worse?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.comparison.against_best import against_best_text, difference_text
from experiments.comparison.caption import figure_origin, part, title
from experiments.comparison.grouping import Comparison
from experiments.comparison.row_names import labels
from experiments.presentation.columns import Row
from experiments.presentation.figure_style import (
    FRONT,
    GRID,
    INK,
    LINE,
    OKABE_ITO,
    caption_below,
    cut,
    heading,
    new_figure,
    plain_axes,
)
from experiments.presentation.formatting import percent
from experiments.presentation.html_page import Drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEADING = "Difference to the best"
MOST = 40
COLOURS = {"worse": OKABE_ITO[1], "equivalent": OKABE_ITO[2], "undecided": LINE}


def draw(comparison: Comparison) -> Drawn | None:
    """A line a row, best first; None where no row was tested against the best."""
    rows = [row for row in comparison.rows if row.get("difference") is not None][:MOST]
    tested = comparison.significance or {}
    if not rows:
        return None
    names = [cut(name, 34) for name in labels(rows)]
    left = 0.35 + 0.075 * max(map(len, names))
    figure = new_figure(7.6, 1.9 + 0.27 * len(rows))
    name = f"{HEADING}: {title(comparison)}"
    heading(figure, name, 0.03)
    width, height = figure.get_size_inches()
    margin = tested.get("margin")
    band = "" if margin is None else f" Band: the margin of {100 * margin:g} points."
    caption = (
        f"Points and lines: row minus {tested['best']}, with intervals that hold together with "
        f"{1 - tested['alpha']:.0%}; the tests stand below the table.{band}"
    )
    bottom = caption_below(figure, [figure_origin(comparison), caption], 0.03) + 0.5 / height
    right = 1.6 / width
    axes = figure.add_axes(
        (left / width, bottom, 1 - right - left / width, 1 - 0.62 / height - bottom)
    )
    hovers = _marks(axes, rows, names)
    axes.axvline(0, color=FRONT, linewidth=0.9, zorder=1)
    if margin is not None:
        axes.axvspan(-100 * margin, 100 * margin, color=GRID, zorder=0)
    _key(axes, [row["verdict"] for row in rows])
    what = f"Difference of top-1 accuracy on {part(comparison)} (points)"
    axes.set_xlabel(what, fontsize=9.5, color=INK)
    return Drawn("differences", HEADING, name, figure, hovers)


def _marks(axes: Axes, rows: Sequence[Row], names: Sequence[str]) -> dict[str, str]:
    plain_axes(axes, "x")
    hovers = {}
    for i, row in enumerate(rows):
        colour = COLOURS[row["verdict"]]
        axes.plot(
            [100 * end for end in row["difference_interval"]], [i, i],
            color=colour, linewidth=1.6, solid_capstyle="butt", zorder=3,
        )  # fmt: skip
        (point,) = axes.plot(100 * row["difference"], i, "o", color=colour, markersize=5, zorder=4)
        point.set_gid(f"difference-{i}")
        hovers[f"difference-{i}"] = (
            f"{names[i]}\ntop-1 {percent(row, 'top1_mean')} %, n = {row['n']}\n"
            f"against the best: {against_best_text(row)}"
        )
        axes.annotate(
            difference_text(row), (1, i), (6, 0), xycoords=("axes fraction", "data"),
            textcoords="offset points", va="center", fontsize=7.5, color=INK,
            annotation_clip=False,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels(names, fontsize=8, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    return hovers


def _key(axes: Axes, verdicts: Sequence[str]) -> None:
    """Which colour is which verdict, of those that are drawn."""
    from matplotlib.lines import Line2D

    shown = [verdict for verdict in COLOURS if verdict in verdicts]
    marks = [Line2D([], [], color=COLOURS[one], marker="o", markersize=5) for one in shown]
    axes.legend(
        marks, shown, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(shown), frameon=False,
        fontsize=8, labelcolor=INK, borderaxespad=0.1,
    )  # fmt: skip
