"""The figure of a comparison: top-1 error against multiply-accumulates, for print."""

from __future__ import annotations

import itertools
import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.caption import MACS, notes, origin, part, title
from experiments.grouping import Comparison, front, placeable
from experiments.labels import Box, Bubble, Segment, leader, place, staircase
from experiments.numbers import si

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES, DPI = (8.0, 5.5), 200
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, LINE, FRONT, GRID = "#222222", "#666666", "#999999", "#E4E4E4"
LARGEST_POINTS = 30.0  # diameter of the largest bubble
LOG_FROM = 5.0  # spread of MACs from which their axis is logarithmic


def pareto(comparison: Comparison, path: str | Path) -> None:
    """Draw error against MACs, bubble area in proportion to parameters, and save a PNG."""
    figure, _, _ = draw(comparison)
    figure.savefig(path, dpi=DPI, format="png")


def draw(comparison: Comparison) -> tuple[Figure, list[Box], list[Bubble]]:
    """The figure, and where its labels and bubbles are, in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)  # sizes of texts need a canvas
    caption = _caption(comparison)
    bottom = 0.115 + 0.029 * (caption.count("\n") + 1)
    axes = figure.add_axes((0.085, bottom, 0.755, 0.925 - bottom))
    rows = placeable(comparison.rows)
    largest = max((row["params"] or 0 for row in rows), default=0)
    colours = dict(zip(comparison.experiments, itertools.cycle(OKABE_ITO), strict=False))

    _axes(axes, rows, comparison)
    _front(axes, comparison)
    _bubbles(axes, rows, colours, largest)
    boxes, bubbles = _labels(figure, axes, rows, comparison, largest)
    _key(figure, axes, comparison, colours, largest)
    figure.text(0.085, 0.955, title(comparison), fontsize=11, weight="bold", color=INK)
    figure.text(0.085, 0.022, caption, fontsize=7.2, color="#444444", linespacing=1.45)
    return figure, boxes, bubbles


def logarithmic(values: list[float]) -> bool:
    """Do these spread over more than five-fold?"""
    return bool(values) and min(values) > 0 and max(values) / min(values) > LOG_FROM


def span(low: float, high: float, margins: tuple[float, float]) -> tuple[float, float]:
    """Limits around low..high with margins as fractions of the span."""
    width = (high - low) or abs(high) * 0.5 or 1.0
    return low - margins[0] * width, high + margins[1] * width


def limits(rows: list[Any]) -> tuple[tuple[float, float], tuple[float, float]]:
    """MACs (their log10 where `logarithmic`) and top-1 error in percent, with room for bubbles."""
    macs = [float(row["macs"]) for row in rows]
    across = [math.log10(v) for v in macs] if logarithmic(macs) else macs
    spread = [100 * (row["top1_std"] or 0.0) for row in rows]
    errors = [100 * row["top1_error"] for row in rows]
    low = min(e - s for e, s in zip(errors, spread, strict=True))
    high = max(e + s for e, s in zip(errors, spread, strict=True))
    return span(min(across), max(across), (0.10, 0.14)), span(low, high, (0.13, 0.13))


def size_key(largest: float) -> list[float]:
    """Two or three round numbers of parameters for the key of bubble sizes, largest first."""
    if largest <= 0:
        return []
    ten = 10 ** math.floor(math.log10(largest))
    top = max(step * ten for step in (1, 2, 5) if step * ten <= largest)
    return [top, top / 4 if top / ten == 2 else top / 5, top / 20 if top / ten == 2 else top / 25]


def _axes(axes: Axes, rows: list[Any], comparison: Comparison) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axes.set_xlabel("Multiply-accumulates for one image", fontsize=9.5, color=INK)
    axes.set_ylabel(f"Top-1 error on {part(comparison)} (%)", fontsize=9.5, color=INK)
    axes.grid(True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5, color=LINE, labelcolor=INK, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(LINE)
    if not rows:
        return
    across, up = limits(rows)
    if logarithmic([row["macs"] for row in rows]):
        axes.set_xscale("log")
        axes.set_xlim(10 ** across[0], 10 ** across[1])
        few = across[1] - across[0] < 2.2
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(*across)
        axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axes.set_ylim(*up)
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    # the room below 0 % is for bubbles, not for errors
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= 100 and tick < up[1]])
    axes.set_ylim(*up)


def _front(axes: Axes, comparison: Comparison) -> None:
    points = front(comparison.rows)
    if not points:
        return
    right = axes.get_xlim()[1]
    macs = [row["macs"] for row in points] + [right]
    errors = [100 * row["top1_error"] for row in points]
    axes.step(macs, [*errors, errors[-1]], where="post", color=FRONT, linewidth=1.1, zorder=2)


def _bubbles(axes: Axes, rows: list[Any], colours: dict[str, str], largest: float) -> None:
    for row in sorted(rows, key=lambda row: -(row["params"] or 0)):  # small ones on top
        x, y, colour = row["macs"], 100 * row["top1_error"], colours[row["experiment"]]
        if row["top1_std"]:
            axes.errorbar(
                x,
                y,
                yerr=100 * row["top1_std"],
                color=colour,
                linewidth=0.9,
                capsize=2,
                zorder=4,
            )
        strength = 0.55 if row["pareto"] else 0.16
        area = _diameter(row["params"], largest) ** 2
        axes.scatter(x, y, s=area, color=colour, alpha=strength, linewidths=0, zorder=3)
        axes.scatter(x, y, s=area, facecolor="none", edgecolor=colour, linewidths=0.8, zorder=3)
        axes.scatter(x, y, s=7, color=colour, linewidths=0, zorder=5)  # small nets stay visible


def _labels(
    figure: Figure, axes: Axes, rows: list[Any], comparison: Comparison, largest: float
) -> tuple[list[Box], list[Bubble]]:
    """Write the names; boxes and bubbles in pixels."""
    pixels = DPI / 72  # in a point
    here = axes.transData.transform
    bubbles, sizes, lines, texts = [], [], _front_segments(comparison, axes), []
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]  # Agg has one
    for row in rows:
        x, y = here((row["macs"], 100 * row["top1_error"]))
        radius = max(_diameter(row["params"], largest) / 2 + 0.5, 2.0) * pixels
        bubbles.append(Bubble(float(x), float(y), radius))
        reach = here((row["macs"], 100 * (row["top1_error"] + (row["top1_std"] or 0.0))))[1] - y
        lines.append((float(x), float(y - reach), float(x), float(y + reach)))
        text = axes.text(
            0,
            0,
            textwrap.fill(row["name"], 26),
            fontsize=7.8 if len(rows) <= 10 else 7.0,
            color=INK,
            weight="bold" if row["pareto"] else "normal",
            transform=None,
            va="bottom",
            ha="left",
            linespacing=1.0,
            zorder=6,
        )
        extent = text.get_window_extent(renderer)
        sizes.append((extent.width, extent.height))
        texts.append(text)
    frame = axes.bbox
    boxes = place(
        bubbles,
        sizes,
        Box(frame.x0 + 2 * pixels, frame.y0 + 2 * pixels, frame.x1, frame.y1),
        lines,
        gap=2.0 * pixels,
    )
    for text, box, bubble in zip(texts, boxes, bubbles, strict=True):
        text.set_position((box.left, box.bottom))
        if (line := leader(bubble, box, 2.0 * pixels)) is not None:
            axes.plot(line[::2], line[1::2], color=LINE, linewidth=0.5, transform=None, zorder=2.5)
    return boxes, bubbles


def _front_segments(comparison: Comparison, axes: Axes) -> list[Segment]:
    points = [(row["macs"], 100 * row["top1_error"]) for row in front(comparison.rows)]
    shown = [axes.transData.transform(point) for point in points]
    return staircase([(float(x), float(y)) for x, y in shown], float(axes.bbox.x1))


def _key(
    figure: Figure, axes: Axes, comparison: Comparison, colours: dict[str, str], largest: float
) -> None:
    """What bubbles, colours and the line mean, right of the frame."""
    from matplotlib.lines import Line2D

    def bubble(diameter: float, **style: Any) -> Line2D:
        return Line2D([], [], linestyle="none", marker="o", markersize=diameter, **style)

    grey: dict[str, Any] = {"markerfacecolor": "#D9D9D9", "markeredgecolor": LINE}
    entries = [
        (bubble(_diameter(size, largest), markeredgewidth=0.8, **grey), f"{si(size, 1)}")
        for size in size_key(largest)
    ]
    top = axes.get_position().y1
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
            title="Parameters",
            loc="upper left",
            bbox_to_anchor=(0.855, top),
            labelspacing=1.3,
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
    if len(comparison.experiments) > 1:
        marks = marks[:1] + [
            (bubble(7, color=colours[name]), textwrap.fill(name, 16))
            for name in comparison.experiments
        ]
    figure.legend(
        *zip(*marks, strict=True),
        loc="upper left",
        bbox_to_anchor=(0.855, top - 0.30),
        labelspacing=0.7,
        handlelength=1.6,
        handletextpad=0.6,
        **style,
    )


def _caption(comparison: Comparison) -> str:
    spread = "Bars: ± 1 sample standard deviation over seeds. "
    has_bars = any(row["top1_std"] for row in comparison.rows)
    lines = [origin(comparison), f"{spread if has_bars else ''}{MACS}"]
    missing = len(comparison.rows) - len(placeable(comparison.rows))
    if missing:
        lines.append(f"Not drawn for want of MACs or top-1: {missing}")
    return "\n".join(textwrap.fill(line, 132) for line in [*lines, *notes(comparison)])


def _diameter(params: float | None, largest: float) -> float:
    """Diameter in points, so that area is in proportion to the number of parameters."""
    return LARGEST_POINTS * math.sqrt(params / largest) if params and largest else 0.0


def _tick(value: float) -> str:
    text = si(value, 5)
    number, _, prefix = text.partition(" ")
    return f"{float(number):g} {prefix}".rstrip()
