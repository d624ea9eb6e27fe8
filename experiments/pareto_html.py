"""The figure of a comparison as one HTML file: inline SVG, details under the pointer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from string import Template
from typing import Any

from experiments.caption import MACS, notes, origin, part, title
from experiments.grouping import Comparison, front, placeable
from experiments.labels import Box, Bubble, Segment, leader, place, staircase
from experiments.numbers import percent, si, significant
from experiments.plots import OKABE_ITO, limits, logarithmic

WIDTH, HEIGHT = 960.0, 600.0
FRAME = Box(70, 20, 930, 540)  # left, upper, right, lower: y points down
SMALLEST, LARGEST = 3.0, 26.0  # radii; a smaller bubble could not be pointed at
LETTER, LINE_HEIGHT = 7.0, 15.0  # of a 12 px sans-serif

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 1000px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.3em; margin: 0 0 .3em }
svg { width: 100%; height: auto; font-size: 12px }
.grid { stroke: #e4e4e4 } .axis { stroke: #666 } .front { stroke: #999; fill: none }
.leader { stroke: #666; stroke-width: .6 } .bar { stroke-width: 1.2 }
.tick, .label { fill: #222 } .pareto { font-weight: bold }
.point { stroke-width: 1; cursor: default }
.point:hover, .point:focus { stroke-width: 3; outline: none }
#details { min-height: 3em; font-size: .9em; white-space: pre-line; color: #222 }
.note { font-size: .85em; color: #444; margin: .1em 0 }
</style>
</head>
<body>
<h1>$title</h1>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $width $height" role="img"
     aria-label="Top-1 error against multiply-accumulates">
$drawing
</svg>
<div id="details" aria-live="polite">Point at a bubble for its numbers.</div>
$notes
<script>
for (const point of document.querySelectorAll(".point")) {
  const show = () => {
    document.getElementById("details").textContent = point.querySelector("title").textContent;
  };
  point.addEventListener("mouseenter", show);
  point.addEventListener("focus", show);
}
</script>
</body>
</html>
""")


def page(comparison: Comparison) -> str:
    """A self-contained page: one circle.point a row, area in proportion to parameters."""
    rows = placeable(comparison.rows)
    lines = [
        origin(comparison),
        f"Area of a bubble: number of parameters. Line: Pareto front. Bars: ± 1 sample standard "
        f"deviation over seeds. {MACS}.",
        *notes(comparison),
    ]
    missing = [row["name"] for row in comparison.rows if row not in rows]
    if missing:
        lines.append(f"Not drawn for want of MACs or top-1: {', '.join(missing)}")
    return PAGE.substitute(
        title=escape(title(comparison)),
        width=f"{WIDTH:g}",
        height=f"{HEIGHT:g}",
        drawing="\n".join(_drawing(comparison, rows)) if rows else "",
        notes="\n".join(f'<p class="note">{escape(line)}</p>' for line in lines),
    )


def _drawing(comparison: Comparison, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    scale = _Scale(rows)
    colours = {name: OKABE_ITO[i % len(OKABE_ITO)] for i, name in enumerate(comparison.experiments)}
    largest = max((row["params"] or 0 for row in rows), default=0)
    drawn = _axes(scale, part(comparison))

    corners = [scale.at(row["macs"], row["top1_error"]) for row in front(rows)]
    lines = staircase(corners, FRAME.right)
    for x0, y0, x1, y1 in lines:
        drawn.append(f'<path class="front" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>')

    bubbles = []
    for row in rows:
        x, y = scale.at(row["macs"], row["top1_error"])
        share = (row["params"] or 0) / largest if largest else 0.0
        bubbles.append(Bubble(x, y, max(SMALLEST, LARGEST * math.sqrt(share))))
    for row, bubble in sorted(zip(rows, bubbles, strict=True), key=lambda pair: -pair[1].radius):
        drawn += _point(row, bubble, scale, colours[row["experiment"]])
    bars = [bar for row in rows if (bar := _bar(row, scale)) is not None]
    return drawn + _labels(rows, bubbles, lines + bars)


class _Scale:
    """From MACs and error (fraction) to the coordinates of the drawing."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]):
        self.log = logarithmic([row["macs"] for row in rows])
        self.across, self.up = limits(list(rows))

    def at(self, macs: float, error: float) -> tuple[float, float]:
        return self.x(macs), self.y(100 * error)

    def x(self, macs: float) -> float:
        value = math.log10(macs) if self.log else macs
        share = (value - self.across[0]) / (self.across[1] - self.across[0])
        return FRAME.left + share * (FRAME.right - FRAME.left)

    def y(self, percentage: float) -> float:
        share = (percentage - self.up[0]) / (self.up[1] - self.up[0])
        return FRAME.top - share * (FRAME.top - FRAME.bottom)

    def ticks(self) -> tuple[list[float], list[float]]:
        low, high = self.across
        if self.log:
            steps = (1, 2, 5) if high - low < 2.2 else (1,)
            powers = range(math.floor(low), math.ceil(high) + 1)
            values = [step * 10.0**power for power in powers for step in steps]
            across = [value for value in values if low <= math.log10(value) <= high]
        else:
            across = _round_values(low, high)
        return across, [v for v in _round_values(*self.up) if 0 <= v <= 100]


def _axes(scale: _Scale, of_part: str) -> list[str]:
    left, upper, right, lower = FRAME.left, FRAME.bottom, FRAME.right, FRAME.top
    drawn = []
    across, up = scale.ticks()
    for value in across:
        x = scale.x(value)
        text = f"{value:g}" if value < 1000 else si(value, 4)
        number, _, prefix = text.partition(" ")
        drawn.append(f'<path class="grid" d="M{x:.1f} {upper:g}V{lower:g}"/>')
        drawn.append(
            f'<text class="tick" x="{x:.1f}" y="{lower + 18:g}" text-anchor="middle">'
            f"{float(number):g} {prefix}</text>"
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
        "Multiply-accumulates for one image</text>"
    )
    drawn.append(
        f'<text class="tick" transform="translate(22 {middle_y:g}) rotate(-90)" '
        f'text-anchor="middle">Top-1 error on {of_part} (%)</text>'
    )
    return drawn


def _bar(row: Mapping[str, Any], scale: _Scale) -> Segment | None:
    """One standard deviation to either side."""
    if not row["top1_std"]:
        return None
    x, error, std = scale.x(row["macs"]), row["top1_error"], row["top1_std"]
    return x, scale.y(100 * (error - std)), x, scale.y(100 * (error + std))


def _point(row: Mapping[str, Any], bubble: Bubble, scale: _Scale, colour: str) -> list[str]:
    drawn = []
    if (bar := _bar(row, scale)) is not None:
        x, low, _, high = bar
        drawn.append(f'<path class="bar" stroke="{colour}" d="M{x:.1f} {low:.1f}V{high:.1f}"/>')
    opacity = 0.55 if row["pareto"] else 0.16
    # the dot first: the circle on top takes the pointer, and is never too small to be hit
    drawn.append(
        f'<path stroke="{colour}" stroke-width="4" stroke-linecap="round" '
        f'd="M{bubble.x:.1f} {bubble.y:.1f}h0"/>'
    )
    drawn.append(
        f'<circle class="point" tabindex="0" data-name="{escape(row["name"])}" '
        f'cx="{bubble.x:.1f}" cy="{bubble.y:.1f}" r="{bubble.radius:.1f}" '
        f'fill="{colour}" fill-opacity="{opacity}" stroke="{colour}">'
        f"<title>{escape(_details(row))}</title></circle>"
    )
    return drawn


def _details(row: Mapping[str, Any]) -> str:
    facts = [
        f"{row['name']}{' (Pareto-optimal)' if row['pareto'] else ''}",
        f"top-1 {percent(row, 'top1_mean')} %, n = {row['n']}",
        f"MACs {si(row['macs'])}, parameters {si(row['params']) or '?'}",
    ]
    if row["latency_ms_p50"] is not None:
        facts.append(f"latency p50 {significant(row['latency_ms_p50'])} ms")
    if row["train_images_per_second"] is not None:
        facts.append(f"training {significant(row['train_images_per_second'])} images/s")
    return "\n".join(facts)


def _labels(
    rows: Sequence[Mapping[str, Any]], bubbles: Sequence[Bubble], lines: Sequence[Segment]
) -> list[str]:
    sizes = [(LETTER * len(row["name"]) + 2, LINE_HEIGHT) for row in rows]
    drawn = []
    for row, bubble, box in zip(
        rows, bubbles, place(bubbles, sizes, FRAME, lines, gap=4.0), strict=True
    ):
        if (line := leader(bubble, box, 4.0)) is not None:
            x0, y0, x1, y1 = line
            drawn.append(f'<path class="leader" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>')
        weight = " pareto" if row["pareto"] else ""
        drawn.append(
            f'<text class="label{weight}" x="{(box.left + box.right) / 2:.1f}" '
            f'y="{box.top - 4:.1f}" text-anchor="middle">{escape(row["name"])}</text>'
        )
    return drawn


def _round_values(low: float, high: float) -> list[float]:
    """About six values in 1, 2, 2.5 or 5 steps of a power of ten."""
    rough = (high - low) / 6
    ten = 10 ** math.floor(math.log10(rough))
    step = next(s * ten for s in (1, 2, 2.5, 5, 10) if s * ten >= 0.8 * rough)
    first = math.ceil(low / step)
    return [round(i * step, 10) for i in range(first, math.floor(high / step) + 1)]
