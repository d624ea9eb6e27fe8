"""Nested cross-validation with shared fits: fewer of them, and every search hears what it would
have heard of fits of its own, in whatever order they end."""

from __future__ import annotations

import random
from collections import Counter
from statistics import fmean

import pytest

from tuning.nested import Nested
from tuning.oracles.oracle import Manual
from tuning.search import Racing, Search


def nested(outers, candidates, *, shared=True, repeats=1, **options):
    proposals = [{"x": x} for x in range(candidates)]
    searches = [Search(Manual(proposals), (outers - 1) * repeats, **options) for _ in range(outers)]
    return Nested(searches, shared=shared)


def score_of(trial, without, scored, repeat):
    """Of a network that depends on the set of folds that it has not seen, and on no order."""
    rng = random.Random(repr((trial, sorted(without), scored, repeat)))
    return 0.8 + 0.02 * trial + rng.gauss(0, 0.03)


def parts(work, task):
    """(searches' outer fold -> fold that it is scored on, repeat) of a fit."""
    others = len(work.searches) - 1
    repeat, position = divmod(task.fit.fold, others)
    other = position + (position >= task.outer)
    if task.other is not None:
        assert (task.other, task.repeat) == (other, repeat)
        return {task.outer: other, other: task.outer}, repeat
    return {task.outer: other}, repeat


def work_off(work, order=None, fails=lambda trial, folds: False):
    """Run everything, the fits under way ending in an order that is drawn; the fits, in order."""
    rng, waiting, done = random.Random(order), work.ready(), []
    while waiting:
        task = waiting.pop(rng.randrange(len(waiting)) if order is not None else 0)
        if work.wants(task):
            done.append(task)
            if task.fit is None:
                work.tell(task, "finished", 0.5)
            else:
                scored, repeat = parts(work, task)
                folds = {*scored, *scored.values()}
                if fails(task.fit.trial, folds):
                    work.tell(task, "failed", None, f"broke without {sorted(folds)}")
                else:
                    scores = {
                        outer: score_of(task.fit.trial, folds, fold, repeat)
                        for outer, fold in scored.items()
                    }
                    told = scores if work.shared else scores[task.outer]
                    work.tell(task, "finished", told, None, 3)
        waiting += work.ready()
    return done


def heard(work):
    """All that each search knows at the end."""
    return [
        [
            (t.number, t.status, t.scores, t.error and t.errors[min(t.errors)], t.gave_up, t.limit)
            for t in search.trials
        ]
        for search in work.searches
    ]


@pytest.mark.parametrize("repeats", [1, 2])
def test_half_the_fits_tell_every_search_the_same(repeats):
    together, apart = (nested(5, 4, shared=s, repeats=repeats) for s in (True, False))
    few, many = work_off(together), work_off(apart)
    assert len(few) == 4 * 10 * repeats + 5
    assert len(many) == 4 * 20 * repeats + 5
    assert heard(together) == heard(apart)
    assert [s.best.number for s in together.searches] == [s.best.number for s in apart.searches]
    keys = Counter(task.key for task in few if task.fit is not None)
    assert set(keys.values()) == {1}
    # inner fold f of an outer fold is the f-th of the others, and its score is on that fold
    for outer, search in enumerate(together.searches):
        others = [fold for fold in range(5) if fold != outer]
        for trial in search.trials:
            assert trial.scores == [
                score_of(trial.number, {outer, fold}, fold, repeat)
                for repeat in range(repeats)
                for fold in others
            ]
            assert trial.score == fmean(trial.scores)


@pytest.mark.parametrize("order", range(8))
@pytest.mark.parametrize(
    "racing", [None, Racing(after_folds=3, alpha=0.2, ratio=1 / 4)], ids=["plain", "racing"]
)
def test_what_a_search_finds_does_not_depend_on_the_order_in_which_fits_end(racing, order):
    def fails(trial, folds):
        return (trial, folds) in [(1, {0, 3}), (2, {2, 4}), (2, {1, 3})]

    works = {s: nested(6, 6, shared=s, racing=racing) for s in (True, False)}
    shuffled = nested(6, 6, racing=racing)
    done = {s: work_off(work, None, fails) for s, work in works.items()}
    also = work_off(shuffled, order, fails)
    assert heard(works[True]) == heard(shuffled)
    assert len({task.key for task in also}) == len(also)
    # a failed fit fails its candidate in both outer folds, and only there
    for outer, search in enumerate(shuffled.searches):
        failed = {t.number for t in search.trials if t.status == "failed"}
        assert (1 in failed) <= (outer in (0, 3))
        assert racing or failed == {
            trial for trial, folds in ((1, {0, 3}), (2, {2, 4}), (2, {1, 3})) if outer in folds
        }
    if racing:
        assert heard(works[True]) == heard(works[False])
        assert any(t.gave_up for s in shuffled.searches for t in s.trials)
        fits = sum(task.fit is not None for task in done[True])
        left_out = 6 * 15 - fits
        assert 0 < works[True].saved <= left_out  # failed candidates leave out some more
        assert works[True].saved == shuffled.saved
    assert all(search.done for search in shuffled.searches)


def test_without_failures_racing_saves_what_was_never_handed_out():
    work = nested(6, 6, racing=Racing(after_folds=3, alpha=0.2, ratio=1 / 4))
    done = work_off(work)
    assert work.saved == 6 * 15 - (len(done) - 6) > 0


def test_too_many_failures_in_one_outer_fold_stop_all():
    work = nested(4, 6, max_failures=3)
    done = work_off(work, fails=lambda trial, folds: folds == {1, 2})
    assert [search.stopped for search in work.searches] == ["failures"] * 4
    assert {o for o, s in enumerate(work.searches) if s.failed_in_a_row} == {1, 2}
    assert not any(task.fit is None and task.outer in (1, 2) for task in done)
    assert len(done) < 6 * 6


def test_a_budget_ends_it_and_what_is_under_way_may_still_be_told():
    work = nested(3, 4)
    tasks = work.ready()
    assert len(tasks) == 4 * 3
    for task in tasks[:3]:
        work.tell(task, "finished", dict.fromkeys(task.outers, 0.5))
    work.stop("images")
    assert not any(work.wants(task) for task in tasks[3:])
    work.tell(tasks[3], "finished", dict.fromkeys(tasks[3].outers, 0.5))
    assert [(task.outer, task.fit) for task in work.ready()] == [(0, None), (1, None), (2, None)]
    with pytest.raises(ValueError, match="no such fit is under way"):
        work.tell(tasks[3], "finished", dict.fromkeys(tasks[3].outers, 0.5))


class Endless(Manual):
    """Goes on for ever, so that candidates come in rounds."""

    def __init__(self):
        super().__init__([{"x": x} for x in range(10_000)])

    def announced(self):
        return None


@pytest.mark.parametrize("racing", [None, Racing(after_folds=3, alpha=0.2, ratio=1 / 3)])
def test_an_endless_search_goes_on_in_rounds_until_a_budget_ends_it(racing):
    searches = [Search(Endless(), 4, racing=racing) for _ in range(5)]
    work, rng = Nested(searches, shared=True, refit=False), random.Random(1)
    waiting, done = work.ready(), []
    while waiting:
        task = waiting.pop(rng.randrange(len(waiting)))
        if work.wants(task):
            done.append(task.key)
            scored, repeat = parts(work, task)
            folds = {*scored}
            fine = rng.random() > 0.02
            scores = {o: score_of(task.fit.trial % 3, folds, f, repeat) for o, f in scored.items()}
            work.tell(task, "finished" if fine else "failed", scores if fine else None)
        if len(done) == 1_500:
            work.stop("images")
        waiting += work.ready()
    assert len(done) == len(set(done)) == 1_500  # none was asked for twice, and none was lost
    assert {search.stopped for search in searches} == {"images"}
    assert min(len(search.trials) for search in searches) >= 128
    statuses = Counter(t.status for search in searches for t in search.trials[:64])
    assert statuses["running"] == 0
    assert statuses["failed"] > 0


def test_searches_that_cannot_share_are_refused():
    with pytest.raises(ValueError, match="3 searches or more"):
        nested(2, 2)
    with pytest.raises(ValueError, match="a fold for each other one"):
        Nested([Search(Manual([{"x": 1}]), 3) for _ in range(5)], shared=True)
    other = Nested([Search(Manual([{"x": n}]), 2) for n in range(3)], shared=True)
    with pytest.raises(ValueError, match="two searches propose"):
        other.ready()
