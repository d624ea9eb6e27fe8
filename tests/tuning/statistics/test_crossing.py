"""Variance components of crossed seeds: by hand, and covered where the truth is known."""

from itertools import product

import numpy as np
import pytest

from tuning.statistics.components import REST, of_crossing

FULL = list(product(range(4), range(3), range(3)))
LATIN = [(a, b, (a + b) % 5) for a in range(5) for b in range(5)]
WITH_HOLES = [cell for k, cell in enumerate(FULL) if k % 5]
NAMES = ("weights", "order", "dropout")


def levels(cells):
    return dict(zip(NAMES, zip(*cells, strict=True), strict=True))


def test_a_balanced_crossing_by_hand():
    table = np.array([[0.80, 0.82, 0.81], [0.84, 0.85, 0.83], [0.79, 0.82, 0.80]])
    cells = list(product(range(3), range(3)))
    made = of_crossing(table.ravel(), {"weights": [a for a, _ in cells],
                                       "order": [b for _, b in cells]})  # fmt: skip
    rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    square = (rest**2).sum() / 4
    assert made[REST].variance == pytest.approx(square)
    assert made["weights"].variance == pytest.approx(table.mean(1).var(ddof=1) - square / 3)
    assert made["order"].variance == pytest.approx(table.mean(0).var(ddof=1) - square / 3)
    assert [made[name].degrees for name in ("weights", "order", REST)] == [2, 2, 4]


@pytest.mark.parametrize("cells", [FULL, LATIN, WITH_HOLES], ids=["full", "latin", "holes"])
@pytest.mark.parametrize("sds", [(1, 0.5, 0, 0.5), (0, 0, 0, 1), (2, 0.3, 1, 0.2)])
def test_intervals_cover_and_estimates_are_unbiased(cells, sds):
    """Sds of weights, order, dropout and the rest. Each interval covers 95 %, within 3.5 standard
    errors of the simulation and a point for the approximation; estimates that are cut off at 0
    are right on average where the truth is far from it."""
    draw, runs = np.random.default_rng(len(cells)), 400
    at = np.array(cells)
    inside, told = dict.fromkeys((*NAMES, REST), 0), []
    truth = dict(zip((*NAMES, REST), np.square(sds), strict=True))
    for _ in range(runs):
        scores = sds[3] * draw.normal(size=len(cells))
        for factor in range(3):
            scores += sds[factor] * draw.normal(size=9)[at[:, factor]]
        made = of_crossing(scores, levels(cells))
        told.append(made[REST].variance)
        for name, right in truth.items():
            inside[name] += made[name].low <= right <= made[name].high
    for name, times in inside.items():
        assert times / runs >= 0.94 - 3.5 * np.sqrt(0.05 * 0.95 / runs), name
    assert np.mean(told) == pytest.approx(truth[REST], abs=4 * np.std(told) / np.sqrt(runs))


def test_holes_do_not_lend_one_factor_the_others_effect():
    """Weights that vary not at all beside an order that varies a lot, in an unbalanced crossing."""
    draw, told = np.random.default_rng(3), []
    at = np.array(WITH_HOLES)
    for _ in range(200):
        scores = 10 * draw.normal(size=3)[at[:, 1]] + 0.1 * draw.normal(size=len(at))
        told.append(of_crossing(scores, levels(WITH_HOLES))["weights"].variance)
    assert np.mean(told) < 0.01  # a tenth of an sd of 1 %


def test_what_cannot_be_told_is_said():
    with pytest.raises(ValueError, match="order has one value"):
        of_crossing([0.1, 0.2, 0.3], {"weights": [1, 2, 3], "order": [1, 1, 1]})
    with pytest.raises(ValueError, match="weights cannot be told from the other seeds"):
        of_crossing([0.1, 0.2, 0.3, 0.1], {"weights": [1, 2, 1, 2], "order": [1, 2, 1, 2]})
    with pytest.raises(ValueError, match="3 runs leave none"):
        of_crossing([0.1, 0.2, 0.3], {"weights": [1, 2, 3], "order": [1, 2, 2]})
