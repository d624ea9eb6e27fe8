"""The front of a search for several objectives: its score against each cost.

Of a nested search the members of each outer fold's front by their tests, which are honest, and
beside each its inner score, by which it came onto the front.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments.config.objectives import PLANNED
from experiments.presentation.figure_style import (
    FRONT,
    INK,
    OKABE_ITO,
    PALE,
    caption_below,
    heading,
    label_axes,
    new_figure,
    plain_axes,
)
from experiments.presentation.formatting import in_words, si
from experiments.presentation.html_page import Drawn
from experiments.presentation.quantities import label, scale, with_spread, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEADING = "Front"
DOMINATED, MEMBER, KNEE = PALE, OKABE_ITO[0], OKABE_ITO[1]
PANEL = (5.2, 3.6)  # inches


@dataclass(frozen=True)
class Plane:
    """Score up, another objective across."""

    up: Mapping[str, Any]
    across: Mapping[str, Any]

    def at(self, values: Mapping[str, float], score: float | None = None) -> tuple[float, float]:
        """Where values are drawn; with another score in place of theirs."""
        names = self.across["name"], self.up["name"]
        value = values[names[1]] if score is None else score
        return values[names[0]] * scale(names[0]), value * scale(names[1])


def draw(result: Mapping[str, Any], slug: str = "front") -> Drawn | None:
    """The figure of a result of `ilsvrc search` or `nested`; None without several objectives or a
    trial that finished. No other figure of a page has its `slug`."""
    trials = [trial for trial in result["trials"] if "values" in trial]
    if not result.get("objectives") or not trials:
        return None
    up, *others = _score_first(result["objectives"])
    volumes = result.get("hypervolume")
    panels = len(others) + (volumes is not None)
    figure = new_figure(0.9 + PANEL[0] * panels, PANEL[1] + 1.35)
    width, height = figure.get_size_inches()
    title = f"{HEADING}: {result.get('name') or 'search'}"
    heading(figure, title, 0.75 / width)
    bottom = caption_below(figure, list(_caption(result, trials)), 0.75 / width) + 0.5 / height
    hovers: dict[str, str] = {}
    seen = None if "outer" in result else limits(up["name"], result["front"], trials)
    for at in range(panels):
        left = (0.75 + at * (PANEL[0] + 0.1)) / width
        axes = figure.add_axes((left, bottom, 4.3 / width, 1 - 0.45 / height - bottom))
        plain_axes(axes)
        if at < len(others):
            _panel(axes, f"{slug}-{at}", Plane(up, others[at]), result, trials, hovers)
            if seen:
                axes.set_ylim(*seen)
        else:
            _growth(axes, volumes or [])
    return Drawn(slug, HEADING, title, figure, hovers)


def members_in_words(result: Mapping[str, Any]) -> Iterator[str]:
    """Each member in a line, of each outer fold the cheapest first."""
    cost = _score_first(result["objectives"])[1]["name"]
    knees = _knees(result)
    order = sorted(result["front"], key=lambda m: (m.get("outer", 0), m["values"][cost]))
    for member in order:
        first, *others = _details(member["trial"], member["settings"], member).split("\n")
        is_knee = (member.get("outer", 0), member["trial"]) in knees
        yield f"{first}{' (knee)' * is_knee}: {', '.join(others)}"


def _knees(result: Mapping[str, Any]) -> set[tuple[int, int | None]]:
    """(outer, trial); 0 of a plain search."""
    return {(row["fold"], row["knee"]) for row in result.get("outer", ())} or {
        (0, result.get("knee"))
    }


def _score_first(objectives: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(objectives, key=lambda objective: not objective["name"].startswith("val_"))


def _panel(
    axes: Axes,
    slug: str,
    plane: Plane,
    result: Mapping[str, Any],
    trials: Sequence[Mapping[str, Any]],
    hovers: dict[str, str],
) -> None:
    across, up = plane.across["name"], plane.up["name"]
    nested = "outer" in result
    label_axes(
        axes, label(across), label(up).replace("validation", "test") if nested else label(up)
    )
    if plane.across["log"]:
        axes.set_xscale("log")
    if across in PLANNED:
        axes.xaxis.set_major_formatter(lambda value, _: _tick(value))
    members = {(member.get("outer", 0), member["trial"]) for member in result["front"]}
    knees = _knees(result)
    for number, trial in enumerate(() if nested else trials):
        if (0, trial["number"]) not in members:
            gid = f"{slug}-dominated-{number}"
            _mark(axes, gid, plane, trial, "o", DOMINATED, 2)
            hovers[gid] = _details(trial["number"], trial["hyperparameters"], trial)
    for number, member in enumerate(result["front"]):
        outer = member.get("outer", 0)
        knee = (outer, member["trial"]) in knees
        gid = f"{slug}-{number}"
        colour = OKABE_ITO[outer % len(OKABE_ITO)] if nested else KNEE if knee else MEMBER
        test = next((v for k, v in member.items() if k.startswith("test_")), None)
        hovers[gid] = _details(member["trial"], member["settings"], member)
        if nested:
            _inner(axes, plane, member, test, colour)
            if test is None:
                continue
        _mark(axes, gid, plane, member, "D" if knee else "o", colour, 4, test)
    if not nested and len(result["objectives"]) == 2:
        _steps(axes, plane, [member["values"] for member in result["front"]])


def limits(
    name: str, front: Sequence[Mapping[str, Any]], trials: Sequence[Mapping[str, Any]]
) -> tuple[float, float] | None:
    """Limits of the score around the front, where others are so far from it that its members would
    be a line; None where all of them can be drawn."""
    ends = [
        (one["values"][name] + side * (one["spread"][name] or 0.0)) * scale(name)
        for one in front
        for side in (-1, 1)
    ]
    reach = max(ends) - min(ends)
    values = [trial["values"][name] * scale(name) for trial in trials]
    low, high = min(ends) - reach, max(ends) + reach
    if not reach or low <= min(values) <= max(values) <= high:
        return None
    margin = 0.1 * reach
    return max(low, min(values) - margin), min(high, max(*values, *ends) + margin)


def _tick(value: float) -> str:
    """20 k, 1.5 M."""
    number, _, prefix = si(value, 5).partition(" ")
    return f"{float(number):g} {prefix}".rstrip()


def _mark(
    axes: Axes,
    gid: str,
    plane: Plane,
    one: Mapping[str, Any],
    shape: str,
    colour: str,
    depth: float,
    test: float | None = None,
) -> None:
    """A trial, with bars for the spread of what was measured on its folds."""
    x, y = plane.at(one["values"], test)
    names = plane.across["name"], plane.up["name"]
    reach = [(one["spread"][name] or 0.0) * scale(name) for name in names]
    if test is None and any(reach):
        axes.errorbar(
            x, y, xerr=reach[0] or None, yerr=reach[1] or None, fmt="none", color=colour,
            linewidth=0.9, capsize=2, zorder=depth,
        )  # fmt: skip
    (point,) = axes.plot(x, y, shape, color=colour, markersize=6.5 if shape == "D" else 5,
                         zorder=depth + 1)  # fmt: skip
    point.set_gid(gid)


def _inner(
    axes: Axes, plane: Plane, member: Mapping[str, Any], test: float | None, colour: str
) -> None:
    """What the search itself said of it, above or below its test."""
    x, y = plane.at(member["values"], member["inner_score"])
    axes.plot(x, y, "o", markeredgecolor=colour, markerfacecolor="white", markersize=4.5, zorder=3)
    if test is not None:
        axes.plot([x, x], [y, plane.at(member["values"], test)[1]], color=colour, linewidth=0.8,
                  zorder=2)  # fmt: skip


def _steps(axes: Axes, plane: Plane, front: Sequence[Mapping[str, float]]) -> None:
    """What the members dominate: as good a score is to be had from each cost on."""
    corners = sorted(plane.at(values) for values in front)
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    less_is_better = plane.across["direction"] == "min"
    axes.step(
        xs, ys, where="post" if less_is_better else "pre", color=FRONT, linewidth=1.1, zorder=1.5
    )


def _growth(axes: Axes, volumes: Sequence[float]) -> None:
    from matplotlib.ticker import MaxNLocator

    label_axes(axes, "Trial", "Hypervolume (% of the box that was seen)")
    axes.step(range(len(volumes)), [100 * v for v in volumes], where="post", color=INK,
              linewidth=1.4)  # fmt: skip
    axes.set_ylim(0, 103)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _details(number: int, settings: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    outer = f"outer fold {one['outer']}, " if "outer" in one else ""
    words = [f"{outer}trial {number}", *(f"{k}={in_words(v)}" for k, v in settings.items())]
    words += [f"{name} {with_spread(name, one)}" for name in one["values"]]
    words += [f"{k} {written(k, v)}" for k, v in one.items() if k.startswith("test_") and v]
    return "\n".join(words)


def _caption(result: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if "outer" in result:
        yield (
            "Filled: members of the outer folds' fronts, a colour a fold, by their only test. "
            "Diamonds: the knees. Hollow: the inner scores by which they came onto the front; the "
            "lines are their optimism."
        )
        return
    knee = result.get("knee")
    yield (
        f"{len(trials)} finished trials. Blue: the front, of which none is beaten in all "
        f"objectives. Orange diamond: its knee, trial {knee}. Grey: the others."
    )
    name = _score_first(result["objectives"])[0]["name"]
    if seen := limits(name, result["front"], trials):
        values = [trial["values"][name] * scale(name) for trial in trials]
        beyond = sum(not seen[0] <= value <= seen[1] for value in values)
        yield f"Trials beyond the picture, which front.csv has: {beyond}."
    if any(spread for trial in trials for spread in trial["spread"].values()):
        yield "Bars: ± 1 sample standard deviation over the folds."
