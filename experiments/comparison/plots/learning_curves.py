"""Learning curves of all rows over one another: training loss, and error on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from experiments.comparison.caption import figure_origin, repeated, title
from experiments.comparison.grouping import Comparison
from experiments.comparison.row_names import labels
from experiments.presentation.figure_style import (
    DPI,
    LABEL,
    LINE,
    OKABE_ITO,
    PALE,
    caption_below,
    heading,
    label_axes,
    line_between,
    new_figure,
    plain_axes,
    wrapped,
)
from experiments.presentation.html_page import Drawn
from experiments.presentation.label_placement import spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

HEADING = "Learning curves"

Curve = dict[int, float]
"""Value by epoch."""
Curves = dict[str, list[Curve]]
"""By metric: a curve for each seed."""

STYLES = [(colour, line) for line in ("-", "--") for colour in (*OKABE_ITO, "#000000")]
COLOURED = len(STYLES)  # rows that can be told apart; the others stand behind them in grey
BANDS = 7  # of them, whose spread is drawn
MOST_RUNS = 300  # whose histories are fetched
PANELS = {
    "train_loss": ("Training loss", 1.0),
    "val_top1": ("Top-1 error on validation (%)", 100.0),
    "val_loss": ("Loss on validation", 1.0),
    "val_mse": ("Squared error on validation", 1.0),
}
"""Label and factor of each metric: training, then what may stand beside it, the first that is."""


def fetch(client: MlflowClient, comparison: Comparison) -> dict[str, Curves]:
    """Metric histories of the rows' runs, by the row's name; the first rows where there are many.

    The scores of the finished network are logged once more at the last epoch; what the epoch
    itself gave came first and is kept.
    """
    wanted = [
        (row["name"], metric, run_id)
        for row in comparison.rows
        for run_id in row["run_ids"]
        for metric in PANELS
    ][: MOST_RUNS * len(PANELS)]

    def history(one: tuple[str, str, str]) -> Curve:
        values = client.get_metric_history(one[2], one[1])
        curve: Curve = {}
        for value in sorted(values, key=lambda v: (v.step, v.timestamp)):
            if value.step >= 1:
                curve.setdefault(value.step, value.value)
        return curve

    curves: dict[str, Curves] = {}
    with ThreadPoolExecutor(4) as pool:
        for (name, metric, _), curve in zip(wanted, pool.map(history, wanted), strict=True):
            if len(curve) > 1:
                curves.setdefault(name, {}).setdefault(metric, []).append(curve)
    return curves


def mean_and_spread(curves: Sequence[Curve]) -> tuple[list[int], list[float], list[float]]:
    """Epochs that every seed reached; mean and sample standard deviation (0 for one seed)."""
    epochs = sorted(set.intersection(*(set(curve) for curve in curves)))
    values = [[curve[epoch] for curve in curves] for epoch in epochs]
    deviations = [stdev(v) if len(v) > 1 else 0.0 for v in values]
    return epochs, [fmean(v) for v in values], deviations


def draw(comparison: Comparison, curves: Mapping[str, Curves]) -> Drawn | None:
    """Two panels; None where no run has logged more than one epoch."""
    rows = [row for row in comparison.rows if row["name"] in curves]
    logged = [m for m in PANELS if any(m in curves[row["name"]] for row in rows)]
    panels = logged[:2] if "train_loss" in logged else logged[:1]
    if not panels:
        return None
    figure = new_figure(9.0, 4.6)
    name = f"{HEADING}: {title(comparison)}"
    heading(figure, name, 0.07)
    height = figure.get_size_inches()[1]
    bottom = caption_below(figure, _caption(comparison, curves, rows), 0.07) + 0.5 / height
    top = 1 - 0.4 / height
    width = (0.81 - 0.07 - 0.075 * (len(panels) - 1)) / len(panels)
    names = dict(zip((row["name"] for row in rows), labels(rows), strict=True))
    hovers: dict[str, str] = {}
    for k, metric in enumerate(panels):
        axes = figure.add_axes((0.07 + k * (width + 0.075), bottom, width, top - bottom))
        ends = _panel(axes, metric, rows, curves, hovers)
        if k == len(panels) - 1:
            _names(figure, axes, [(names[name], colour, x, y) for name, colour, x, y in ends])
    return Drawn("curves", HEADING, name, figure, hovers)


def _panel(
    axes: Axes,
    metric: str,
    rows: Sequence[Mapping[str, Any]],
    curves: Mapping[str, Curves],
    hovers: dict[str, str],
) -> list[tuple[str, str, float, float]]:
    """Draw one metric; name, colour and end of each coloured line."""
    from matplotlib.ticker import MaxNLocator

    plain_axes(axes)
    label, unit = PANELS[metric]
    label_axes(axes, "Epoch", label)
    ends = []
    top = 0.0
    for i, row in reversed(list(enumerate(rows))):  # the best on top
        of_row = curves[row["name"]].get(metric)
        if not of_row:
            continue
        epochs, means, deviations = mean_and_spread(of_row)
        if metric == "val_top1":
            means = [1 - value for value in means]
        means, deviations = [unit * v for v in means], [unit * v for v in deviations]
        colour, style = STYLES[i] if i < COLOURED else (PALE, "-")
        depth = 3 if i < COLOURED else 1.5
        (line,) = axes.plot(epochs, means, style, color=colour, linewidth=1.5, zorder=depth)
        line.set_gid(f"curves-{metric}-{i}")
        hovers[f"curves-{metric}-{i}"] = (
            f"{row['name']}\n{label}: {means[-1]:.4g} at epoch {epochs[-1]}, n = {len(of_row)}"
        )
        top = max([top, *means])
        if i < BANDS:
            low = [mean - s for mean, s in zip(means, deviations, strict=True)]
            high = [mean + s for mean, s in zip(means, deviations, strict=True)]
            axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0, zorder=2)
        if i < COLOURED:
            ends.append((row["name"], colour, float(epochs[-1]), means[-1]))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_ylim(0, min(axes.get_ylim()[1], 1.15 * top))
    axes.margins(x=0.01)
    return ends


def _names(figure: Figure, axes: Axes, ends: Sequence[tuple[str, str, float, float]]) -> None:
    """Names beside the ends of their lines, moved apart, joined to them by hair lines."""
    box = axes.bbox
    texts = [wrapped(name, 26, 2) for name, _, _, _ in ends]
    lines = max((text.count("\n") + 1 for text in texts), default=1)
    line_height = 1.2 * (lines + 0.15) * LABEL * DPI / 72
    at = [axes.transData.transform((x, y)) for _, _, x, y in ends]
    centres = spread([float(y) for _, y in at], line_height, float(box.y0), float(box.y1))
    left = float(box.x1) + 14 * DPI / 72
    for (_, colour, _, _), text, (x, y), centre in zip(ends, texts, at, centres, strict=True):
        if box.x1 - x < 0.05 * box.width:  # a line across the panel would look like a curve
            line_between(figure, axes, (float(x), float(y), left - 3, centre), colour)
        figure.text(
            left / figure.bbox.width,
            centre / figure.bbox.height,
            text,
            fontsize=LABEL,
            color=colour,
            va="center",
            linespacing=1.0,
        )
    axes.tick_params(color=LINE)


def _caption(
    comparison: Comparison, curves: Mapping[str, Curves], rows: Sequence[Mapping[str, Any]]
) -> list[str]:
    several = any(len(c) > 1 for row in rows for c in curves[row["name"]].values())
    lines = [figure_origin(comparison)]
    if several:
        lines.append(
            f"Lines: means over {repeated(comparison)}; bands: ± 1 sample standard deviation"
            + (f" of the first {BANDS} rows" if len(rows) > BANDS else "")
            + "; as far as every run trained."
        )
    lines.append("Training loss: while training, with augmentation and dropout.")
    if len(rows) > COLOURED:
        lines.append(f"In colour the first {COLOURED} of {len(rows)} rows, in grey the others.")
    return [lines[0], " ".join(lines[1:])]
