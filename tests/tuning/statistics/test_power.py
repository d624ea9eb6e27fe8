"""Power and components against draws whose truth is known, through the test that is made."""

import math
from itertools import combinations

import numpy as np
import pytest

from tuning.statistics import power as planning
from tuning.statistics.components import of_pair
from tuning.statistics.over_seeds import difference, training_variances
from tuning.statistics.power import Noise, detectable, fewest_images, fewest_seeds, power

ALPHA = 0.05


def chances(draw, rows, images, differing=0.3):
    """[rows, images] of expected answers: images that are as hard for all rows, but for a share of
    them, which are as hard as each row finds them. About 0.85, so that shifts of points fit in."""
    hard = 0.15 + 0.8 * draw.beta(7, 1, (rows, images))
    alone = draw.random(images) < differing
    return np.where(alone, hard, hard[:1])


def answers(draw, rows, seeds, images, noise, lead=0.0):
    """Bool [rows, seeds, images]; a training shifts all chances by a normal draw."""
    shift = noise * draw.normal(size=(rows, seeds))
    shift[0] += lead
    at = chances(draw, rows, images)[:, None].astype(np.float32)
    return draw.random((rows, seeds, images), dtype=np.float32) < at + shift[..., None]


def truth(noise):
    first, second = chances(np.random.default_rng(99), 2, 1_000_000)
    return Noise(noise**2, float((first * (1 - first)).mean()), float((first - second).var()))


CELLS = [
    (2, 2, 359, 0.006, 0.08), (2, 5, 359, 0.01, 0.03), (2, 2, 5000, 0.006, 0.06),
    (2, 3, 2000, 0.006, 0.02), (2, 10, 2000, 0.01, 0.012), (4, 3, 2000, 0.006, 0.025),
    (4, 5, 5000, 0.01, 0.025), (8, 3, 1000, 0.003, 0.03), (2, 10, 5000, 0.0, 0.008),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "seeds", "images", "noise", "lead"), CELLS)
def test_the_power_that_is_promised_is_achieved(rows, seeds, images, noise, lead):
    """Within 3.5 standard errors of the simulation, and two points for normal laws."""
    draw, runs, found = np.random.default_rng([rows, seeds, images]), 200, 0
    for _ in range(runs):
        hits = answers(draw, rows, seeds, images, noise, lead)
        known = training_variances({row: hits[row].mean(axis=1) for row in range(rows)})
        made = difference(hits[0], hits[1], (known[0], known[1]))
        found += made.mean > made.half_width(ALPHA / math.comb(rows, 2))
    promised = power(truth(noise), lead, seeds, images, rows)
    assert 0.1 < promised < 0.99  # where there is something to be wrong about
    error = np.sqrt(promised * (1 - promised) / runs)
    assert found / runs == pytest.approx(promised, abs=3.5 * error + 0.02)


NOISE = Noise(0.006**2, 0.1, 0.05)


def test_the_smallest_numbers_are_enough_and_one_less_is_not():
    for lead, rows in ((0.02, 2), (0.025, 5)):
        seeds = fewest_seeds(NOISE, lead, 2000, rows, ALPHA, 0.8)
        assert (
            power(NOISE, lead, seeds, 2000, rows) >= 0.8 > power(NOISE, lead, seeds - 1, 2000, rows)
        )
        images = fewest_images(NOISE, lead, 10, rows, ALPHA, 0.8)
        assert power(NOISE, lead, 10, images, rows) >= 0.8
        assert power(NOISE, lead, 10, images - 1, rows) < 0.8
    # the smallest lead is where its power is what was wanted
    smallest = detectable(NOISE, 5, 2000, 3, ALPHA, 0.9)
    assert power(NOISE, smallest, 5, 2000, 3) == pytest.approx(0.9)


def test_what_no_number_settles():
    # images alone leave a variance of 0.05 / 359, 1.2 points, that no seeds lessen
    assert fewest_seeds(NOISE, 0.01, 359, 2, ALPHA, 0.8) is None
    assert power(NOISE, 0.01, math.inf, 359) < 0.8
    # and training one of 0.6 points at two seeds, that no images lessen
    assert fewest_images(NOISE, 0.01, 2, 2, ALPHA, 0.8) is None
    assert power(NOISE, 0.01, 2, math.inf) < 0.8


def test_power_grows_with_seeds_images_and_lead_and_shrinks_with_rows():
    seeds = [power(NOISE, 0.015, n, 2000) for n in (2, 3, 5, 10, 30, math.inf)]
    images = [power(NOISE, 0.015, 5, m) for m in (200, 1000, 5000, math.inf)]
    leads = [power(NOISE, lead, 5, 2000) for lead in (0.0, 0.01, 0.02, 0.1)]
    for numbers in (seeds, images, leads):
        assert numbers == sorted(numbers)
    assert power(NOISE, 0.015, 5, 2000, rows=2) > power(NOISE, 0.015, 5, 2000, rows=10)
    assert leads[0] <= ALPHA / 2 + 0.005  # no lead: one side of the level at most
    assert leads[-1] > 0.99


def test_nothing_that_varies_settles_at_once():
    assert power(Noise(0.0, 0.0, 0.0), 0.001, 2, 100) == 1.0


def test_before_any_run_the_images_are_assumed():
    assert planning.assumed(0.006, 0.9) == Noise(pytest.approx(3.6e-5), 0.0, pytest.approx(0.09))


@pytest.mark.parametrize(("seeds", "images", "noise"), [
    (2, 1000, 0.01), (3, 2000, 0.006), (5, 359, 0.01), (4, 1000, 0.0),
])  # fmt: skip
def test_components_of_a_pair_are_right_on_average_and_covered(seeds, images, noise):
    """Estimates within 12 % of the truth on average, beyond 3 standard errors; both intervals
    together hold at least as often as promised, within 3 standard errors."""
    draw, runs, covered, estimates, shares = np.random.default_rng(seeds), 250, 0, [], 0
    real = truth(noise)
    parts = real.parts(seeds, images)
    for _ in range(runs):
        hits = answers(draw, 2, seeds, images, noise)
        known = training_variances({row: hits[row].mean(axis=1) for row in range(2)})
        made = of_pair(hits[0], hits[1], (known[0], known[1]))
        estimates.append((made.noise.moved, made.noise.images))
        inside = made.training[0] <= real.training <= made.training[1]
        covered += inside and made.images[0] <= real.images <= made.images[1]
        _, low, high = made.shares(seeds, images)["training"]
        shares += low <= parts["training"] / sum(parts.values()) <= high
    slack = 3 * np.sqrt(ALPHA * (1 - ALPHA) / runs)
    assert covered / runs >= 1 - ALPHA - slack
    assert shares / runs >= 1 - ALPHA - slack
    for told, right in zip(np.transpose(estimates), (real.moved, real.images), strict=True):
        error = 3 * told.std() / np.sqrt(runs)
        assert told.mean() == pytest.approx(right, abs=0.12 * right + error)


def test_shares_add_up_and_pairing_says_what_common_images_save():
    draw = np.random.default_rng(8)
    hits = answers(draw, 3, 4, 4000, 0.02)
    known = training_variances({row: hits[row].mean(axis=1) for row in range(3)})
    for one, other in combinations(range(3), 2):
        made = of_pair(hits[one], hits[other], (known[one], known[other]))
        shares = made.shares(4, 4000)
        assert sum(share for share, _, _ in shares.values()) == pytest.approx(1)
        assert all(low <= share <= high for share, low, high in shares.values())
    at = chances(np.random.default_rng(1), 2, 400_000)
    saved = 1 - (at[0] - at[1]).var() / at.var(axis=1).sum()
    many = np.random.default_rng(2).random((2, 6, 400_000)) < at[:, None]
    known = training_variances({row: many[row].mean(axis=1) for row in range(2)})
    assert of_pair(*many, (known[0], known[1])).pairing == pytest.approx(saved, abs=0.03)
