"""The test of settings: where the truth is known, over the sizes that users have."""

from itertools import combinations

import numpy as np
import pytest
from power_over_seeds import answers, power

from tuning.statistics.over_seeds import Difference, Training, difference, training_variances

ALPHA = 0.05


def stars(hits, alpha=ALPHA):
    """The pairs found different, each at a level shared between all pairs."""
    rows = len(hits)
    pairs = list(combinations(range(rows), 2))
    known = training_variances({row: hits[row].mean(axis=1) for row in range(rows)})
    found = []
    for one, other in pairs:
        made = difference(hits[one], hits[other], (known[one], known[other]))
        if abs(made.mean) > made.half_width(alpha / len(pairs)):
            found.append((one, other))
    return found


CELLS = [
    (2, 2, 359, 300), (2, 3, 359, 300), (2, 10, 359, 200), (4, 2, 359, 200), (14, 2, 359, 30),
    (2, 2, 2000, 200), (3, 5, 2000, 100), (2, 2, 50_000, 60), (4, 3, 10_000, 40),
]  # fmt: skip


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.006, 0.01])
def test_of_equal_settings_none_is_found_worse_oftener_than_promised(noise):
    draw, found, runs = np.random.default_rng(round(1000 * noise)), 0, 0
    for rows, seeds, images, repeats in CELLS:
        here = sum(bool(stars(answers(draw, rows, seeds, images, noise))) for _ in range(repeats))
        # every cell by itself, within 3.5 standard errors of a share of 0.05
        assert here <= ALPHA * repeats + 3.5 * np.sqrt(ALPHA * (1 - ALPHA) * repeats)
        found, runs = found + here, runs + repeats
    assert found <= ALPHA * runs + 2 * np.sqrt(ALPHA * (1 - ALPHA) * runs)


def test_the_test_over_images_alone_finds_what_is_not_there():
    """Why this test is made: the same draws, tested as if the networks were the settings."""
    draw, found, ours = np.random.default_rng(5), 0, 0
    for _ in range(150):
        hits = answers(draw, 2, 2, 10_000, 0.006)
        gains = hits[0].sum(axis=0, dtype=int) - hits[1].sum(axis=0, dtype=int)
        found += abs(gains.mean()) > 1.96 * gains.std(ddof=1) / np.sqrt(10_000)
        ours += bool(stars(hits))
    assert found / 150 > 0.25
    assert ours / 150 <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / 150)


@pytest.mark.parametrize("degrees", [1, 2, 4, 13])
def test_the_interval_covers_whatever_the_ratio_of_the_variances(degrees):
    """Two normal parts: one known, one estimated with few degrees of freedom."""
    draw, runs = np.random.default_rng(degrees), 1500
    for images in (0.01, 0.3, 1.0, 3.0, 100.0):
        means = draw.normal(size=runs) * np.sqrt(images + 1)
        estimates = draw.chisquare(degrees, runs) / degrees
        misses = sum(
            abs(mean) > Difference(mean, images, ((estimate, degrees),)).half_width(ALPHA)
            for mean, estimate in zip(means, estimates, strict=True)
        )
        assert misses / runs <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / runs)


def test_rows_that_scatter_alike_are_pooled_and_others_stand_for_themselves():
    draw = np.random.default_rng(3)
    scores = {
        row: level + np.array([0.0, 0.004, 0.008]) for row, level in enumerate((0.6, 0.7, 0.9))
    }
    alike = training_variances(scores)
    assert alike == dict.fromkeys(range(3), Training(pytest.approx(1.6e-5), 6, pooled=True))
    # rows of one variance: two seeds show little, so few are taken for alike; more show more
    shares = [
        np.mean(
            [
                training_variances(dict(enumerate(draw.normal(0.9, 0.01, (4, seeds)))))[0].pooled
                for _ in range(200)
            ]
        )
        for seeds in (2, 3, 5)
    ]
    assert shares == pytest.approx([0.2, 0.5, 0.8], abs=0.1)
    wild = {0: [0.3, 0.5, 0.7], 1: [0.9, 0.901, 0.902], 2: [0.9, 0.898, 0.9], 3: [0.8]}
    apart = training_variances(wild)
    assert apart[0] == Training(pytest.approx(0.04), 2, pooled=False)
    assert apart[1] == Training(pytest.approx(1e-6), 2, pooled=False)
    assert 3 not in apart
    assert training_variances({0: [0.5], 1: [0.6]}) == {}
    lone = training_variances({0: [0.3, 0.5, 0.7], 1: [0.9, 0.901, 0.902]})
    assert not any(each.pooled for each in lone.values())


WILD = [(0.09, 0.006), (0.03, 0.002, 0.002, 0.002), (0.05, 0.05, 0.002, 0.002)]


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("noise", [*WILD, (0.015, 0.003, 0.003, 0.003)])
def test_rows_that_scatter_differently_are_not_found_different_oftener_than_promised(seeds, noise):
    """Pooled, a wild row would be lent its neighbours' calm: it is not, or not often enough to
    matter, with two seeds either. All pairs of equal rows, the level divided between them."""
    rows, pairs = len(noise), list(combinations(range(len(noise)), 2))
    draw, runs, found = np.random.default_rng(seeds), 400, 0
    right = np.zeros((seeds, 2), bool)
    for _ in range(runs):
        scores = 0.9 + np.array(noise)[:, None] * draw.normal(size=(rows, seeds))
        known = training_variances(dict(enumerate(scores)))
        for one, other in pairs:
            parts = difference(right, right, (known[one], known[other])).training
            made = Difference(scores[one].mean() - scores[other].mean(), 0.0, parts)
            if abs(made.mean) > made.half_width(ALPHA / len(pairs)):
                found += 1
                break
    assert found / runs <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / runs)


def test_a_lead_beyond_the_noise_is_found():
    draw = np.random.default_rng(4)
    by_seeds = [
        np.mean([bool(stars(answers(draw, 2, seeds, 2000, 0.006, lead=0.02))) for _ in range(60)])
        for seeds in (2, 3, 6)
    ]
    assert by_seeds == sorted(by_seeds)
    assert by_seeds[-1] > 0.9


def test_beside_the_paired_t_it_finds_as_much_where_images_are_many():
    """A lead of 1 point among 50,000 images, trainings that scatter by 0.3: with three seeds the
    paired t over seeds, which speaks of these images alone, has two degrees of freedom."""
    ours, paired = power(np.random.default_rng(7), 3, 10_000, 0.003, 0.01, 60)
    assert ours > paired - 0.2
    assert power(np.random.default_rng(8), 10, 10_000, 0.003, 0.01, 15)[0] > 0.9


def test_p_is_the_level_at_which_the_interval_ends_at_zero():
    for mean in (0.001, 0.01, -0.02, 0.2):
        made = Difference(mean, 1e-5, ((2e-5, 4),))
        assert made.half_width(made.p_value) == pytest.approx(abs(mean))
        interval = made.interval(1 - made.p_value)
        assert min(abs(interval.low), abs(interval.high)) == pytest.approx(0, abs=1e-9)
    assert Difference(0.0, 1e-5, ((2e-5, 4),)).p_value == 1.0
    # with no spread to speak of it is as small as it can be, and still a number
    assert 0 < Difference(0.5, 1e-12, ((1e-12, 40),)).p_value < 1e-12


def test_the_variance_of_the_mean_is_what_it_is_over_many_draws():
    draw = np.random.default_rng(6)
    made = []
    for _ in range(400):
        hits = answers(draw, 2, 4, 500, 0.01)
        known = training_variances({row: hits[row].mean(axis=1) for row in range(2)})
        made.append(difference(hits[0], hits[1], (known[0], known[1])))
    told = np.mean([each.images + sum(v for v, _ in each.training) for each in made])
    assert told == pytest.approx(np.var([each.mean for each in made]), rel=0.25)


def test_what_is_no_pair_of_answers_is_refused():
    right = np.ones((2, 5), bool)
    training = (Training(1e-4, 1, pooled=False),) * 2
    for first, second in ((right, right[:, :4]), (right.astype(int), right), (right[:1],) * 2):
        with pytest.raises(ValueError, match="of two seeds or more"):
            difference(first, second, training)
