"""Seeds until it is settled: what is said is wrong in at most alpha of sweeps, at any look."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from seeds_until_settled import excluded, false_findings, median_seeds, sweeps

from tuning.statistics.anytime import (
    SCALE,
    Gap,
    Settled,
    fewest_seeds,
    half_width,
    log_e_values,
    pairs_of,
    seeds_more,
    settle,
)

NAN = math.nan


def test_the_e_value_is_the_mixture_that_it_is_said_to_be():
    """The likelihood of t at effects drawn from a normal with deviation 1/c, over that at none."""
    d = np.array([0.3, 1.4, -0.2, 0.9, 0.7])
    n, t = len(d), d.mean() / (d.std(ddof=1) / math.sqrt(len(d)))
    effects = np.linspace(-40, 40, 20_001)
    weights = stats.norm.pdf(effects, scale=1 / SCALE) * (effects[1] - effects[0])
    mixture = (stats.nct.pdf(t, n - 1, effects * math.sqrt(n)) * weights)[abs(effects) < 15].sum()
    assert log_e_values(d)[-1] == pytest.approx(math.log(mixture / stats.t.pdf(t, n - 1)), abs=1e-3)
    assert np.allclose(log_e_values(100 * d), log_e_values(d))


def test_the_sequence_ends_where_the_e_value_reaches_its_bound():
    d = np.random.default_rng(1).normal(1.0, 1.0, 12)
    for n in (5, 8, 12):
        squares = float(((d[:n] - d[:n].mean()) ** 2).sum())
        reach = half_width(n, squares, 0.01)
        for end in (d[:n].mean() - reach, d[:n].mean() + reach):
            assert log_e_values(d[:n] - end)[-1] == pytest.approx(math.log(100))
    assert half_width(fewest_seeds(0.01) - 1, 1.0, 0.01) == math.inf
    assert half_width(fewest_seeds(0.01), 1.0, 0.01) < math.inf
    assert [fewest_seeds(0.05 / pairs_of(rows)) for rows in (2, 4, 10)] == [4, 5, 6]


@pytest.mark.parametrize("rows", [2, 5, 10])
@pytest.mark.parametrize("kind", ["normal", "t, 5 degrees", "skewed"])
def test_equal_rows_are_told_apart_in_at_most_alpha_of_sweeps(rows, kind):
    """2,000 sweeps, 40 looks, any pair of rows, and so whichever is the leader; all are equal."""
    shares = false_findings(rows, kind)
    assert shares["sequences"] <= 0.05
    assert shares["t, Bonferroni"] > 0.15  # which is what looking costs
    assert shares["t"] > 0.2


def test_the_true_difference_stays_inside_at_all_looks():
    """So a claim of a direction, or of a margin, is wrong as seldom as one of a difference."""
    scores = sweeps(2, 40, lead=0.7)
    out = excluded(scores[:, 0] - scores[:, 1] - 0.7, 0.05).any(-1)
    assert out.mean() <= 0.05


@pytest.mark.parametrize(
    ("lead", "pair", "ten"), [(1.0, 12, 24), (1.5, 8, 14), (2.0, 6, 11), (5.0, 4, 7)]
)
def test_seeds_that_it_takes(lead, pair, ten):
    assert median_seeds(2, lead) == pytest.approx(pair, abs=1)
    assert median_seeds(10, lead) == pytest.approx(ten, abs=1)


def run(scores: np.ndarray, margin: float | None, alpha: float = 0.05) -> dict[int, Settled]:
    """All looks at a sweep of which a settled row gets no more seeds."""
    seen = np.full(scores.shape, NAN)
    settled: dict[int, Settled] = {}
    for look in range(scores.shape[1]):
        for row in range(len(scores)):
            if row not in settled:
                seen[row, : look + 1] = scores[row, : look + 1]
        standing = settle(seen, settled, alpha, margin)
        settled = standing.settled
        if not standing.undecided and look > 5:
            break
    return settled


def test_whole_sweeps_say_nothing_wrong_in_more_than_alpha():
    """Two rows truly lead together, one is behind by half the margin, one by 2 deviations. Wrong
    are beaten against one that is not better, and equivalent of what is apart by the margin."""
    rng = np.random.default_rng(5)
    means, margin = np.array([0.0, 0.0, -1.0, -3.0]), 2.0
    wrong = right = 0
    for _ in range(300):
        settled = run(means[:, None] + rng.normal(0, math.sqrt(0.5), (4, 24)), margin)
        gaps = {row: means[row] - means[one.gap.leader] for row, one in settled.items()}
        wrong += any(
            gaps[row] >= 0 if one.kind == "beaten" else abs(gaps[row]) >= margin
            for row, one in settled.items()
        )
        right += 3 in settled and settled[3].kind == "beaten"
    assert wrong <= 0.05 * 300
    assert right > 0.9 * 300


def test_beaten_stays_and_equivalent_is_held_against_a_new_leader():
    noise = np.random.default_rng(2).normal(0, 0.02, (3, 12))
    scores = np.array([[5.0], [4.99], [1.0]]) + noise
    first = settle(scores, {}, 0.05, margin=0.1)
    assert first.leader == 0
    assert first.settled[1].kind == "equivalent"
    assert first.settled[2].kind == "beaten"
    assert first.settled[2].gap.seeds == 12
    assert not first.undecided
    wild = 5.05 + 0.3 * (-1) ** np.arange(12)  # a row that overtakes the leader
    again = settle(np.vstack([scores, wild]), first.settled, 0.05, margin=0.1)
    assert again.leader == 3
    assert again.settled == {2: first.settled[2]}
    assert again.undecided.keys() == {0, 1}
    assert settle(scores, {}, 0.05, margin=0.001).undecided.keys() == {1}


def test_seeds_that_failed_are_left_out_of_the_pairs_of_that_row():
    noise = np.random.default_rng(3).normal(0, 0.1, (3, 8))
    scores = np.array([[5.0], [1.0], [2.0]]) + noise
    scores[1, 3] = NAN
    scores = np.vstack([scores, np.full(8, NAN)])
    standing = settle(scores, {}, 0.05)
    assert standing.settled[1].gap.seeds == 7
    assert standing.settled[2].gap.seeds == 8
    assert 3 not in standing.settled | standing.undecided  # not one of its fits gave a score


def test_rounding_is_no_certainty():
    """Differences that agree to the image have the variance of rounding."""
    scores = np.array([[0.5] * 4, [0.5 - 1 / 100] * 4])
    assert settle(scores, {}, 0.05).settled[1].kind == "beaten"
    gap = settle(scores, {}, 0.05, resolution=1 / 100).undecided[1]
    assert gap.spread == pytest.approx(math.sqrt(4 / 3 / 12) / 100)
    same = np.array([[0.5] * 6, [0.5] * 6])
    assert settle(same, {}, 0.05, margin=0.02, resolution=1 / 100).settled[1].kind == "equivalent"


def test_seeds_more_is_where_the_sequence_will_be_narrow_enough():
    gap = Gap(0, 5, -1.0, math.inf, 1.0)
    more = seeds_more(gap, 2, 0.05)
    assert half_width(5 + more, (4 + more) * 1.0, 0.05) < 1.0
    assert half_width(4 + more, (3 + more) * 1.0, 0.05) >= 1.0
    assert seeds_more(gap, 10, 0.05) > more
    assert seeds_more(Gap(0, 5, 0.0, math.inf, 1.0), 2, 0.05) is None
    assert seeds_more(Gap(0, 5, 0.0, math.inf, 1.0), 2, 0.05, margin=1.0) == more
    assert seeds_more(Gap(0, 1, -1.0, math.inf, None), 2, 0.05) is None
