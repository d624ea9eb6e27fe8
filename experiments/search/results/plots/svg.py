"""The pictures of a search for a page: SVG whose marks know their trial (`data-trial`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean
from typing import Any

from experiments.presentation.figure_style import OKABE_ITO
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
    name,
    whole,
    why,
)

WIDTH = 980.0
BLUE, BEST = OKABE_ITO[0], OKABE_ITO[1]
PANEL = (280.0, 190.0)  # of the effect of one parameter
TEXT = 42  # letters that fit under it
COLUMNS = 3


def parallel(view: View) -> str:
    """A line a trial through its values; its details are on the line."""
    axes = [*view.axes, view.score_axis()]
    wide = max(WIDTH, 105.0 * len(axes) + 90)
    top, bottom, left, right = 48.0, 350.0, 80.0, wide - 70
    absent = any(axis.absent for axis in axes)

    def x(at: int) -> float:
        return left + (right - left) * at / max(len(axes) - 1, 1)

    def y(position: float) -> float:
        return bottom - position * (bottom - top)

    heights, drawn = crossings(view, axes), []
    for trial in sorted(view.trials, key=lambda one: bool(one["chosen"])):
        corners = [(x(at), y(position)) for at, position in enumerate(heights[trial["id"]])]
        line = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in corners)
        kind, colour = "", ""
        if trial["score"] is None:
            kind = " failed"
        else:
            position = view.score_axis().at(view.shown(trial["score"]))
            kind = " chosen" if trial["chosen"] else ""
            colour = f' stroke="{BEST if trial["chosen"] else shade(position)}"'
        text = escape(details(trial, view), quote=True)
        drawn.append(
            f'<path class="trial{kind}" tabindex="0" data-trial="{trial["id"]}" '
            f'data-details="{text}"{colour} d="{line}"><title>{text}</title></path>'
        )
        if trial["score"] is None:
            drawn.append(_cross(*corners[-1], trial))
    for at, axis in enumerate(axes):
        drawn += _upright(axis, x(at), y, last=at == len(axes) - 1)
    height = y(NOWHERE) + 22 if absent else bottom + 14
    words = f"{chosen_in_words(view)}, in orange" if view.chosen else "no trial has a score"
    gone = "".join(f"; {word}: {count}, dashed" for word, count in view.without_score())
    return (
        _svg("Trials in parallel coordinates", height, drawn, wide)
        + f'<p class="note">A line a trial, darker for the better; {escape(words + gone)}. Lines '
        "that share a value are spread around it.</p>"
    )


def details(trial: Mapping[str, Any], view: View) -> str:
    """What is known of a trial, in lines."""
    score = trial["score"]
    first = why(trial) if score is None else f"{view.score_label.split(' (')[0]} {view.text(score)}"
    scores = [view.text(one) if one is not None else "–" for one in trial.get("scores") or []]
    facts = [f"{trial['label']}{' (chosen)' if trial['chosen'] else ''}: {first}"]
    if len(scores) > 1:
        facts[0] += f"; folds {', '.join(scores)}"
    facts.append(", ".join(f"{k} {name(v)}" for k, v in trial["hyperparameters"].items()))
    if error := str(trial.get("error") or "").strip():
        facts.append(error.splitlines()[-1][:200])
    return "\n".join(facts)


def shade(position: float) -> str:
    """The colour of a score, by its position between worst and best."""
    at = min(max(position, 0.0), 1.0) * (len(SHADES) - 1)
    low = min(int(at), len(SHADES) - 2)
    ends = [[int(SHADES[i][j : j + 2], 16) for j in (1, 3, 5)] for i in (low, low + 1)]
    mixed = [round(a + (b - a) * (at - low)) for a, b in zip(*ends, strict=True)]
    return "#" + "".join(f"{one:02x}" for one in mixed)


def _upright(axis: Axis, x: float, y: Any, *, last: bool) -> list[str]:
    side, reach = ("start", 8) if last else ("end", -6)
    drawn = [f'<path class="axis" d="M{x:.1f} {y(0):.1f}V{y(1):.1f}"/>']
    for position, text in axis.ticks():
        drawn.append(f'<path class="axis" d="M{x - 3:.1f} {y(position):.1f}h6"/>')
        drawn.append(
            f'<text class="halo" x="{x + reach:.1f}" y="{y(position) + 4:.1f}" '
            f'text-anchor="{side}">{escape(text)}</text>'
        )
    if axis.absent:
        drawn.append(f'<path class="axis none" d="M{x:.1f} {y(0):.1f}V{y(NOWHERE):.1f}"/>')
        drawn.append(
            f'<text class="halo quiet" x="{x + reach:.1f}" y="{y(NOWHERE) + 4:.1f}" '
            f'text-anchor="{side}">{"no score" if last else "not set"}</text>'
        )
    for row, part in enumerate(reversed(_two_lines(axis.label))):
        drawn.append(
            f'<text x="{x:.1f}" y="{y(1) - 12 - 14 * row:.1f}" text-anchor="middle">'
            f"{escape(part)}</text>"
        )
    return drawn


def effects(view: View) -> str:
    """Score against each parameter by itself, with means."""
    wide, high = PANEL
    pitch = (wide + 35, high + 72)
    score, drawn = view.score_axis(), []
    for number, axis in enumerate(view.axes):
        left = 48 + (number % COLUMNS) * pitch[0]
        top = 26 + (number // COLUMNS) * pitch[1]
        drawn += _panel(view, axis, score, left, top, number % COLUMNS == 0)
    rows = -(-len(view.axes) // COLUMNS)
    return (
        _svg("Score against each parameter", rows * pitch[1] + 4, drawn)
        + f'<p class="note">{escape(view.score_label)}. A dot a trial, crosses without a score. '
        "Bars: means, of neighbours where the scale is continuous; other parameters vary along "
        "with each, so bars are not its effect alone.</p>"
    )


def _panel(view: View, axis: Axis, score: Axis, left: float, top: float, first: bool) -> list[str]:
    wide, high = PANEL
    foot = top + high + (16 if score.absent else 6)

    def x(position: float) -> float:
        return left + 8 + position * (wide - 16)

    def y(position: float) -> float:
        return top + high - position * high

    middle = left + wide / 2
    drawn = [
        f'<text x="{middle:.1f}" y="{top - 9:.1f}" text-anchor="middle">{escape(axis.label)}</text>'
    ]
    for position, text in score.ticks():
        drawn.append(f'<path class="grid" d="M{left:.1f} {y(position):.1f}h{wide:.1f}"/>')
        if first:
            drawn.append(
                f'<text x="{left - 6:.1f}" y="{y(position) + 4:.1f}" '
                f'text-anchor="end">{text}</text>'
            )
    drawn.append(f'<path class="axis" d="M{left:.1f} {top:.1f}V{foot:.1f}h{wide:.1f}"/>')
    ticks = axis.ticks()
    turned = crowded(axis, TEXT)
    for position, text in ticks:
        at = f"{x(position):.1f} {foot + 16:.1f}"
        style = (
            f'transform="translate({at}) rotate(-20)" text-anchor="end"'
            if turned
            else (f'transform="translate({at})" text-anchor="middle"')
        )
        drawn.append(
            f'<path class="axis" d="M{x(position):.1f} {foot:.1f}v4"/>'
            f"<text {style}>{escape(text)}</text>"
        )
    pairs = []
    for order, trial in enumerate(view.trials):
        spot = axis.position(trial["hyperparameters"])
        if spot is None:
            continue
        across = x(spot + beside(axis, order))
        if trial["score"] is None:
            drawn.append(_cross(across, foot - 8, trial))
            continue
        height = score.at(view.shown(trial["score"]))
        pairs.append((spot, height))
        colour, radius = (BEST, 5.5) if trial["chosen"] else (BLUE, 4)
        drawn.append(
            f'<circle class="trial" data-trial="{trial["id"]}" cx="{across:.1f}" '
            f'cy="{y(height):.1f}" r="{radius}" fill="{colour}" fill-opacity=".75"/>'
        )
    half = 0.3 / len(axis.categories) if axis.categories else 0.0
    spots = sorted({position for position, _ in pairs})
    means = (
        binned(pairs)
        if axis.categories is None
        else [
            (
                spot - half,
                spot + half,
                fmean(value for position, value in pairs if position == spot),
            )
            for spot in spots
        ]
    )
    for start, end, mean in means:
        drawn.append(f'<path class="mean" d="M{x(start) - 2:.1f} {y(mean):.1f}H{x(end) + 2:.1f}"/>')
    return drawn


def importance(view: View, result: Mapping[str, Any]) -> str:
    """A bar a key, as long as its share; what is more than chance is filled."""
    shares, p = result["importance"], result["importance_p"]
    labels = {axis.key: axis.label for axis in view.axes}
    left, pitch, drawn = 300.0, 24.0, []
    for row, (key, share) in enumerate(shares.items()):
        y, length = 16 + pitch * row, share * (WIDTH - left - 130)
        filled = BLUE if is_beyond_chance(p, key) else "#fff"
        drawn += [
            f'<text x="{left - 10:.1f}" y="{y + 4:.1f}" text-anchor="end">{escape(labels[key])}'
            "</text>",
            f'<rect x="{left:.1f}" y="{y - 8:.1f}" width="{length:.1f}" height="16" '
            f'fill="{filled}" stroke="{BLUE}"/>',
            f'<text x="{left + length + 8:.1f}" y="{y + 4:.1f}">'
            f"{escape(share_in_words(share, p[key]))}</text>",
        ]
    notes = "".join(
        f'<p class="note">{escape(note)}</p>' for note in (FILLED, *result["importance_notes"])
    )
    return _svg("Importance of each key", 12 + pitch * len(shares), drawn) + notes


def folds(view: View, top: int = 10) -> str:
    """Every fold of the best trials, best first."""
    best = [trial for trial in reversed(view.scored) if whole(trial)][:top]
    values = [view.shown(score) for trial in best for score in trial["scores"]]
    low, high = min(values), max(values)
    margin = 0.04 * (high - low) or 1.0
    axis = Axis(
        "fold",
        "",
        *((high + margin, low - margin) if view.minimise else (low - margin, high + margin)),
    )
    left, pitch = 110.0, 24.0
    bottom = 10 + pitch * len(best)

    def x(value: float) -> float:
        return left + axis.at(value) * (WIDTH - left - 20)

    drawn = []
    for position, text in axis.ticks():
        at = left + position * (WIDTH - left - 20)
        drawn.append(f'<path class="grid" d="M{at:.1f} 4V{bottom:.1f}"/>')
        drawn.append(f'<text x="{at:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{text}</text>')
    for row, trial in enumerate(best):
        y = 20 + pitch * row
        scores = [view.shown(score) for score in trial["scores"]]
        ends = x(min(scores)), x(max(scores))
        drawn.append(f'<path class="axis" d="M{ends[0]:.1f} {y:.1f}H{ends[1]:.1f}"/>')
        drawn.append(
            f'<text x="{left - 12:.1f}" y="{y + 4:.1f}" text-anchor="end">{trial["label"]}</text>'
        )
        colour = BEST if trial["chosen"] else BLUE
        drawn += [
            f'<circle class="trial" data-trial="{trial["id"]}" cx="{x(score):.1f}" cy="{y:.1f}" '
            f'r="4.5" fill="{colour}" fill-opacity=".75"/>'
            for score in scores
        ]
        drawn.append(f'<path class="mean" d="M{x(fmean(scores)):.1f} {y - 8:.1f}v16"/>')
    return _svg("Folds of the best trials", bottom + 26, drawn) + (
        f'<p class="note">{escape(view.score_label)} on each fold; upright bar: mean.</p>'
    )


def _svg(label: str, height: float, drawn: Sequence[str], width: float = WIDTH) -> str:
    return (
        f'<div class="scroll"><svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">\n'
        + "\n".join(drawn)
        + "\n</svg></div>"
    )


def _cross(x: float, y: float, trial: Mapping[str, Any]) -> str:
    return (
        f'<path class="trial" stroke="#222" data-trial="{trial["id"]}" '
        f'd="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"/>'
    )


def _two_lines(label: str) -> list[str]:
    if len(label) <= 13:
        return [label]
    cuts = [
        at + 1 for at, letter in enumerate(label) if letter in "._ " and 0 < at < len(label) - 1
    ]
    if not cuts:
        return [label]
    cut = min(cuts, key=lambda at: abs(at - len(label) / 2))
    return [label[:cut].rstrip(), label[cut:]]
