"""The randomisation test over images: against McNemar's, every choice of signs, and its level."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from tuning.statistics.significance import sign_flip


def test_with_one_seed_it_is_mcnemars_exact_test():
    index = np.arange(400)
    first, second = (index < 390).astype(int), (index >= 15).astype(int)
    assert sign_flip(first, second) == pytest.approx(stats.binomtest(10, 25).pvalue)
    assert sign_flip(first, second) == pytest.approx(sign_flip(second, first))


def test_it_counts_every_choice_of_signs():
    first, second = np.array([3, 3, 0, 2, 1, 3, 2]), np.array([1, 2, 1, 2, 0, 0, 1])
    differences = first - second
    sums = [abs(int(np.dot(differences, signs))) for signs in itertools.product((1, -1), repeat=7)]
    expected = np.mean([s >= abs(differences.sum()) for s in sums])
    assert sign_flip(first, second) == pytest.approx(expected)


def test_equal_hits_are_no_evidence_and_many_images_are_quick():
    same = np.array([2, 1, 0, 2])
    assert sign_flip(same, same) == pytest.approx(1.0)
    draw = np.random.default_rng(0)
    first, second = draw.integers(0, 6, 50_000), draw.integers(0, 6, 50_000)
    d = first - second
    normal = 2 * stats.norm.sf(abs(d.sum()) / np.sqrt((d**2).sum()))
    assert sign_flip(first, second) == pytest.approx(normal, abs=0.003)


def test_it_keeps_its_level_where_seeds_pooled_as_images_do_not():
    """Two rows of one accuracy whose seeds agree on most images."""
    draw, flips, pooled, runs = np.random.default_rng(1), 0, 0, 400
    for _ in range(runs):
        hits = []
        for _ in range(2):
            shared = draw.random(200) < 0.7
            again = [np.where(draw.random(200) < 0.9, shared, ~shared) for _ in range(3)]
            hits.append(np.array(again, int))
        flips += sign_flip(hits[0].sum(0), hits[1].sum(0)) <= 0.05
        only = ((hits[0] > hits[1]).sum(), (hits[1] > hits[0]).sum())
        pooled += stats.binomtest(int(min(only)), int(sum(only))).pvalue <= 0.05
    assert flips / runs < 0.08
    assert pooled / runs > 0.12


def test_what_is_no_count_is_refused():
    with pytest.raises(ValueError, match="two int arrays"):
        sign_flip(np.array([True]), np.array([False]))
    with pytest.raises(ValueError, match="one length"):
        sign_flip(np.array([1, 2]), np.array([1]))
