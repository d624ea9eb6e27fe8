"""Which candidate is chosen, by hand and by searches whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from tuning.choice import Choice
from tuning.oracles.oracle import Manual
from tuning.search import Search

SCORES = np.array([[0.90, 0.94, 0.92], [0.91, 0.93, 0.91], [0.88, 0.92, 0.92], [0.7, 0.7, 0.7]])
COSTS = [(50, 5), (40, 9), (10, 1), (1, 1)]


def cost(at):
    return COSTS[at]


def drawn(rng, accuracies, sizes, common=0.8):
    """Hits of candidates whose images are of the same difficulty for all."""
    hits = [[] for _ in accuracies]
    for fold, size in enumerate(sizes):
        shared = rng.random(size)
        for row, accuracy in zip(hits, accuracies, strict=True):
            own = rng.random(size)
            row.append(np.where(rng.random(size) < common, shared, own) < accuracy[fold])
    means = [np.mean([fold.mean() for fold in row]) for row in hits]
    order = np.argsort(means)[::-1]
    ranked = [hits[at] for at in order]
    scores = np.array([[fold.mean() for fold in row] for row in ranked])
    return scores, ranked, list(order)


def folds(sizes):
    ends = np.cumsum(sizes)
    return [np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True)]


def test_the_best_is_the_highest_mean_whatever_it_costs():
    assert Choice().of(SCORES, None, cost) == 0


def test_within_one_standard_error_the_cheapest_is_chosen():
    """Mean 0.92, s = 0.02, over the root of 3: 0.9085 and above, so the third (0.9067) is out."""
    choice = Choice("one_standard_error")
    assert choice.standard_error(SCORES[0], None) == pytest.approx(0.02 / np.sqrt(3))
    assert choice.eligible(SCORES, None) == [0, 1]
    assert choice.of(SCORES, None, cost) == 1
    assert choice.of(SCORES - [[0], [0.01], [0], [0]], None, cost) == 0


def test_of_equal_macs_fewer_parameters_then_the_higher_mean_is_chosen():
    choice = Choice("one_standard_error")
    assert choice.of(SCORES, None, lambda at: (5, [2, 1, 0, 0][at])) == 1
    assert choice.of(SCORES, None, lambda at: (5, 5)) == 0


def test_a_repeat_of_the_same_images_makes_no_smaller_standard_error():
    once = Choice(images=folds([30, 30]))
    twice = Choice(images=folds([30, 30]) * 2)
    scores = np.array([0.8, 0.9])
    spread = np.concatenate([scores, scores]).std(ddof=1)
    assert once.standard_error(scores, None) == pytest.approx(scores.std(ddof=1) / np.sqrt(2))
    assert twice.standard_error(np.tile(scores, 2), None) == pytest.approx(spread / np.sqrt(2))


def test_of_one_fold_its_images_are_the_standard_error():
    hits = [[np.arange(400) < 320], [np.arange(400) < 315], [np.arange(400) < 310]]
    scores = np.array([[0.8], [0.7875], [0.775]])
    choice = Choice("one_standard_error", folds([400]))
    assert choice.standard_error(scores[0], hits[0]) == pytest.approx(0.02)
    assert choice.eligible(scores, hits) == [0, 1]
    assert choice.eligible(scores, None) == [0]  # nothing says how far it scatters


def test_one_that_is_far_behind_is_never_the_cheapest_chosen():
    rng = np.random.default_rng(0)
    scores, hits, order = drawn(rng, [[0.9] * 4, [0.9] * 4, [0.5] * 4], [300] * 4)
    choice = Choice("cheapest", folds([300] * 4), 1 / 3)
    assert sorted(order[at] for at in choice.eligible(scores, hits)) == [0, 1]
    assert order[choice.of(scores, hits, lambda at: (-order[at],))] == 1
    lead = choice.lead(scores, hits)
    assert lead.alike == [1]
    assert lead.within_noise
    assert lead.of == "images and training"
    assert lead.level == 0.025
    assert lead.difference == pytest.approx(scores[0].mean() - scores[1].mean())


def test_a_lead_beyond_noise_is_said_where_training_shows_and_left_open_where_it_does_not():
    rng = np.random.default_rng(1)
    scores, hits, _ = drawn(rng, [[0.95] * 4, [0.8] * 4, [0.8] * 4], [500] * 4)
    told = Choice(images=folds([500] * 4), ratio=1 / 3).lead(scores, hits)
    assert (told.within_noise, told.alike) == (False, [])
    lone = Choice(images=folds([500])).lead(scores[:, :1], [row[:1] for row in hits])
    assert (lone.within_noise, lone.of) == (None, "images")
    known = Choice(images=folds([500]), ratio=0.25, noise=0.005)
    assert known.lead(scores[:, :1], [row[:1] for row in hits]).within_noise is False
    vague = Choice(images=folds([500]), ratio=0.25, noise=0.1)
    assert vague.lead(scores[:, :1], [row[:1] for row in hits]).within_noise is True


def test_what_diverges_makes_no_other_like_the_highest():
    """Two at 0.95 and 0.85 whose folds are alike, beside one whose folds scatter by 10 points."""
    rng = np.random.default_rng(4)
    levels = [[0.95] * 4, [0.85] * 4, [0.85] * 4, [0.1, 0.3, 0.1, 0.3]]
    scores, hits, order = drawn(rng, levels, [500] * 4)
    told = Choice(images=folds([500] * 4), ratio=1 / 3).lead(scores, hits)
    assert order[0] == 0
    assert told.alike == []


def test_without_answers_folds_tell_and_one_fold_or_candidate_tells_nothing():
    assert Choice().lead(SCORES, None).of == "folds"
    assert Choice().lead(SCORES, None).alike == [1, 2]  # the last is 22 points behind
    assert Choice().lead(SCORES[:, :1], None) is None
    assert Choice().lead(SCORES[:1], None) is None


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_those_that_cannot_be_told_apart_have_the_best_among_them_as_promised(noise):
    """Truth: one is half a point better than five others. In at most 5 % of searches it is missing
    from the highest and those that are like it, so what is cheapest of them may be it."""
    rng = np.random.default_rng(3)
    sizes, missing = [200] * 4, 0
    choice = Choice(images=folds(sizes), ratio=1 / 3)
    for _ in range(300):
        levels = np.array([[0.905]] + [[0.9]] * 5) + noise * rng.standard_normal((6, 4))
        scores, hits, order = drawn(rng, levels, sizes)
        told = choice.lead(scores, hits)
        missing += 0 not in {order[0], *(order[at] for at in told.alike)}
    assert missing <= 0.05 * 300


def test_a_search_has_the_chosen_one_as_its_best_and_the_ranking_as_it_was():
    def searched(choice):
        search = Search(
            Manual([{"x": x} for x in range(4)]),
            3,
            choice=choice,
            cost=lambda trial: COSTS[trial.number],
        )
        while fits := search.ready():
            for fit in fits:
                search.tell(fit, "finished", SCORES[fit.trial, fit.fold])
        return search

    plain, simple = searched(None), searched(Choice("one_standard_error"))
    assert (plain.best.number, simple.best.number) == (0, 1)
    assert [trial.number for trial in simple.ranked()] == [0, 1, 2, 3]
    assert plain.lead().difference == pytest.approx(0.01 / 3)
    assert searched(Choice("cheapest")).best.number == 2
