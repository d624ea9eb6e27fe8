"""Bars of an ablation: one axis varies, everything else is equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.comparison.against_best import against_best_text
from experiments.comparison.caption import figure_origin, part, repeated, title
from experiments.comparison.grouping import OF_SPLIT, Comparison
from experiments.presentation.columns import Row
from experiments.presentation.figure_style import (
    INK,
    LINE,
    OKABE_ITO,
    caption_below,
    cut,
    heading,
    new_figure,
    plain_axes,
)
from experiments.presentation.formatting import in_words, percent
from experiments.presentation.html_page import Drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 40


def axis_of(comparison: Comparison) -> str | None:
    """The one setting that varies; None where none or several do.

    The parts of one setting count once: model.options.kernel_regularizer.l1 and .l2.
    """
    axes = _axes(comparison)
    return axes[0] if len(axes) == 1 and len(comparison.experiments) == 1 else None


def one_at_a_time(comparison: Comparison) -> bool:
    """Do several settings of one network vary, but in each row one of them at most?"""
    axes, rows = _axes(comparison), comparison.rows
    if len(axes) < 2 or len(comparison.experiments) > 1 or len({r["model"] for r in rows}) > 1:
        return False
    return all(sum(_is_set(row, axis, comparison.varying) for axis in axes) <= 1 for row in rows)


def draw(comparison: Comparison) -> Drawn | None:
    """Horizontal bars of the error; None where more varies from bar to bar than one setting."""
    axis = axis_of(comparison)
    rows = [row for row in comparison.rows if row["top1_mean"] is not None][:MOST]
    if len(rows) < 2 or not (axis or one_at_a_time(comparison)):
        return None
    if axis:
        names = [value_name(row, axis, comparison.varying) for row in rows]
        about = axis
    else:
        names = [name.partition(" ")[2] if " " in name else name for name in _own_names(rows)]
        about = f"{rows[0]['model']}, one change at a time"
    numeric = axis is not None and all(_is_number(row.get(axis)) for row in rows)
    pairs = list(zip(rows, [cut(name, 34) for name in names], strict=True))
    # numbers, such as learning rates, in their order
    order = axis if axis and numeric else "top1_error"
    pairs.sort(key=lambda pair: pair[0][order])
    rows, names = [row for row, _ in pairs], [name for _, name in pairs]
    left = 0.35 + 0.075 * max(map(len, names))
    figure = new_figure(7.2, 1.75 + 0.27 * len(rows))
    name = f"{about}: {title(comparison)}"
    heading(figure, name, 0.03)
    width, height = figure.get_size_inches()
    spread = any(row["top1_std"] for row in rows)
    caption = (
        f"Bars: mean; lines: ± 1 sample standard deviation over {repeated(comparison)}; "
        "points: single runs."
    )
    starred = any((row.get("vs_best") or "").endswith("*") for row in rows)
    star = "*: p at or below 0.05 against the best row; the tests stand below the table."
    lines = [figure_origin(comparison), caption if spread else "", star if starred else ""]
    bottom = caption_below(figure, lines, 0.03) + 0.5 / height
    right = 1 - 0.95 / width
    axes = figure.add_axes((left / width, bottom, right - left / width, 1 - 0.4 / height - bottom))
    hovers = _bars(axes, rows, names)
    axes.set_xlabel(f"Top-1 error on {part(comparison)} (%)", fontsize=9.5, color=INK)
    return Drawn("ablation", "Ablation", name, figure, hovers)


def _axes(comparison: Comparison) -> list[str]:
    keys = [key for key in comparison.varying if key not in OF_SPLIT]
    return sorted({".".join(key.split(".")[:3]) for key in keys})


def _is_set(row: Row, axis: str, varying: Sequence[str]) -> bool:
    return any(
        row.get(key) is not None for key in varying if key == axis or key.startswith(f"{axis}.")
    )


def _own_names(rows: Sequence[Row]) -> list[str]:
    """Names without the model; the row with no change is the network as published."""
    return [
        f"{row['name']} as published" if row["name"] == row["model"] else row["name"]
        for row in rows
    ]


def value_name(row: Row, axis: str, varying: Sequence[str]) -> str:
    """What the axis is set to in a row."""
    if axis in row:
        return "as published" if row[axis] is None else in_words(row[axis])
    inner = [key for key in varying if key.startswith(f"{axis}.") and row[key] is not None]
    return " ".join(f"{key.removeprefix(axis)[1:]}={in_words(row[key])}" for key in inner) or "none"


def _bars(axes: Axes, rows: Sequence[Row], names: Sequence[str]) -> dict[str, str]:
    plain_axes(axes, "x")
    errors = [100 * row["top1_error"] for row in rows]
    bars = axes.barh(range(len(rows)), errors, height=0.62, color=OKABE_ITO[0], alpha=0.45)
    hovers = {}
    for i, (bar, row) in enumerate(zip(bars, rows, strict=True)):
        reach = 100 * (row["top1_std"] or 0.0)
        if reach:
            axes.errorbar(errors[i], i, xerr=reach, color=INK, linewidth=0.9, capsize=2, zorder=4)
        singles = [100 * (1 - value["score"]) for value in row.get("values", ())]
        if len(singles) > 1:
            axes.plot(
                singles, [i] * len(singles), "o", color=OKABE_ITO[0], markersize=2.6, zorder=3
            )
        text = f"{errors[i]:.1f}" + (f" ± {reach:.1f}" if row["top1_std"] is not None else "")
        star = " *" if (row.get("vs_best") or "").endswith("*") else ""
        axes.annotate(
            text + star,
            (max([errors[i] + reach, *singles]), i),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color=INK,
            annotation_clip=False,
        )
        bar.set_gid(f"ablation-{i}")
        hovers[f"ablation-{i}"] = (
            f"{names[i]}\ntop-1 {percent(row, 'top1_mean')} %, n = {row['n']}"
            + (f"\nagainst the best: {against_best_text(row)}" if row.get("vs_best") else "")
        )
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels(names, fontsize=8, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", color=LINE)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, axes.get_xlim()[1])
    return hovers


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
