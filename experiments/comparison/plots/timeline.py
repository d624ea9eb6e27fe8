"""The lectures' first picture: the winners of ILSVRC by year, and beside them our own runs.

Only of sets of as many classes: one guess of ten classes has a top-5 error of 50 %, of a thousand
99.5 %.

Errors are top-5 on the test set of each year, of the best entry trained on the challenge's own
images (with additional ones, SuperVision had 15.3 % in 2012 and Clarifai 11.2 % in 2013).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.comparison.caption import figure_origin, repeated, title, top5
from experiments.comparison.grouping import Comparison
from experiments.comparison.row_names import labels
from experiments.presentation.figure_style import (
    FRONT,
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


HEADING = "Beside the winners of ILSVRC"


class Winner(NamedTuple):
    year: int
    team: str
    entry: str
    top5_error: float
    """per cent"""
    source: str


RUSSAKOVSKY = "results of the challenge; Russakovsky et al. 2015, IJCV 115"
WINNERS = (
    Winner(2010, "NEC-UIUC", "hand-made features, SVM", 28.2, RUSSAKOVSKY),
    Winner(2011, "XRCE", "Fisher vectors, SVM", 25.8, RUSSAKOVSKY),
    Winner(2012, "SuperVision", "AlexNet, 5 networks", 16.4, RUSSAKOVSKY),
    Winner(2013, "Clarifai", "several networks", 11.7, RUSSAKOVSKY),
    Winner(2014, "GoogLeNet", "7 networks, 144 crops", 6.67, "Szegedy et al. 2015, Table 2"),
    Winner(2015, "ResNet", "6 networks", 3.57, "He et al. 2016, Table 5"),
)
HUMAN = 5.1
"""One annotator, trained on 500 images, on 1,500 test images; another, trained on 100, had 12.0 %
(Russakovsky et al. 2015, section 6.4)."""
CLASSES = 1000
MOST = 30  # of our rows


def draw(comparison: Comparison) -> Drawn | None:
    """The figure; None where no row has a top-5 error of as many classes as ILSVRC, and for
    several settings of one architecture."""
    key = top5(comparison)
    rows = [
        row for row in comparison.rows if row.get(key) is not None and row.get("classes") == CLASSES
    ]
    shown = sorted(rows[:MOST], key=lambda row: (_year(row), row["name"]))
    if not shown or (len(shown) > 1 and len({row["model"] for row in shown}) == 1):
        return None
    figure = new_figure(max(8.0, 5.6 + 0.24 * len(shown)), 5.4)
    width, height = figure.get_size_inches()
    left, middle = 0.68 / width, 5.0 / width
    heading(figure, f"Top-5 error: ILSVRC by year, and {title(comparison)}", left)
    caption = [
        "Left: best entry of each year on ILSVRC's own training images, test set of that year "
        "(Russakovsky et al. 2015, IJCV 115; Szegedy et al. 2015; He et al. 2016). Human: one "
        "trained annotator.",
        "Right: our runs on other data, which do not compare with the left: "
        f"{figure_origin(comparison)}.",
    ]
    if any(row.get(f"{key}_std") for row in shown):
        caption.append(f"Bars: ± 1 sample standard deviation over {repeated(comparison)}.")
    if len(rows) > len(shown):
        caption.append(f"The {len(shown)} best of {len(rows)} rows.")
    names = [cut(name, 32) for name in labels(shown)]
    names_height = max(0.45, 0.12 + 0.046 * max(map(len, names)))  # inches, slanted
    bottom = caption_below(figure, caption, left) + (names_height + 0.1) / height
    top = 1 - 0.62 / height
    published = figure.add_axes((left, bottom, middle - left, top - bottom))
    gap = 0.12 / width
    ours = figure.add_axes(
        (middle + gap, bottom, 1 - middle - gap - 0.15 / width, top - bottom), sharey=published
    )
    highest = max(100 * (1 - row[key] + (row.get(f"{key}_std") or 0)) for row in shown)
    published.set_ylim(0, 1.08 * max(highest, WINNERS[0].top5_error))
    hovers = _published(published) | _ours(ours, shown, names, key)
    return Drawn("timeline", HEADING, f"Timeline: {title(comparison)}", figure, hovers)


def _published(axes: Axes) -> dict[str, str]:
    plain_axes(axes, "y")
    axes.set_ylabel("Top-5 error (%)", fontsize=9.5, color=INK)
    axes.set_title("ILSVRC winners, ILSVRC test images", fontsize=8.5, color=INK, loc="left")
    years = [winner.year for winner in WINNERS]
    bars = axes.bar(years, [w.top5_error for w in WINNERS], width=0.62, color=FRONT)
    hovers = {}
    for bar, winner in zip(bars, WINNERS, strict=True):
        at = winner.year, winner.top5_error
        axes.annotate(
            f"{winner.top5_error:g}",
            at,
            (0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},  # clear of the line
            zorder=5,
        )
        bar.set_gid(f"timeline-{winner.year}")
        hovers[f"timeline-{winner.year}"] = (
            f"{winner.year}: {winner.team} ({winner.entry})\n"
            f"top-5 error {winner.top5_error:g} % on ILSVRC test images\n{winner.source}"
        )
    axes.set_xticks(years)
    axes.set_xticklabels([f"{w.year}\n{w.team}" for w in WINNERS], fontsize=7.5)
    axes.axhline(HUMAN, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.annotate(
        f"human\n{HUMAN:g}",
        (2009.04, HUMAN),
        (0, 2.5),
        textcoords="offset points",
        fontsize=8,
        color=INK,
        linespacing=1.0,
    )
    axes.set_xlim(2009.0, 2015.5)
    return hovers


def _ours(
    axes: Axes, rows: Sequence[Mapping[str, Any]], names: Sequence[str], key: str
) -> dict[str, str]:
    plain_axes(axes, "y")
    axes.set_facecolor("#FBF6EF")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.set_title("Our runs, other data", fontsize=8.5, color=OKABE_ITO[1], loc="left")
    hovers = {}
    for i, row in enumerate(rows):
        error, spread = 100 * (1 - row[key]), 100 * (row.get(f"{key}_std") or 0)
        if spread:
            axes.errorbar(
                i, error, yerr=spread, color=OKABE_ITO[1], linewidth=0.9, capsize=2, zorder=3
            )
        (mark,) = axes.plot(
            i,
            error,
            linestyle="none",
            marker="D",
            markersize=5,
            markerfacecolor="white",
            markeredgecolor=OKABE_ITO[1],
            markeredgewidth=1.3,
            zorder=4,
            clip_on=False,
        )
        mark.set_gid(f"timeline-ours-{i}")
        hovers[f"timeline-ours-{i}"] = (
            f"{row['name']}\ntop-5 {percent(row, key)} % on {row['source']}, n = {row['n']}"
        )
    axes.set_xticks(range(len(rows)))
    axes.set_xticklabels(
        names, rotation=55, ha="right", rotation_mode="anchor", fontsize=7, color=INK
    )
    axes.tick_params(axis="x", color=LINE)
    axes.set_xlim(-0.7, len(rows) - 0.3)
    return hovers


def _year(row: Mapping[str, Any]) -> int:
    """Of the architecture's paper; late where it has none."""
    import models

    name = row["model"]
    if name not in models.list_models():
        return 9999
    return models.card(name).year or 9999
