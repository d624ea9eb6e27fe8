"""Error against a cost as one HTML file: inline SVG, details under the pointer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from experiments.comparison.against_best import against_best_text
from experiments.comparison.caption import figure_origin, marked, notes, part, repeated, title, top5
from experiments.comparison.grouping import Comparison
from experiments.comparison.pareto_front import optimal, placeable
from experiments.comparison.plots.pareto import (
    MOST_LABELS,
    costs_of,
    labelled,
    limits,
    logarithmic,
    steps,
    tick,
)
from experiments.comparison.row_names import labels
from experiments.presentation.columns import MACS, CostAxis, Row, axes
from experiments.presentation.figure_style import OKABE_ITO, cut
from experiments.presentation.formatting import percent, round_values, si, significant
from experiments.presentation.html_page import DETAILS, document, paragraphs
from experiments.presentation.label_placement import Box, Bubble, Segment, leader, place, staircase

WIDTH, HEIGHT = 960.0, 600.0
FRAME = Box(70, 20, 930, 540)  # left, upper, right, lower: y points down
SMALLEST, LARGEST = 3.0, 26.0  # radii; a smaller bubble could not be pointed at
MANY = 16  # rows above which their names are written smaller
LETTER, LINE_HEIGHT = 0.58, 1.25  # of a sans-serif, in its size; bold letters are wider
BOLD = 0.66


def page(comparison: Comparison, axis: CostAxis = MACS) -> str:
    """A self-contained page: one circle.point a row, area in proportion to parameters."""
    drawing = f"{svg(comparison, axis)}\n{DETAILS}"
    return document(title(comparison), f"{drawing}\n{paragraphs(notes_of(comparison, axis))}")


def svg(comparison: Comparison, axis: CostAxis = MACS) -> str:
    """The drawing alone, to stand in a page that has `html_page.STYLE` and `SCRIPT`."""
    rows = placeable(comparison.rows, axis)
    drawn = "\n".join(_drawing(comparison, rows, axis)) if rows else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="pareto-figure" data-axis="{axis.slug}" '
        f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" '
        f'aria-label="{axis.ranked} error against {escape(axis.title)}">\n{drawn}\n</svg>'
    )


def notes_of(comparison: Comparison, axis: CostAxis) -> list[str]:
    """What stands below the drawing."""
    lines = [
        figure_origin(comparison),
        f"Area of a bubble: number of parameters. Line: Pareto front. Bars: ± 1 sample standard "
        f"deviation over {repeated(comparison)}. {axis.note}".rstrip(". ")
        + ".",
        *marked(comparison, axes()),  # the pointer shows the other costs, too
        *notes(comparison),
    ]
    placed = {id(row) for row in placeable(comparison.rows, axis)}
    missing = [row["name"] for row in comparison.rows if id(row) not in placed]
    if missing:
        lines.append(
            f"Not drawn for want of {axis.title} or {axis.ranked.lower()}: {', '.join(missing)}"
        )
    other = axis.against(top5(comparison))
    if other != axis and placeable(comparison.rows, other):
        lines.append(f"{other.ranked} error against {axis.title}: {other.stem}.html")
    if len(placed) > MOST_LABELS:
        lines.append("Only rows on the front are named; point at the others")
    return lines


def _drawing(comparison: Comparison, rows: Sequence[Row], axis: CostAxis) -> list[str]:
    scale = _Scale(rows, axis)
    on_front = optimal(rows, axis)
    colours = {name: OKABE_ITO[i % len(OKABE_ITO)] for i, name in enumerate(comparison.experiments)}
    largest = max((row["params"] or 0 for row in rows), default=0)
    drawn = _axes(scale, part(comparison))

    corners = [scale.of(row) for row in on_front]
    lines = staircase(corners, FRAME.right if axis.less_is_better else FRAME.left)
    for x0, y0, x1, y1 in lines:
        drawn.append(f'<path class="front" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>')

    named = labelled(rows, on_front)
    rows = [*named, *(row for row in rows if not _in(row, named))]
    bubbles = []
    for row in rows:
        x, y = scale.of(row)
        share = (row["params"] or 0) / largest if largest else 0.0
        bubbles.append(Bubble(x, y, max(SMALLEST, LARGEST * math.sqrt(share))))
    for row, bubble in sorted(zip(rows, bubbles, strict=True), key=lambda pair: -pair[1].radius):
        colour = colours[row["experiment"]]
        drawn += _point(row, bubble, scale, colour, _in(row, on_front))
    bars = [bar for row in rows if (bar := _bar(row, scale)) is not None]
    return drawn + _labels(named, bubbles, lines + bars, on_front, axis)


class _Scale:
    """From cost and error (fraction) to the coordinates of the drawing."""

    def __init__(self, rows: Sequence[Row], axis: CostAxis):
        self.axis = axis
        self.log = logarithmic(costs_of(rows, axis))
        self.across, self.up = limits(rows, axis)

    def of(self, row: Row) -> tuple[float, float]:
        return self.x(row[self.axis.key] / self.axis.unit), self.y(self.axis.error(row))

    def x(self, cost: float) -> float:
        value = math.log10(cost) if self.log else cost
        share = (value - self.across[0]) / (self.across[1] - self.across[0])
        return FRAME.left + share * (FRAME.right - FRAME.left)

    def y(self, percentage: float) -> float:
        share = (percentage - self.up[0]) / (self.up[1] - self.up[0])
        return FRAME.top - share * (FRAME.top - FRAME.bottom)

    def ticks(self) -> tuple[list[float], list[float]]:
        low, high = self.across
        if self.log:
            powers = range(math.floor(low), math.ceil(high) + 1)
            values = [step * 10.0**power for power in powers for step in steps(self.across)]
            across = [value for value in values if low <= math.log10(value) <= high]
        else:
            across = [value for value in round_values(low, high, about=6) if value >= 0]
        return across, [v for v in round_values(*self.up, about=6) if 0 <= v <= 100]


def _axes(scale: _Scale, of_part: str) -> list[str]:
    left, upper, right, lower = FRAME.left, FRAME.bottom, FRAME.right, FRAME.top
    drawn = []
    across, up = scale.ticks()
    for value in across:
        x = scale.x(value)
        drawn.append(f'<path class="grid" d="M{x:.1f} {upper:g}V{lower:g}"/>')
        drawn.append(
            f'<text class="tick" x="{x:.1f}" y="{lower + 18:g}" text-anchor="middle">'
            f"{tick(value, scale.axis)}</text>"
        )
    for value in up:
        y = scale.y(value)
        drawn.append(f'<path class="grid" d="M{left:g} {y:.1f}H{right:g}"/>')
        drawn.append(
            f'<text class="tick" x="{left - 8:g}" y="{y + 4:.1f}" text-anchor="end">'
            f"{value:g}</text>"
        )
    drawn.append(f'<path class="axis" fill="none" d="M{left:g} {upper:g}V{lower:g}H{right:g}"/>')
    middle_x, middle_y = (left + right) / 2, (upper + lower) / 2
    drawn.append(
        f'<text class="tick" x="{middle_x:g}" y="{lower + 42:g}" text-anchor="middle">'
        f"{escape(scale.axis.label)}</text>"
    )
    drawn.append(
        f'<text class="tick" transform="translate(22 {middle_y:g}) rotate(-90)" '
        f'text-anchor="middle">{scale.axis.ranked} error on {of_part} (%)</text>'
    )
    return drawn


def _bar(row: Row, scale: _Scale) -> Segment | None:
    """One standard deviation to either side."""
    error, std = scale.axis.error(row), scale.axis.spread(row)
    if not std:
        return None
    x = scale.of(row)[0]
    return x, scale.y(error - std), x, scale.y(error + std)


def _point(row: Row, bubble: Bubble, scale: _Scale, colour: str, on_front: bool) -> list[str]:
    drawn = []
    if (bar := _bar(row, scale)) is not None:
        x, low, _, high = bar
        drawn.append(f'<path class="bar" stroke="{colour}" d="M{x:.1f} {low:.1f}V{high:.1f}"/>')
    opacity = 0.55 if on_front else 0.16
    # the dot first: the circle on top takes the pointer, and is never too small to be hit
    drawn.append(
        f'<path stroke="{colour}" stroke-width="4" stroke-linecap="round" '
        f'd="M{bubble.x:.1f} {bubble.y:.1f}h0"/>'
    )
    drawn.append(
        f'<circle class="point" tabindex="0" data-name="{escape(row["name"])}" '
        f'cx="{bubble.x:.1f}" cy="{bubble.y:.1f}" r="{bubble.radius:.1f}" '
        f'fill="{colour}" fill-opacity="{opacity}" stroke="{colour}">'
        f"<title>{escape(details(row, on_front, scale.axis))}</title></circle>"
    )
    return drawn


def details(row: Row, on_front: bool, drawn: CostAxis = MACS) -> str:
    """What the pointer shows of a row."""
    facts = [
        f"{row['name']}{' (Pareto-optimal)' if on_front else ''}",
        f"{drawn.ranked.lower()} {percent(row, drawn.accuracy)} %, n = {row['n']}",
    ]
    if row.get("vs_best"):
        facts.append(f"against the best: {against_best_text(row)}")
    costs = (("MACs", row["macs"]), ("parameters", row["params"]))
    if known := [f"{name} {si(value)}" for name, value in costs if value is not None]:
        facts.append(", ".join(known))
    facts += [
        f"{axis.title.lower()} {axis.shown(row)}"
        for axis in axes()
        if axis.kind not in ("size", "work") and row.get(axis.key) is not None
    ]
    if row["train_images_per_second"] is not None:
        facts.append(f"training {significant(row['train_images_per_second'])} images/s")
    return "\n".join(facts)


def _labels(
    rows: Sequence[Row],
    bubbles: Sequence[Bubble],
    lines: Sequence[Segment],
    on_front: Sequence[Row],
    axis: CostAxis,
) -> list[str]:
    names = [cut(name, 40) + axis.mark(row) for row, name in zip(rows, labels(rows), strict=True)]
    font = 12.0 if len(rows) <= MANY else 10.0
    letters = [BOLD if _in(row, on_front) else LETTER for row in rows]
    sizes = [
        (font * width * len(name) + 6, font * LINE_HEIGHT)
        for name, width in zip(names, letters, strict=True)
    ]
    drawn = []
    boxes = place(bubbles, sizes, FRAME, lines, gap=4.0)
    for row, name, bubble, box in zip(rows, names, bubbles, boxes, strict=False):
        if (line := leader(bubble, box, 4.0)) is not None:
            x0, y0, x1, y1 = line
            drawn.append(f'<path class="leader" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>')
        weight = " pareto" if _in(row, on_front) else ""
        drawn.append(
            f'<text class="label{weight}" x="{(box.left + box.right) / 2:.1f}" '
            f'y="{box.top - font / 3:.1f}" font-size="{font:g}" text-anchor="middle">'
            f"{escape(name)}</text>"
        )
    return drawn


def _in(row: Row, rows: Sequence[Row]) -> bool:
    return any(row is one for one in rows)
