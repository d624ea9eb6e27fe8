"""Error against a cost, for print: Pareto front, bubbles of parameters, error bars."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.comparison.caption import figure_origin, marked, part, repeated, short_notes, title
from experiments.comparison.grouping import Comparison
from experiments.comparison.pareto_front import optimal, placeable
from experiments.comparison.plots.pareto_key import diameter, draw_key
from experiments.comparison.row_names import labels
from experiments.presentation.columns import MACS, CostAxis, Row
from experiments.presentation.figure_style import (
    DPI,
    FRONT,
    INK,
    LABEL,
    OKABE_ITO,
    caption_below,
    heading,
    label_axes,
    line_between,
    move,
    new_figure,
    plain_axes,
    save,
    size_of,
    with_halo,
    wrapped,
)
from experiments.presentation.formatting import si
from experiments.presentation.label_placement import Box, Bubble, Segment, leader, place, staircase

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOG_FROM = 5.0  # spread of costs from which their axis is logarithmic
MOST_LABELS = 40  # above this many rows only those on the front are labelled


def pareto(comparison: Comparison, path: str | Path, axis: CostAxis = MACS) -> list[Path]:
    """Draw error against a cost, bubble area in proportion to parameters; save PNG and SVG."""
    figure, _, _ = draw(comparison, axis)
    return save(figure, Path(path).with_suffix(""))


def draw(comparison: Comparison, axis: CostAxis = MACS) -> tuple[Figure, list[Box], list[Bubble]]:
    """The figure, and where its labels and all bubbles are, in pixels."""
    rows = placeable(comparison.rows, axis)
    figure = new_figure(*inches(len(rows)))
    width, height = figure.get_size_inches()
    left = 0.68 / width
    heading(figure, title(comparison), left)
    bottom = caption_below(figure, _caption(comparison, axis), left) + 0.48 / height
    top = 1 - 0.41 / height
    right = 1 - 1.28 / width
    axes = figure.add_axes((left, bottom, right - left, top - bottom))
    largest = max((row["params"] or 0 for row in rows), default=0)
    colours = dict(zip(comparison.experiments, itertools.cycle(OKABE_ITO), strict=False))
    on_front = optimal(rows, axis)

    label_axes(axes, axis.label, f"{axis.ranked} error on {part(comparison)} (%)")
    plain_axes(axes)
    if rows:
        _scale(axes, rows, axis)
    _front(axes, on_front, axis)
    _bubbles(axes, rows, on_front, axis, colours, largest)
    boxes, bubbles = _labels(figure, axes, rows, on_front, axis, largest)
    draw_key(figure, axes, comparison.experiments, colours, largest)
    return figure, boxes, bubbles


def inches(rows: int) -> tuple[float, float]:
    """Size of a scatter plot in which so many labels find a place."""
    return (8.0, 5.5) if rows <= 16 else (10.0, 7.0)


def labelled(rows: Sequence[Row], on_front: Sequence[Row]) -> list[Row]:
    """The rows whose names are written."""
    return list(rows) if len(rows) <= MOST_LABELS else list(on_front)


def logarithmic(values: list[float]) -> bool:
    """Do these spread over more than five-fold?"""
    return bool(values) and min(values) > 0 and max(values) / min(values) > LOG_FROM


def span(low: float, high: float, margins: tuple[float, float]) -> tuple[float, float]:
    """Limits around low..high with margins as fractions of the span."""
    width = (high - low) or abs(high) * 0.5 or 1.0
    return low - margins[0] * width, high + margins[1] * width


def limits(
    rows: Sequence[Row], axis: CostAxis = MACS
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Cost (its log10 where `logarithmic`) and error in percent, with room for bubbles."""
    costs = costs_of(rows, axis)
    across = [math.log10(v) for v in costs] if logarithmic(costs) else costs
    spread = [axis.spread(row) for row in rows]
    errors = [axis.error(row) for row in rows]
    low = min(e - s for e, s in zip(errors, spread, strict=True))
    high = max(e + s for e, s in zip(errors, spread, strict=True))
    return span(min(across), max(across), (0.10, 0.14)), span(low, high, (0.13, 0.13))


def steps(across: tuple[float, float]) -> tuple[int, ...]:
    """Ticks of a logarithmic axis between powers of ten, by its length in decades."""
    decades = across[1] - across[0]
    return (1, 2, 5) if decades < 2.2 else (1, 3) if decades < 4 else (1,)


def costs_of(rows: Sequence[Row], axis: CostAxis) -> list[float]:
    """The rows' costs in the axis' unit; every row has one."""
    return [float(row[axis.key]) / axis.unit for row in rows]


def _scale(axes: Axes, rows: Sequence[Row], axis: CostAxis) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    across, up = limits(rows, axis)
    if logarithmic(costs_of(rows, axis)):
        axes.set_xscale("log")
        axes.set_xlim(10 ** across[0], 10 ** across[1])
        axes.xaxis.set_major_locator(LogLocator(subs=steps(across)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(*across)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value, axis)))
    axes.set_ylim(*up)
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    # the room below 0 % is for bubbles, not for errors, and no cost is below 0
    axes.set_yticks([value for value in axes.get_yticks() if 0 <= value <= 100 and value < up[1]])
    axes.set_ylim(*up)
    if not logarithmic(costs_of(rows, axis)):
        low, high = axes.get_xlim()
        axes.set_xticks([v for v in axes.get_xticks() if max(low, 0) <= v <= high])
        axes.set_xlim(low, high)


def _front(axes: Axes, on_front: Sequence[Row], axis: CostAxis) -> None:
    if not on_front:
        return
    costs = [*costs_of(on_front, axis), axes.get_xlim()[axis.less_is_better]]
    errors = [axis.error(row) for row in on_front]
    axes.step(costs, [*errors, errors[-1]], where="post", color=FRONT, linewidth=1.1, zorder=2)


def _bubbles(
    axes: Axes,
    rows: Sequence[Row],
    on_front: Sequence[Row],
    axis: CostAxis,
    colours: dict[str, str],
    largest: float,
) -> None:
    for row in sorted(rows, key=lambda row: -(row["params"] or 0)):  # small ones on top
        x, y = row[axis.key] / axis.unit, axis.error(row)
        colour = colours[row["experiment"]]
        if axis.spread(row):
            axes.errorbar(
                x,
                y,
                yerr=axis.spread(row),
                color=colour,
                linewidth=0.9,
                capsize=2,
                zorder=4,
            )
        strength = 0.55 if any(row is one for one in on_front) else 0.16
        area = diameter(row["params"], largest) ** 2
        axes.scatter(x, y, s=area, color=colour, alpha=strength, linewidths=0, zorder=3)
        axes.scatter(x, y, s=area, facecolor="none", edgecolor=colour, linewidths=0.8, zorder=3)
        axes.scatter(x, y, s=7, color=colour, linewidths=0, zorder=5)  # small nets stay visible


def _labels(
    figure: Figure,
    axes: Axes,
    rows: Sequence[Row],
    on_front: Sequence[Row],
    axis: CostAxis,
    largest: float,
) -> tuple[list[Box], list[Bubble]]:
    """Write the names; their boxes, and the bubbles of all rows, in pixels."""
    pixels = DPI / 72  # in a point
    here = axes.transData.transform
    written = labelled(rows, on_front)
    bubbles, sizes, lines, texts = [], [], _front_segments(on_front, axes, axis), []
    for row in [*written, *(row for row in rows if not any(row is one for one in written))]:
        cost, error = row[axis.key] / axis.unit, axis.error(row)
        x, y = here((cost, error))
        radius = max(diameter(row["params"], largest) / 2 + 0.5, 2.0) * pixels
        bubbles.append(Bubble(float(x), float(y), radius))
        reach = here((cost, error + axis.spread(row)))[1] - y
        lines.append((float(x), float(y - reach), float(x), float(y + reach)))
    for row, name in zip(written, labels(written), strict=True):
        text = axes.text(
            0,
            0,
            wrapped(name + axis.mark(row)),
            fontsize=7.8 if len(rows) <= 10 else LABEL,
            color=INK,
            weight="bold" if any(row is one for one in on_front) else "normal",
            va="bottom",
            ha="left",
            linespacing=1.0,
            zorder=6,
        )
        wide, high = size_of(figure, with_halo(text))
        sizes.append((wide + 2 * pixels, high))  # two names in a line must not read as one
        texts.append(text)
    frame = axes.bbox
    inside = Box(frame.x0 + 2 * pixels, frame.y0 + 2 * pixels, frame.x1, frame.y1)
    boxes = place(bubbles, sizes, inside, lines, gap=2.0 * pixels)
    for text, box, bubble in zip(texts, boxes, bubbles, strict=False):
        move(figure, text, box)
        if (line := leader(bubble, box, 2.0 * pixels)) is not None:
            line_between(figure, axes, line)
    return boxes, bubbles


def _front_segments(on_front: Sequence[Row], axes: Axes, axis: CostAxis) -> list[Segment]:
    points = [(row[axis.key] / axis.unit, axis.error(row)) for row in on_front]
    shown = [axes.transData.transform(point) for point in points]
    end = float(axes.bbox.x1 if axis.less_is_better else axes.bbox.x0)
    return staircase([(float(x), float(y)) for x, y in shown], end)


def _caption(comparison: Comparison, axis: CostAxis) -> list[str]:
    bars = any(axis.spread(row) for row in comparison.rows)
    spread = f"Bars: ± 1 sample standard deviation over {repeated(comparison)}." if bars else ""
    lines = [figure_origin(comparison), f"{spread} {axis.note}".strip()]
    lines += marked(comparison, [axis])
    rows = placeable(comparison.rows, axis)
    missing = len(comparison.rows) - len(rows)
    if missing:
        lines.append(f"Not drawn for want of {axis.title} or {axis.ranked.lower()}: {missing}")
    if len(rows) > MOST_LABELS:
        lines.append(f"Of {len(rows)} rows only those on the front are named")
    return [*lines, *short_notes(comparison)]


def tick(value: float, axis: CostAxis) -> str:
    """A round number of an axis: 200 k, 1.5."""
    if not axis.prefixed or value < 1:
        return f"{value:g}" if value < 1e5 else f"{value:,.0f}"
    number, _, prefix = si(value, 5).partition(" ")
    return f"{float(number):g} {prefix}".rstrip()
