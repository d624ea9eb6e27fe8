"""Pictures of a search for print: parallel coordinates, effect of each parameter, folds."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from experiments.presentation.figure_style import (
    GRID,
    INK,
    LINE,
    OKABE_ITO,
    new_figure,
    save_picture,
)
from experiments.search.results.importance import FILLED, is_beyond_chance, share_in_words
from experiments.search.results.plots.view import (
    NOWHERE,
    SHADES,
    Axis,
    View,
    beside,
    binned,
    chosen_in_words,
    crossings,
    crowded,
    whole,
    words,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, BEST, GREY = OKABE_ITO[0], OKABE_ITO[1], "#8A8A8A"
MARKS = {"failed": "x", "gave up": "v", "unfinished": "o", "refused": "s"}
WIDEST = 11.0  # inches
TEXT = 38  # letters that fit under a panel
COLUMNS = 3  # panels in a row
TOP = 10  # trials whose folds are drawn


def parallel_coordinates(view: View, path: str | Path) -> None:
    """One line a trial through its values, coloured by its score; the best one stands out."""
    axes_drawn = [*view.axes, view.score_axis()]
    width = min(max(7.0, 1.35 * len(axes_drawn) + 1.2), WIDEST)
    figure = new_figure(width, 5.0)
    left = 1.0 / width
    panel = figure.add_axes((left, 0.20, 1 - 1.9 * left, 0.625))
    panel.set_xlim(0, len(axes_drawn) - 1)
    panel.set_ylim(NOWHERE - 0.06 if any(axis.absent for axis in axes_drawn) else -0.02, 1.02)
    panel.axis("off")
    colour = _colours(view)
    heights = crossings(view, axes_drawn)
    for trial in sorted(view.trials, key=lambda one: bool(one["chosen"])):
        ys = heights[trial["id"]]
        xs = list(range(len(ys)))
        if trial["score"] is None:
            panel.plot(xs, ys, color=GREY, linewidth=0.9, linestyle=(0, (4, 2)), zorder=2)
            mark = MARKS.get(str(trial["status"]).replace("_", " "), "x")
            panel.plot(
                xs[-1:], ys[-1:], mark, color=INK, markersize=5, markerfacecolor="none",
                clip_on=False, zorder=6,
            )  # fmt: skip
        elif trial["chosen"]:
            panel.plot(xs, ys, color="white", linewidth=4.6, zorder=4)
            panel.plot(xs, ys, color=BEST, linewidth=2.6, zorder=5)
        else:
            panel.plot(xs, ys, color=colour(trial), linewidth=1.3, alpha=0.9, zorder=3)
    for x, axis in enumerate(axes_drawn):
        last = x == len(axes_drawn) - 1
        letters = int(9.5 * width / len(axes_drawn))
        _upright(panel, x, axis, letters, last)
    _colour_bar(panel, view, len(axes_drawn) - 1)
    frame(figure, view, _parallel_caption(view), left)
    _key(figure, view, left)
    save_picture(figure, Path(path))


def effects(view: View, path: str | Path) -> None:
    """Score against each parameter by itself, with means."""
    columns = min(COLUMNS, max(1, len(view.axes)))
    rows = math.ceil(len(view.axes) / columns) or 1
    pitch = 2.45 if any(crowded(axis, TEXT) for axis in view.axes) else 2.15  # inches, of a row
    height = pitch * rows + 0.95
    figure = new_figure(8.0, height)
    score = view.score_axis()
    for number, axis in enumerate(view.axes):
        column, row = number % columns, number // columns
        width = (0.985 - 0.085) / columns
        panel = figure.add_axes(
            (
                0.085 + column * width,
                1 - (0.58 + pitch * row + 1.62) / height,
                width - 0.025,
                1.62 / height,
            )
        )
        _effect(panel, view, axis, score)
        if column == 0:
            panel.set_ylabel(wrapped(view.score_label, 22), fontsize=8, color=INK)
        else:
            panel.tick_params(labelleft=False)
    frame(figure, view, _effects_caption(view), 0.085)
    save_picture(figure, Path(path))


def importance(view: View, result: Mapping[str, Any], path: str | Path) -> None:
    """A bar a key, as long as its share; what is more than chance is filled."""
    shares, p = result["importance"], result["importance_p"]
    labels = {axis.key: axis.label for axis in view.axes}
    notes = tuple(result["importance_notes"])
    below = 0.7 + 0.15 * sum(-(-len(note) // 135) for note in notes)
    height = 0.55 + 0.3 * len(shares) + below
    figure = new_figure(8.0, height)
    panel = figure.add_axes((0.3, below / height, 0.6, 0.3 * len(shares) / height))
    plain(panel)
    for row, (key, share) in enumerate(shares.items()):
        filled = BLUE if is_beyond_chance(p, key) else "white"
        panel.barh(row, 100 * share, 0.6, color=filled, edgecolor=BLUE, linewidth=1)
        words = f"  {share_in_words(share, p[key])}"
        panel.text(100 * share, row, words, fontsize=7.5, color=INK, va="center")
    panel.set_ylim(len(shares) - 0.4, -0.6)
    panel.set_xlim(0, 100)
    panel.set_yticks(range(len(shares)), [labels[key] for key in shares])
    panel.tick_params(axis="y", length=0)
    panel.grid(False, axis="y")
    panel.set_xlabel("share of the importance (%)", fontsize=8, color=INK)
    frame(figure, replace(view, notes=notes), FILLED, 0.015)
    save_picture(figure, Path(path))


def folds(view: View, path: str | Path, top: int = TOP) -> None:
    """Every fold's score of the best trials, best first; a box where there are four or more."""
    best = [trial for trial in reversed(view.scored) if whole(trial)][:top]
    height = 1.35 + 0.36 * max(len(best), 1)
    figure = new_figure(8.0, height)
    panel = figure.add_axes((0.42, 0.85 / height, 0.555, (height - 1.25) / height))
    plain(panel)
    thin = {"color": LINE, "linewidth": 0.9}
    for row, trial in enumerate(best):
        scores = [view.shown(score) for score in trial["scores"]]
        colour = BEST if row == 0 else BLUE
        if _boxed(trial):
            panel.boxplot(
                [scores], positions=[row], orientation="horizontal", widths=0.55, showfliers=False,
                whis=(0, 100), boxprops=thin, whiskerprops=thin, capprops=thin, medianprops=thin,
            )  # fmt: skip
        else:
            panel.plot([min(scores), max(scores)], [row, row], color=LINE, linewidth=0.9, zorder=2)
        panel.plot(scores, [row] * len(scores), "o", color=colour, markersize=4, alpha=0.9)
        panel.plot([fmean(scores)], [row], "|", color=INK, markersize=13, markeredgewidth=1.6)
    panel.set_ylim(len(best) - 0.4, -0.6)
    panel.set_yticks(
        range(len(best)),
        [_in_two_lines(f"{trial['label']}: {words(trial, view.axes)}", 66) for trial in best],
    )
    panel.tick_params(axis="y", labelsize=6.3, length=0)
    panel.set_xlabel(f"{view.score_label}, each fold", fontsize=8.5, color=INK)
    if view.minimise:
        panel.invert_xaxis()
    boxes = " Box: quartiles; whiskers: extremes." if any(_boxed(trial) for trial in best) else ""
    caption = f"Dots: folds. Bar: their mean, by which trials are ranked, best first.{boxes}"
    frame(figure, view, caption, 0.015)
    save_picture(figure, Path(path))


def _boxed(trial: Mapping[str, Any]) -> bool:
    """Has it enough folds for quartiles?"""
    return len(trial["scores"]) >= 4


def _upright(panel: Axes, x: int, axis: Axis, letters: int, last: bool) -> None:
    """A vertical axis, its texts on the left; on the right of the last, which is the score."""
    panel.plot([x, x], [0, 1], color=INK, linewidth=0.9, zorder=7, clip_on=False)
    style: dict[str, Any] = {"fontsize": 7.2, "color": INK, "va": "center", "zorder": 8}
    style |= {"bbox": {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.6}}
    style |= {"ha": "left" if last else "right"}
    reach = 0.06 if last else -0.04
    for position, text in axis.ticks():
        panel.plot([x - 0.015, x + 0.015], [position, position], color=INK, linewidth=0.9, zorder=7)
        panel.text(x + reach, position, text, **style)
    if axis.absent:
        panel.plot([x, x], [NOWHERE, 0], color=INK, linewidth=0.7, linestyle=":", zorder=7)
        absent = "no score" if last else "not set"
        panel.text(x + reach, NOWHERE, absent, **style | {"color": "#555555", "style": "italic"})
    panel.text(
        x, 1.05, wrapped(axis.label, letters), fontsize=8, color=INK, ha="center", va="bottom",
        linespacing=1.05,
    )  # fmt: skip


def _colour_bar(panel: Axes, view: View, x: int) -> None:
    """The score axis wears the colours of the lines."""
    import numpy as np

    if len(view.scored) < 2:
        return
    panel.imshow(
        np.linspace(0, 1, 256)[:, None], extent=(x - 0.0, x + 0.035, 0, 1), aspect="auto",
        cmap=_map(), origin="lower", zorder=6, clip_on=False,
    )  # fmt: skip
    panel.set_xlim(0, x)


def _map() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("trials", SHADES)


def _colours(view: View) -> Any:
    axis, shades = view.score_axis(), _map()
    return lambda trial: shades(axis.at(view.shown(trial["score"])))


def _effect(panel: Axes, view: View, axis: Axis, score: Axis) -> None:
    plain(panel)
    points = [
        (position, view.shown(trial["score"]), trial["chosen"])
        for trial in view.scored
        if (position := axis.position(trial["hyperparameters"])) is not None
    ]
    for order, (position, value, best) in enumerate(points):
        panel.plot(
            [position + beside(axis, order)], [value], "o", color=BEST if best else BLUE,
            markersize=6 if best else 4, alpha=1.0 if best else 0.6, markeredgewidth=0,
            zorder=5 if best else 4, clip_on=False,
        )  # fmt: skip
    pairs = [(position, value) for position, value, _ in points]
    if axis.categories is None:
        means = binned(pairs)
    else:
        half = 0.3 / len(axis.categories)
        spots = sorted({position for position, _ in pairs})
        means = [
            (
                spot - half,
                spot + half,
                fmean(value for position, value in pairs if position == spot),
            )
            for spot in spots
        ]
    for start, end, mean in means:
        pad = 0.012 if end - start < 0.02 else 0.0
        panel.plot([start - pad, end + pad], [mean, mean], color=INK, linewidth=1.8, zorder=3)
    worse, better = score.low, score.high
    gone = [
        (position, trial)
        for trial in view.trials
        if trial["score"] is None
        and (position := axis.position(trial["hyperparameters"])) is not None
    ]
    foot = worse - 0.09 * (better - worse)
    for order, (position, trial) in enumerate(gone):
        mark = MARKS.get(str(trial["status"]).replace("_", " "), "x")
        panel.plot(
            [position + beside(axis, order)],
            [foot],
            mark,
            color=INK,
            markersize=4.5,
            markerfacecolor="none",
            zorder=5,
        )
    room = 0.15 if len(view.scored) < len(view.trials) else 0.04
    panel.set_xlim(-0.03, 1.03)
    panel.set_ylim(worse - room * (better - worse), better + 0.04 * (better - worse))
    ticks = axis.ticks()
    panel.set_xticks([position for position, _ in ticks], [text for _, text in ticks])
    if crowded(axis, TEXT):
        for text in panel.get_xticklabels():
            text.set(rotation=28, ha="right", rotation_mode="anchor")
    panel.set_title(axis.label, fontsize=8.5, color=INK, pad=4)


def _key(figure: Figure, view: View, left: float) -> None:
    from matplotlib.lines import Line2D

    entries = []
    if view.chosen:
        entries.append((Line2D([], [], color=BEST, linewidth=2.6), chosen_in_words(view)))
    for word, count in view.without_score():
        line = Line2D(
            [], [], color=GREY, linewidth=0.9, linestyle=(0, (4, 2)), marker=MARKS.get(word, "x"),
            markersize=5, markeredgecolor=INK, markerfacecolor="none",
        )  # fmt: skip
        entries.append((line, f"{word}: {count}"))
    if entries:
        figure.legend(
            *zip(*entries, strict=True), loc="lower left", ncols=len(entries), frameon=False,
            bbox_to_anchor=(left, 0.095), fontsize=7.8, labelcolor=INK, borderpad=0,
            borderaxespad=0,
        )  # fmt: skip


def _parallel_caption(view: View) -> str:
    return (
        f"A line a trial ({len(view.trials)}), coloured as the axis of the score. Lines that share "
        "a value are spread around it."
    )


def _effects_caption(view: View) -> str:
    gone = ", ".join(f"{count} {word}" for word, count in view.without_score())
    return (
        "A dot a trial, chosen ones in orange. Bars: means, of neighbours where the scale is "
        "continuous; other parameters vary along with each, so bars are not its effect alone."
        f"{f' At the foot, without a score: {gone}.' if gone else ''}"
    )


def _in_two_lines(text: str, letters: int) -> str:
    return "\n".join(textwrap.wrap(text, letters, max_lines=2, placeholder=" …"))


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
