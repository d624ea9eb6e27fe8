"""Depth against error: the degradation of plain networks (He et al. 2016, Figures 1 and 6)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from experiments.comparison.caption import figure_origin, part, repeated, title
from experiments.comparison.grouping import Comparison
from experiments.comparison.row_names import short_keys
from experiments.presentation.columns import Row
from experiments.presentation.figure_style import (
    DPI,
    LABEL,
    OKABE_ITO,
    caption_below,
    heading,
    label_axes,
    line_between,
    move,
    new_figure,
    plain_axes,
    size_of,
    with_halo,
    wrapped,
)
from experiments.presentation.formatting import in_words, percent
from experiments.presentation.html_page import Drawn
from experiments.presentation.label_placement import Box, Bubble, leader, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADING = "Depth against error"

NAME = re.compile(r"(plain|resnet|vgg)(\d+)(_.+)?")
LETTERS = {"vgg_a": 11, "vgg_b": 13}
MOST = len(OKABE_ITO)  # families
MARKS = "osD^vP"


def family_and_depth(model: str | None) -> tuple[str, int] | None:
    """resnet20_cifar is of resnetN_cifar, 20 layers deep; None for what has no family of depths."""
    if model in LETTERS:
        return "vggN", LETTERS[model]
    match = NAME.fullmatch(model or "")
    return (f"{match[1]}N{match[3] or ''}", int(match[2])) if match else None


def series(comparison: Comparison) -> dict[str, list[tuple[int, Row]]]:
    """Rows by family (and by whatever else varies), by depth; families of two depths or more."""
    others = [key for key in comparison.varying if key != "model.name"]
    short = short_keys(others)
    families: dict[str, dict[int, Row]] = {}
    for row in comparison.rows:
        family = family_and_depth(row["model"])
        if family is None or row["top1_mean"] is None:
            continue
        words = [
            family[0],
            *(f"{short[k]}={in_words(row[k])}" for k in others if row[k] is not None),
        ]
        if len(comparison.experiments) > 1:
            words.append(f"({row['experiment']})")
        families.setdefault(" ".join(words), {}).setdefault(family[1], row)
    return {name: sorted(rows.items()) for name, rows in sorted(families.items()) if len(rows) > 1}


def draw(comparison: Comparison) -> Drawn | None:
    """The figure; None where no family was trained at two depths."""
    families = dict(list(series(comparison).items())[:MOST])
    if not families:
        return None
    figure = new_figure(7.6, 4.8)
    name = f"{HEADING}: {title(comparison)}"
    heading(figure, name)
    height = figure.get_size_inches()[1]
    what = f"Solid: {part(comparison)}. Dashed: training images, without augmentation or dropout."
    bars = f" Bars: ± 1 sample standard deviation over {repeated(comparison)}."
    spread_shown = any(row["top1_std"] for rows in families.values() for _, row in rows)
    bottom = caption_below(figure, [figure_origin(comparison), what + bars * spread_shown])
    bottom += 0.5 / height
    axes = figure.add_axes((0.09, bottom, 0.68, 1 - 0.42 / height - bottom))
    plain_axes(axes)
    label_axes(axes, "Layers with weights", "Top-1 error (%)")
    hovers: dict[str, str] = {}
    for i, rows in enumerate(families.values()):
        _family(axes, i, rows, hovers)
    depths = sorted({depth for rows in families.values() for depth, _ in rows})
    axes.set_xticks(_apart(depths))
    axes.margins(x=0.06)
    axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))
    _names(figure, axes, families)
    return Drawn("depth", HEADING, name, figure, hovers)


def _family(axes: Axes, i: int, rows: Sequence[tuple[int, Row]], hovers: dict[str, str]) -> None:
    colour, mark = OKABE_ITO[i], MARKS[i]
    depths = [depth for depth, _ in rows]
    errors = [100 * row["top1_error"] for _, row in rows]
    axes.plot(depths, errors, color=colour, linewidth=1.6, zorder=3)
    trained = [(d, 100 * (1 - r["train_top1"])) for d, r in rows if r["train_top1"] is not None]
    if trained:
        axes.plot(*zip(*trained, strict=True), "--", color=colour, linewidth=1.0, zorder=2)
    for k, (depth, row) in enumerate(rows):
        if row["top1_std"]:
            axes.errorbar(
                depth, errors[k], yerr=100 * row["top1_std"], color=colour, linewidth=0.9, capsize=2
            )
        (point,) = axes.plot(depth, errors[k], mark, color=colour, markersize=5, zorder=4)
        gid = f"depth-{i}-{k}"
        point.set_gid(gid)
        trained_text = percent(row, "train_top1")
        hovers[gid] = (
            f"{row['name']}: {depth} layers\ntop-1 {percent(row, 'top1_mean')} %, n = {row['n']}"
            + (f"\non training images {trained_text} %" if trained_text else "")
        )


def _names(figure: Figure, axes: Axes, families: Mapping[str, Sequence[tuple[int, Row]]]) -> None:
    """Each family's name near its deepest point, clear of points and lines."""
    pixels = DPI / 72
    lines, points, texts = [], [], []
    for i, (name, rows) in enumerate(families.items()):
        at = [axes.transData.transform((depth, 100 * row["top1_error"])) for depth, row in rows]
        corners = [(float(x), float(y)) for x, y in at]
        points.append([Bubble(x, y, 3.5 * pixels) for x, y in corners])
        lines += [(*a, *b) for a, b in pairwise(corners)]
        texts.append(
            with_halo(
                figure.text(
                    0,
                    0,
                    wrapped(name, 24, 2),
                    fontsize=LABEL + 1,
                    color=OKABE_ITO[i],
                    va="bottom",
                    ha="left",
                    linespacing=1.0,
                )
            )
        )
    bubbles = [of_family[-1] for of_family in points] + [
        bubble for of_family in points for bubble in of_family[:-1]
    ]
    box = axes.bbox
    frame = Box(float(box.x0), float(box.y0), float(figure.bbox.width), float(box.y1))
    boxes = place(bubbles, [size_of(figure, text) for text in texts], frame, lines, 3 * pixels)
    for i, (text, where) in enumerate(zip(texts, boxes, strict=True)):
        move(figure, text, where)
        if (line := leader(bubbles[i], where, 3 * pixels)) is not None:
            line_between(figure, axes, line, OKABE_ITO[i])


def _apart(depths: Sequence[int]) -> list[int]:
    """Ticks at the depths themselves, without those whose numbers would touch."""
    least = (depths[-1] - depths[0]) / 16
    kept: list[int] = []
    for depth in depths:
        if not kept or depth - kept[-1] >= least:
            kept.append(depth)
    return kept
