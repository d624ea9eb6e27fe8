"""Races that know the cost, of searches that are drawn, not trained: how often members of the true
front are lost, how many fits are saved.

Prints the table of tuning/FIGURES.md:  python tests/support/by_hand/cost_race_table.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from race_table import ALPHA, BEST, FOLDS, RATIO, Drawn, drawn_of, raced, saved

from tuning.cost_race import CostRace
from tuning.race import Race

SIZES = (360, 2_000)
"""Validation images of a fold."""
NOISES = (0.0, 0.003, 0.01)
"""Standard deviation of training, as a fraction."""
UNEQUAL = ((0.02, 0.005), (0.005, 0.02))
"""Of the cheapest and the dearest, where candidates scatter differently."""


@dataclass(frozen=True)
class Truth:
    """Candidates with the cheapest first: accuracy [candidates], costs [candidates, costs]."""

    accuracy: np.ndarray
    costs: np.ndarray

    @property
    def members(self) -> np.ndarray:
        """bool [candidates]: no other one costs as little and is as good, but one equal in all."""
        better = self.accuracy[None, :] >= self.accuracy[:, None]
        as_cheap = (self.costs[None, :] <= self.costs[:, None]).all(-1)
        dominates = better & as_cheap
        return np.asarray(~(dominates & ~dominates.T).any(1))


def one_cost(behind: np.ndarray) -> Truth:
    """So far behind the best, each candidate of a cost of its own."""
    return Truth(BEST - behind, np.arange(len(behind), dtype=float)[:, None])


def nearly_flat(count: int) -> Truth:
    """Who costs more is better by nothing that counts: all are members, any loss is an error."""
    return one_cost(1e-9 * np.arange(count)[::-1])


def equal(count: int) -> Truth:
    """Two of each cost, all as good but for nothing that counts: all are members."""
    pairs = np.arange(count) // 2
    return Truth(BEST - 1e-9 * (pairs.max() - pairs), pairs[:, None].astype(float))


def rising(count: int) -> Truth:
    """8 points from the cheapest to the best, ever less by each step in cost: all are members."""
    return one_cost(0.08 * np.linspace(1, 0, count) ** 2)


def half(count: int) -> Truth:
    """Every second one is of that front, the others 1 to 12 points under it."""
    behind = BEST - rising(count // 2).accuracy
    under = behind + np.linspace(0.12, 0.01, len(behind))
    return one_cost(np.ravel([behind, under], order="F"))


def saturated(count: int) -> Truth:
    """The cheaper half rises; the dearer half is as good as the best of it, and no member."""
    behind = BEST - rising(count // 2).accuracy
    return one_cost(np.concatenate([behind, np.zeros_like(behind)]))


def falling(count: int) -> Truth:
    """The cheaper half rises; the dearer half loses up to 5 points again, and is no member."""
    behind = BEST - rising(count // 2).accuracy
    return one_cost(np.concatenate([behind, np.linspace(0.0, 0.05, len(behind))]))


def two_costs(count: int) -> Truth:
    """Two costs that are at odds; accuracy grows with both, a third of them fall behind."""
    rng = np.random.default_rng(3)
    costs = rng.permuted(np.tile(np.arange(count, dtype=float), (2, 1)), axis=1).T
    behind = 0.06 * np.exp(-costs.sum(1) / count) + 0.1 * (np.arange(count) % 3 == 2)
    order = costs.sum(1).argsort()
    return Truth(BEST - behind[order], costs[order])


FRONTS: dict[str, Callable[[int], Truth]] = {
    "nearly flat": nearly_flat,
    "equal, two of a cost": equal,
    "rising": rising,
    "rising, half below": half,
    "saturated": saturated,
    "rising, then falling": falling,
    "two costs": two_costs,
}
HARD = ("nearly flat", "equal, two of a cost")


def draw(
    rng: np.random.Generator, searches: int, truth: Truth, size: int, noise: float | np.ndarray
) -> Drawn:
    """Searches of these candidates."""
    levels = np.broadcast_to(truth.accuracy, (searches, len(truth.accuracy)))
    return drawn_of(rng, levels, size, noise)


class EachMember(CostRace):
    """The weaker promise, of each member by itself: a pair has the level that it has in `Race`."""

    def levels(self, done: int, folds: int, numbers: Any) -> np.ndarray:
        return Race.levels(self, done, folds, numbers)


def race_of(truth: Truth, kind: type[CostRace] = CostRace, noise: float | None = None) -> CostRace:
    """The race of these candidates."""
    return kind((), RATIO, len(truth.accuracy), ALPHA, noise, cost=truth.costs.__getitem__)


def lost(done: np.ndarray, truth: Truth) -> tuple[float, float]:
    """Share of searches that lose the member which is lost oftenest, and that lose any."""
    gone = done[:, truth.members] < FOLDS
    return float(gone.mean(0).max()), float(gone.any(1).mean())


def cells(searches: int, truth: Truth, size: int, noises: Sequence[Any]) -> Iterator[str]:
    """What becomes of searches in each kind of race, at each noise of training."""
    rng = np.random.default_rng([17, len(truth.accuracy), size])
    drawn = [draw(rng, searches, truth, size, noise) for noise in noises]
    known = [max(float(np.mean(noise)), 0.003) for noise in noises]
    for races in (
        [race_of(truth)] * len(noises),
        [race_of(truth, noise=noise) for noise in known],
        [race_of(truth, EachMember)] * len(noises),
        [Race((), RATIO, len(truth.accuracy), ALPHA)] * len(noises),
    ):
        done = [raced(one, racing) for one, racing in zip(drawn, races, strict=True)]
        told = np.array([(*lost(folds, truth), saved(folds)) for folds in done]).T
        member, front, fits = (", ".join(f"{100 * share:.1f}" for share in row) for row in told)
        yield f"{front} ({member})"
        yield fits


def rows(searches: int) -> Iterator[str]:
    """The table, in Markdown, in percent."""
    heads = ["front", "candidates, members", "images a fold"]
    for race in ("whole front", "noise known", "each member", "blind to cost"):
        heads += [f"{race}: lost", "saved"]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    cases: list[tuple[str, int, int, Any]] = [
        (name, count, size, NOISES)
        for name in FRONTS
        for count, size in ((10, 360), (10, 2_000), (30, 2_000))
        if (count, size) != (10, 2_000) or name in HARD
    ]
    for count in (10, 30):
        unequal = [np.linspace(*ends, count) for ends in UNEQUAL]
        cases.append(("nearly flat", count, 2_000, unequal))
    for name, count, size, noises in cases:
        truth = FRONTS[name](count)
        told = cells(searches, truth, size, noises)
        label = name if noises is NOISES else f"{name}, unequal noise"
        line = (label, f"{count}, {truth.members.sum()}", size, *told)
        yield f"| {' | '.join(map(str, line))} |"


if __name__ == "__main__":
    for row in rows(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000):
        print(row, flush=True)
