"""Nested cross-validation: who is fitted on what, what the estimate is, and if it is honest."""

from __future__ import annotations

from statistics import fmean, stdev

import numpy as np
import pytest

from pipelines import splits
from tuning.nested import Nested, median_epochs, pooled, summary
from tuning.oracles.oracle import Manual
from tuning.search import Search


def searches(count, candidates, folds, **options):
    return [
        Search(Manual([{"x": x} for x in range(candidates)]), folds, **options)
        for _ in range(count)
    ]


def work_off(nested, score):
    """Run everything; `score(task, winner)` gives each task's score, or text for a failure."""
    waiting, done = nested.ready(), []
    while waiting:
        task = waiting.pop(0)
        if nested.wants(task):
            done.append(task)
            value = score(task, nested.winner(task.outer))
            failed = isinstance(value, str)
            nested.tell(
                task, "failed" if failed else "finished", *((None, value) if failed else (value,))
            )
        waiting += nested.ready()
    return done


def test_outer_searches_take_turns_and_each_winner_is_refitted_once():
    nested = Nested(searches(3, 2, 2))
    done = work_off(nested, lambda task, winner: float(task.fit is None or task.fit.trial))
    assert [(t.outer, t.fit.trial, t.fit.fold) for t in done[:4]] == [
        (0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 0, 1),
    ]  # fmt: skip
    refits = [task.outer for task in done if task.fit is None]
    assert sorted(refits) == [0, 1, 2]
    assert len(done) == 3 * (4 + 1)
    assert not nested.winners_differ


def test_the_refit_comes_after_the_whole_search_of_its_fold():
    nested = Nested(searches(1, 2, 2))
    tasks = nested.ready()
    for task in tasks[:-1]:
        nested.tell(task, "finished", 1.0)
        assert nested.ready() == []
    nested.tell(tasks[-1], "finished", 1.0)
    [refit] = nested.ready()
    assert refit.fit is None
    with pytest.raises(ValueError, match="no refit is under way"):
        Nested(searches(1, 2, 2)).tell(refit, "finished", 1.0)


def test_without_refit_it_is_the_search_alone():
    nested = Nested(searches(1, 3, 2), refit=False)
    assert len(work_off(nested, lambda task, winner: 1.0)) == 6


def test_winners_that_differ_are_said():
    nested = Nested(searches(2, 2, 1))
    work_off(
        nested, lambda task, w: 1.0 if task.fit is None or task.fit.trial == task.outer else 0.0
    )
    assert nested.winners_differ


def test_failures_in_a_row_in_one_outer_fold_stop_all():
    nested = Nested(searches(2, 5, 1, max_failures=2))
    done = work_off(nested, lambda task, w: "NaN" if task.outer == 1 else 1.0)
    assert nested.searches[1].stopped == "failures"
    assert not any(task.fit is None and task.outer == 1 for task in done)
    assert len(done) < 10


def test_a_search_that_its_failures_stopped_has_no_winner_to_refit():
    nested = Nested(searches(1, 5, 1, max_failures=2))
    for task in nested.ready()[:3]:
        nested.tell(task, *(("failed",) if task.fit.trial else ("finished", 1.0)))
    assert nested.searches[0].stopped == "failures"
    assert nested.winner(0).number == 0
    assert nested.ready() == []


def test_a_budget_leaves_the_refits_of_what_was_found():
    nested = Nested(searches(2, 3, 1))
    tasks = nested.ready()
    for task in tasks[:2]:
        nested.tell(task, "finished", 0.5)
    nested.stop("seconds")
    refits = nested.ready()
    assert [(task.outer, task.fit) for task in refits] == [(0, None), (1, None)]
    assert all(nested.wants(task) for task in refits)


def test_summary_by_hand():
    told = summary([0.9, 0.8, 1.0], [0.7, 0.8, 0.9])
    assert told.mean == pytest.approx(0.8)
    assert told.std == pytest.approx(0.1)
    assert told.best_inner_score == pytest.approx(0.9)
    assert told.optimism == pytest.approx(0.1)
    assert summary([0.2, 0.2], [0.3, 0.5], minimise=True).optimism == pytest.approx(0.2)
    assert summary([0.5], [0.6]).std is None


def test_a_refit_trains_for_the_median_of_the_best_epochs():
    for lengths, median in (((3, 9, 4), 4), ((3, 4), 4), ((2, 2), 2)):
        search = Search(Manual([{"x": 0}]), len(lengths))
        for fit in search.ready():
            search.tell(fit, "finished", 1.0, epochs=lengths[fit.fold])
        assert median_epochs(search.best) == median


# Inner scores by outer fold, candidate and inner fold. Each outer fold has another winner (0, 1 and
# 2); candidate 1 has the highest mean over all six inner folds.
INNER = (
    ((0.9, 0.9), (0.8, 0.8), (0.1, 0.1)),
    ((0.3, 0.3), (0.8, 0.8), (0.2, 0.2)),
    ((0.5, 0.5), (0.6, 0.8), (0.9, 0.9)),
)


def inner_score(task, winner):
    return 0.5 if task.fit is None else INNER[task.outer][task.fit.trial][task.fit.fold]


def test_the_final_fit_is_of_the_candidate_best_over_all_folds_and_comes_last():
    nested = Nested(searches(3, 3, 2), final=True)
    done = work_off(nested, inner_score)
    assert [nested.winner(outer).number for outer in range(3)] == [0, 1, 2]
    assert nested.winners_differ
    assert nested.final == 3
    assert [(task.outer, task.fit) for task in done[-1:]] == [(3, None)]
    assert len(done) == 3 * (3 * 2 + 1) + 1
    best = nested.winner(3)
    assert (best.number, best.settings, best.folds) == (1, {"x": 1}, 6)
    assert best.score == pytest.approx(fmean((0.8, 0.8, 0.8, 0.8, 0.6, 0.8)))
    assert [trial.score for trial in pooled(nested.outer)] == [
        pytest.approx(fmean(score for fold in INNER for score in fold[trial])) for trial in range(3)
    ]


def test_a_lower_score_is_better_for_the_final_fit_too():
    nested = Nested(searches(3, 3, 2, minimise=True), final=True)
    work_off(nested, inner_score)
    assert nested.winner(3).number == 2


def test_the_final_fit_waits_for_every_refit_and_for_good_ones():
    nested = Nested(searches(2, 1, 1), final=True)
    for task in nested.ready():
        nested.tell(task, "finished", 1.0)
    first, second = nested.ready()
    nested.tell(first, "finished", 0.5)
    assert nested.ready() == []
    nested.tell(second, "failed", None, "out of memory")
    assert nested.ready() == []  # without all tests nothing says what to expect of it
    nested = Nested(searches(1, 1, 1), final=True)
    assert [len(work_off(nested, lambda task, winner: 1.0)), nested.final] == [3, 1]
    with pytest.raises(ValueError, match="expected refit, too"):
        Nested(searches(1, 1, 1), refit=False, final=True)


def test_a_candidate_that_failed_in_one_outer_fold_is_not_best_over_all():
    def score(task, winner):
        failed = task.fit and (task.outer, task.fit.trial) == (2, 1)
        return "out of memory" if failed else inner_score(task, winner)

    nested = Nested(searches(3, 3, 2), final=True)
    work_off(nested, score)
    assert [trial.number for trial in pooled(nested.outer)] == [0, 2]
    assert nested.winner(3).number == 0


def test_without_a_candidate_that_all_outer_folds_finished_there_is_no_final_fit():
    nested = Nested(searches(3, 3, 1, max_failures=9), final=True)
    done = work_off(
        nested, lambda task, w: 0.5 if task.fit is None or task.fit.trial == task.outer else "NaN"
    )
    assert nested.winner(3) is None
    assert sorted(task.outer for task in done if task.fit is None) == [0, 1, 2]


def test_a_search_over_all_images_chooses_the_final_fit_where_it_is_given():
    [last] = searches(1, 3, 2)
    nested = Nested(searches(2, 3, 2), final=last)
    done = work_off(
        nested, lambda task, w: 0.5 if task.fit is None else float(task.fit.trial == task.outer)
    )
    assert [nested.winner(outer).number for outer in range(3)] == [0, 1, 2]
    assert [task.outer for task in done if task.fit is None] == [0, 1, 2]
    assert len(done) == 3 * (3 * 2 + 1)
    assert nested.winner(2) is last.best


def test_a_failing_search_over_all_images_leaves_the_estimate():
    [last] = searches(1, 3, 1, max_failures=2)
    nested = Nested(searches(2, 3, 1), final=last)
    done = work_off(nested, lambda task, w: "NaN" if task.outer == 2 else 1.0)
    assert sorted(task.outer for task in done if task.fit is None) == [0, 1]
    assert last.failed_in_a_row
    assert [nested.refits[outer].score for outer in range(2)] == [1.0, 1.0]


def test_the_final_fit_trains_for_the_median_over_the_epochs_of_all_folds():
    nested = Nested(searches(2, 1, 2), final=True)
    for task in nested.ready():
        nested.tell(task, "finished", 1.0, epochs=(2, 3, 9, 9)[2 * task.outer + task.fit.fold])
    for task in nested.ready():
        nested.tell(task, "finished", 1.0)
    assert median_epochs(nested.winner(2)) == 6


# A learner that is real and fast: the class whose mean is nearest, in a few random features.
IMAGES, FEATURES, CLASSES, CANDIDATES = 90, 40, 3, 24


def nearest_mean(features, labels, train, scored, chosen):
    picked = features[:, chosen]
    means = np.stack([picked[train][labels[train] == c].mean(axis=0) for c in range(CLASSES)])
    distance = ((picked[scored][:, None] - means[None]) ** 2).sum(axis=2)
    return float((distance.argmin(axis=1) == labels[scored]).mean())


def replicate(seed, signal=0.0, spy=None, shared=False):
    """One nested cross-validation on random features; labels are noise unless there is a signal."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(IMAGES) % CLASSES)
    features = rng.normal(size=(IMAGES, FEATURES)) + signal * labels[:, None]
    subsets = [rng.choice(FEATURES, 4, replace=False) for _ in range(CANDIDATES)]
    outer = splits.nested(labels, outer=5, inner=3, seed=seed)
    nested = Nested(searches(5, CANDIDATES, 4 if shared else 3), shared=shared)

    def score(task, winner):
        fold = outer[task.outer]
        if task.other is not None:
            tests = {task.outer: outer[task.other].test, task.other: fold.test}
            train, chosen = np.setdiff1d(fold.learning, tests[task.outer]), task.fit.settings["x"]
            for scored in tests.values() if spy else ():
                spy(task, train, scored)
            return {
                told: nearest_mean(features, labels, train, scored, subsets[chosen])
                for told, scored in tests.items()
            }
        if task.fit is None:
            train, scored, x = fold.learning, fold.test, winner.settings["x"]
        else:
            inner = fold.inner[task.fit.fold]
            train, scored, x = inner.train, inner.validation, task.fit.settings["x"]
        if spy:
            spy(task, train, scored)
        return nearest_mean(features, labels, train, scored, subsets[x])

    work_off(nested, score)
    return summary(
        [search.best.score for search in nested.searches],
        [nested.refits[outer].score for outer in range(5)],
    )


@pytest.mark.parametrize("shared", [False, True])
def test_on_noise_the_nested_estimate_is_chance_and_the_naive_one_is_not(shared):
    told = [replicate(seed, shared=shared) for seed in range(24)]
    tests = [one.mean for one in told]
    half = 2.1 * stdev(tests) / len(tests) ** 0.5  # t of 23 degrees, 95 %
    assert abs(fmean(tests) - 1 / CLASSES) < half
    assert half < 0.04  # narrow enough to mean something
    naive = [one.best_inner_score for one in told]
    assert fmean(naive) - 2.1 * stdev(naive) / len(naive) ** 0.5 > 1 / CLASSES + 0.05
    assert all(one.optimism > 0 for one in told if one.mean < 0.3)
    assert fmean(one.optimism for one in told) > 0.05


def test_with_a_signal_it_finds_it():
    assert replicate(1, signal=2.0).mean > 0.8


def test_no_image_of_an_outer_test_is_fitted_or_chosen_by():
    seen = []
    replicate(3, spy=lambda task, train, scored: seen.append((task, train, scored)))
    tested = np.concatenate([scored for task, _, scored in seen if task.fit is None])
    assert np.array_equal(np.sort(tested), np.arange(IMAGES))  # each image is tested once
    for outer in range(5):
        [test] = [set(s) for task, _, s in seen if task.outer == outer and task.fit is None]
        for task, train, scored in seen:
            if task.outer == outer:
                assert test.isdisjoint(train)
                assert task.fit is None or test.isdisjoint(scored)


def test_a_shared_fit_has_seen_neither_of_its_folds():
    seen = []
    replicate(3, spy=lambda task, train, scored: seen.append((task, train, scored)), shared=True)
    tests = {task.outer: set(scored) for task, _, scored in seen if task.fit is None}
    assert sorted(set.union(*tests.values())) == list(range(IMAGES))
    fits = [(task, train, scored) for task, train, scored in seen if task.fit is not None]
    assert len(fits) == CANDIDATES * 10 * 2  # each is scored twice
    for task, train, scored in fits:
        without = tests[task.outer] | tests[task.other]
        assert set(train) == set(range(IMAGES)) - without
        assert set(scored) in (tests[task.outer], tests[task.other])
