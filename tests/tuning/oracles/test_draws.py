"""Points of the unit cube as candidates: even over values, scales and conditions."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest

from tuning.oracles.draws import Draws, Sobol, random_points, settings_at, sobol_points
from tuning.oracles.oracle import Proposal
from tuning.space import Boolean, Choice, Float, Int, Space

MIXED = Space(
    (
        Float("rate", 1e-4, 1, log=True),
        Choice("optimizer", ("sgd", "adam", None)),
        Int("width", 1, 1000, log=True),
        Int("depth", 2, 5),
        Float("drop", 0, 0.5, step=0.1),
        Boolean("bias", when={"depth": [2, 3]}),
    )
)


def test_a_point_is_a_candidate() -> None:
    low = settings_at(MIXED, [0.0] * 6)
    assert low == {
        "rate": 1e-4, "optimizer": "sgd", "width": 1, "depth": 2, "drop": 0.0, "bias": False,
    }  # fmt: skip
    assert list(low) == list(MIXED.by_key)
    high = settings_at(MIXED, [math.nextafter(1, 0)] * 6)
    assert high == {"rate": 1, "optimizer": None, "width": 1000, "depth": 5, "drop": 0.5}
    assert settings_at(MIXED, [0.5, 0.34, 0.5, 0.3, 0.17, 0.5]) == {
        "rate": 0.01, "optimizer": "adam", "width": 31, "depth": 3, "drop": 0.1, "bias": True,
    }  # fmt: skip


@pytest.mark.parametrize("points", [random_points, sobol_points])
def test_values_and_scales_are_equally_likely(points) -> None:
    drawn = [settings_at(MIXED, point) for point in itertools.islice(points(MIXED, 3), 4096)]
    for settings in drawn:
        MIXED.check(settings)
    near = 0.06 * 4096
    assert Counter(math.floor(math.log10(one["rate"])) for one in drawn)[-3] == pytest.approx(
        1024, abs=near
    )
    for key, values in (("optimizer", 3), ("depth", 4), ("drop", 6)):
        counts = Counter(one[key] for one in drawn)
        assert len(counts) == values
        assert all(count == pytest.approx(4096 / values, abs=near) for count in counts.values())
    assert sum("bias" in one for one in drawn) == pytest.approx(2048, abs=near)


def test_sobol_points_fill_each_axis_where_random_ones_leave_gaps() -> None:
    """Of 16 points of a scrambled sequence every sixteenth of every axis holds one."""
    space = Space((Float("x", 0, 1), Float("y", 1e-4, 1, log=True), Int("z", 0, 15)))

    def strata(seed: int) -> list[set[int]]:
        drawn = []
        oracle = Sobol(space, seed, 16)
        while isinstance(proposal := oracle.ask(), Proposal):
            drawn.append(proposal.settings)
        return [
            {int(one["x"] * 16) for one in drawn},
            {int((math.log10(one["y"]) + 4) * 4) for one in drawn},
            {one["z"] for one in drawn},
        ]

    for seed in (0, 1, 2):
        assert [len(axis) for axis in strata(seed)] == [16, 16, 16]
    random = [next(p) for p in [random_points(space, 0)] for _ in range(16)]
    assert len({int(x * 16) for x, _, _ in random}) < 16


def test_seeds_draw_differently_and_each_the_same_again() -> None:
    for points in (random_points, sobol_points):
        first = [tuple(next(points(MIXED, seed))) for seed in (0, 1, 2, 0)]
        assert len(set(first)) == 3
        assert first[0] == first[3]


def test_no_candidate_is_drawn_twice_and_known_ones_come_first() -> None:
    space = Space((Choice("a", (1, 2, 3)), Boolean("b")))
    start = [{"a": 3, "b": True}, {"a": 1, "b": False}]
    draws = Draws(space, random_points(space, 1), start)
    drawn = [draws.next() for _ in range(7)]
    assert drawn[:2] == start
    assert drawn[6] is None
    assert len({str(one) for one in drawn}) == 7
