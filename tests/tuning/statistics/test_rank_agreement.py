"""Kendall's tau against a published order: by hand, against SciPy, and its interval where the true
scores are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from tuning.statistics import rank_agreement as agreement

PUBLISHED = [8.75, 7.51, 7.17, 6.97, 6.43]


def test_tau_is_scipys_where_nothing_ties():
    rng = np.random.default_rng(1)
    for _ in range(50):
        published, ours = rng.permutation(7).astype(float), rng.normal(size=7)
        found = agreement.agreement(
            agreement.published_pairs(list(published)), dict(enumerate(ours)), {}
        )
        assert found.tau == pytest.approx(stats.kendalltau(published, ours).statistic)
        assert (found.interval.low, found.interval.high) == (-1, 1)  # nothing decided


def test_by_hand_with_a_tie_and_a_figure_that_is_missing():
    pairs = agreement.published_pairs([27.9, 28.5, 27.9, None, 25.0])
    assert sorted(pairs) == [(0, 1), (2, 1), (4, 0), (4, 1), (4, 2)]
    ours = {0: 50.0, 1: 52.0, 2: 53.0, 3: 10.0, 4: 40.0}
    found = agreement.agreement(pairs, ours, {(4, 0): 1, (4, 1): 1, (2, 1): -1})
    assert found.tau == pytest.approx((4 - 1) / 5)  # (2, 1) is turned around
    assert (found.pairs, found.undecided) == (5, 2)
    assert found.interval.low == pytest.approx((2 - 1 - 2) / 5)
    assert found.interval.high == pytest.approx((2 - 1 + 2) / 5)
    assert agreement.agreement(pairs, {1: 3.0}, {}) is None


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_interval_holds_the_tau_of_the_true_scores(seeds):
    """Truth: five rows whose expected accuracies over seeds and images are known, two of them in
    the other order than published, 0.4 points apart and 2; training noise 0.5 points; images that
    are hard for every row. Promised: 95 % or more of intervals hold the tau of the true scores."""
    rng = np.random.default_rng(seeds)
    shares, images, noise = np.array([0.70, 0.73, 0.724, 0.76, 0.74]), 2000, 0.005
    pairs = agreement.published_pairs(PUBLISHED)
    true = agreement.agreement(pairs, dict(enumerate(-shares)), {}).tau
    inside, widths = 0, []
    for _ in range(200):
        hard = rng.normal(size=images)
        hits = {}
        for at, share in enumerate(shares):
            hits[at] = {}
            for seed in range(seeds):
                own = rng.normal(size=images)
                level = stats.norm.ppf(share + noise * rng.normal())
                hits[at][seed] = 0.8 * hard + 0.6 * own < level
        ours = {at: -np.mean([r.mean() for r in of.values()]) for at, of in hits.items()}
        found = agreement.agreement(pairs, ours, agreement.decide_by_hits(pairs, hits))
        assert found.interval.low <= found.tau <= found.interval.high
        inside += found.interval.low <= true <= found.interval.high
        widths.append(found.interval.high - found.interval.low)
    assert inside / 200 >= 0.95
    assert np.mean(widths) < 2  # it says something


def test_one_seed_decides_by_mcnemar_and_knows_it_is_of_these_networks():
    rng = np.random.default_rng(4)
    good, bad = rng.random(1000) < 0.9, rng.random(1000) < 0.6
    decided = agreement.decide_by_hits([(0, 1), (1, 2)], {0: {1: good}, 1: {1: bad}, 2: {2: good}})
    assert decided == {(0, 1): 1}  # 1 and 2 have no seed in common


def test_scores_that_are_no_shares_are_decided_over_seeds():
    pairs = list(itertools.combinations(range(3), 2))
    scores = {0: [100.0, 101.0, 99.0], 1: [200.0, 202.0, 198.0], 2: [201.0, 199.0, 203.0]}
    assert agreement.decide_by_scores(pairs, scores) == {(0, 1): 1, (0, 2): 1, (1, 2): 0}
    assert agreement.decide_by_scores(pairs, {0: [1.0], 1: [2.0], 2: [3.0]}) == {}


def test_the_interval_of_a_share_covers_over_seeds_and_images():
    """Truth: 70 %; training noise 1 point, three seeds, 1000 images. Promised: 95 % at least."""
    rng = np.random.default_rng(7)
    inside = 0
    for _ in range(400):
        hard = rng.normal(size=1000)
        hits = {}
        for seed in range(3):
            level = stats.norm.ppf(0.70 + 0.01 * rng.normal())
            hits[seed] = 0.8 * hard + 0.6 * rng.normal(size=1000) < level
        interval = agreement.share_interval(hits, {0: hits}, 0)
        inside += interval.low <= 0.70 <= interval.high
    assert inside / 400 >= 0.945
    assert agreement.share_interval({1: hits[0]}, {0: hits}, 0) is None
