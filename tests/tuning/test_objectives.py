"""Front, hypervolume and knee by numbers worked out by hand and by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tuning.objectives import (
    Objective,
    front,
    hypervolume,
    hypervolumes,
    knee,
    logarithmic,
    share,
    signed,
)

ACCURACY, MACS = Objective("val_top1", minimise=False), Objective("macs", minimise=True)


def test_a_cost_changes_its_sign() -> None:
    assert signed([(0.9, 5.0)], [ACCURACY, MACS]).tolist() == [[0.9, -5.0]]
    assert signed([], [ACCURACY, MACS]).shape == (0, 2)


def test_what_nothing_dominates_is_the_front_and_equals_are_both_on_it() -> None:
    values = np.array([(3, 1), (2, 2), (2, 2), (1, 3), (1, 2), (0, 0), (3, 0)], float)
    assert front(values).tolist() == [True, True, True, True, False, False, False]
    assert front(np.zeros((0, 2))).tolist() == []
    # in three, one that is worst in two of them may stay
    assert front(np.array([(1, 1, 1), (2, 0, 0), (0, 0, 1)], float)).tolist() == [True, True, False]


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_the_front_is_what_comparing_all_pairs_says(objectives: int) -> None:
    values = np.random.default_rng(objectives).integers(0, 6, (60, objectives)).astype(float)
    beaten = [
        any((other >= one).all() and (other > one).any() for other in values) for one in values
    ]
    assert front(values).tolist() == [not lost for lost in beaten]


def test_the_hypervolume_of_steps_is_the_area_below_them() -> None:
    # 3 x 1, then 2 x 1 on top of it, then 1 x 1
    values = np.array([(3, 1), (2, 2), (1, 3)], float)
    assert hypervolume(values, (0, 0)) == 6.0
    assert hypervolume(values, (1, 1)) == 1.0  # only (2, 2) is better in both
    assert hypervolume(values, (3, 3)) == 0.0
    assert hypervolume(np.zeros((0, 2)), (0, 0)) == 0.0
    # two boxes of 2 x 1 x 1 and 1 x 2 x 1 share a cube
    boxes = np.array([(2, 1, 1), (1, 2, 1), (1, 1, 1)], float)
    assert hypervolume(boxes, (0, 0, 0)) == 3.0


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_the_hypervolume_is_the_sum_over_intersections(objectives: int) -> None:
    """Inclusion and exclusion: of boxes, each intersection is the box of the least corners."""
    values = np.random.default_rng(objectives).random((9, objectives))
    exact = sum(
        (-1) ** (size + 1) * np.prod(values[list(subset)].min(0))
        for size in range(1, 10)
        for subset in itertools.combinations(range(9), size)
    )
    assert hypervolume(values, np.zeros(objectives)) == pytest.approx(exact, rel=1e-9)


def test_the_hypervolume_by_trial_is_that_of_each_beginning() -> None:
    values = np.random.default_rng(0).random((30, 2))
    values[7] = values[3]
    grown = hypervolumes(values, (0.1, 0.1))
    assert grown == [hypervolume(values[: n + 1], (0.1, 0.1)) for n in range(30)]
    assert grown == sorted(grown)


def test_costs_that_span_a_factor_of_ten_are_on_a_logarithmic_scale() -> None:
    values = signed([(0.1, 1e6, 2.0), (0.9, 1e7, 3.0)], [ACCURACY, MACS, MACS])
    assert logarithmic(values).tolist() == [False, True, False]
    assert logarithmic(signed([(0.5, 0.0), (0.5, 9.0)], [ACCURACY, MACS])).tolist() == [False] * 2


def test_the_share_is_of_the_box_of_what_was_seen() -> None:
    # costs 1, 10, 100: positions 1, 1/2 and 0 on a scale of logarithms; scores 0, 1/2 and 1
    values = signed([(0.5, 1.0), (0.7, 10.0), (0.9, 100.0)], [ACCURACY, MACS])
    assert share(values) == pytest.approx([0.0, 0.25, 0.25])
    assert share(values[:1]) == [0.0]
    assert share(values[1:], values) == pytest.approx([0.25, 0.25])
    assert share(values[:0]) == []
    same_cost = signed([(0.5, 4.0), (0.9, 4.0), (0.7, 4.0)], [ACCURACY, MACS])
    assert share(same_cost) == [0.0, 1.0, 1.0]


def test_the_knee_is_furthest_beyond_the_chord() -> None:
    # ends (1, 0) and (0, 1) of the front; (0.8, 0.7) is beyond (0.9, 0.4) and (0.3, 0.9)
    values = np.array([(1, 0), (0.9, 0.4), (0, 0), (0.8, 0.7), (0.3, 0.9), (0, 1)], float)
    assert knee(values) == 3
    # without a bend beyond the chord it is the end that is best in the first objective
    assert knee(np.array([(0, 1), (0.4, 0.4), (1, 0)], float)) == 2
    assert knee(np.array([(0.2, 0.3)])) == 0
    # of equals the first tried
    assert knee(np.array([(1, 0), (0.8, 0.8), (0.8, 0.8), (0, 1)], float)) == 1
    with pytest.raises(ValueError, match="one candidate or more"):
        knee(np.zeros((0, 2)))


def test_the_knee_of_costs_over_orders_of_magnitude_is_by_their_logarithms() -> None:
    # 1, 10, 1000 MACs stand at 1, 2/3 and 0, so (0.75 of the way, 10) is 0.42 beyond the chord;
    # without logarithms the third, at 0.9 and 0.9, would be the knee; with them it is at 0.9, 1/3
    values = signed([(0.0, 1), (0.75, 10), (0.9, 100), (1.0, 1000)], [ACCURACY, MACS])
    assert knee(values) == 1


def test_the_knee_of_three_objectives_is_furthest_beyond_their_plane() -> None:
    ends = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    # both 1.4 from the corner: the first objective decides
    assert knee(np.array([*ends, (0.5, 0.5, 0.4), (0.6, 0.5, 0.3)], float)) == 4
    assert knee(np.array([*ends, (0.5, 0.5, 0.5), (0.6, 0.5, 0.3)], float)) == 3
