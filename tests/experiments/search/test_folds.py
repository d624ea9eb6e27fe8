"""The folds of a search: disjoint, complete, stratified, grouped, and fixed by their seed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.config import settings
from experiments.errors import BadInput
from experiments.jobs import folds as lower
from experiments.jobs.folds import thinned
from experiments.search import folds as module
from experiments.search import study
from experiments.search.folds import nested_folds, search_folds
from experiments.search.trial_run import outer_words

LABELS = np.random.default_rng(0).choice(3, size=300, p=[0.6, 0.3, 0.1])


def source(**official):
    parts = {name: np.asarray(indices) for name, indices in official.items()}
    return SimpleNamespace(
        labels=LABELS, class_names=["a", "b", "c"], official_splits=parts or None, headline=None
    )


def config(*words):
    return settings.parse(settings.override({"data": {"group_duplicates": False}}, words))


def counts(indices):
    return np.bincount(LABELS[indices], minlength=3)


def same(one, other):
    return len(one) == len(other) and all(
        np.array_equal(x, y)
        for a, b in zip(one, other, strict=True)
        for x, y in zip(a, b, strict=True)
    )


def check_partition(parts, whole):
    assert np.array_equal(np.sort(np.concatenate(parts)), np.sort(whole))


def test_k_folds_share_out_all_but_the_test():
    made = search_folds(config("validation.folds=4"), source())
    assert len(made.pairs) == 4
    check_partition([made.test, made.learning], np.arange(300))
    check_partition([held for _, held in made.pairs], made.learning)
    for train, held in made.pairs:
        check_partition([train, held], made.learning)
        assert np.all(np.abs(counts(held) - counts(made.learning) / 4) < 1)
    assert made.ratio() == pytest.approx(1 / 3, rel=0.02)
    assert made.ratio(0.5) == pytest.approx(2 / 3, rel=0.02)


def test_repeats_reshuffle():
    made = search_folds(config("validation.folds=3", "validation.repeats=2"), source())
    assert len(made.pairs) == 6
    first, second = made.pairs[:3], made.pairs[3:]
    for half in (first, second):
        check_partition([held for _, held in half], made.learning)
    assert not same(first, second)
    assert same(first, search_folds(config("validation.folds=3"), source()).pairs)


def test_hold_out_is_that_of_train_and_repeats_reshuffle_it():
    from pipelines import splits

    [(train, held)] = search_folds(config(), source()).pairs
    split = splits.resolve(LABELS, None, 0.2, 0.2, None, 1)
    assert np.array_equal(train, split.train)
    assert np.array_equal(held, split.validation)
    made = search_folds(config("validation.repeats=3"), source())
    assert same(made.pairs[:1], [(train, held)])
    assert len({tuple(held) for _, held in made.pairs}) == 3
    for train, held in made.pairs:
        check_partition([train, held, made.test], np.arange(300))
        assert abs(len(held) - 60) <= 1  # of all images, as `validation_fraction` says


@pytest.mark.parametrize("words", [["validation.folds=3"], ["validation.repeats=2"]])
def test_the_seed_decides_and_zero_is_a_seed(words):
    zero, again, one = (
        search_folds(config(*words, f"validation.seed={seed}"), source()).pairs
        for seed in (0, 0, 1)
    )
    assert same(zero, again)
    assert not same(zero, one)
    nested = [nested_folds(config(f"validation.seed={seed}"), source()) for seed in (0, 0, 1)]
    tests = [[[fold.test] for fold in folds] for folds in nested]
    assert same(tests[0], tests[1])
    assert not same(tests[0], tests[2])


def test_official_parts_are_kept():
    parts = {"train": range(200), "validation": range(200, 250), "test": range(250, 300)}
    [(train, held)] = search_folds(config(), source(**parts)).pairs
    assert np.array_equal(train, np.arange(200))
    assert np.array_equal(held, np.arange(200, 250))
    for words in (["validation.folds=3"], ["validation.repeats=2"]):
        made = search_folds(config(*words), source(**parts))
        assert np.array_equal(made.test, np.arange(250, 300))
        assert np.array_equal(made.learning, np.arange(250))
        for train, held in made.pairs:
            check_partition([train, held], np.arange(250))
    outer = nested_folds(config("validation.outer=2"), source(**parts))
    check_partition([fold.test for fold in outer], np.arange(250))


def test_official_test_images_that_are_listed_first_are_in_no_fold():
    official = source(test=range(50), train=range(50, 200), validation=range(200, 300))
    words = ("validation.outer=3", "validation.inner=2", "validation.repeats=2")
    outer = nested_folds(config(*words), official)
    check_partition([fold.test for fold in outer], np.arange(50, 300))
    for fold in outer:
        check_partition([fold.test, fold.learning], np.arange(50, 300))
        assert len(fold.pairs) == 4
        for train, held in fold.pairs:
            check_partition([train, held], fold.learning)
    for words in ((), ("validation.folds=3",), ("validation.repeats=2",)):
        made = search_folds(config(*words), official)
        assert np.array_equal(made.test, np.arange(50))
        assert min(made.learning) == min(min(map(min, pair)) for pair in made.pairs) == 50


def test_nested_tests_everything_once():
    outer = nested_folds(config("validation.outer=4", "validation.inner=2"), source())
    check_partition([fold.test for fold in outer], np.arange(300))
    for fold in outer:
        check_partition([fold.test, fold.learning], np.arange(300))
        check_partition([held for _, held in fold.pairs], fold.learning)
        for train, held in fold.pairs:
            check_partition([train, held], fold.learning)
            assert np.all(np.abs(counts(held) - counts(fold.learning) / 2) < 1)
    twice = nested_folds(
        config("validation.outer=4", "validation.inner=2", "validation.repeats=2"), source()
    )
    for fold, more in zip(outer, twice, strict=True):
        assert same(more.pairs[:2], fold.pairs)
        check_partition([held for _, held in more.pairs[2:]], fold.learning)
        assert not same(more.pairs[2:], fold.pairs)


def test_shared_inner_folds_are_the_other_outer_folds():
    words = ("validation.outer=4", "validation.inner=shared")
    for parts in (
        source(),
        source(test=range(50), train=range(50, 200), validation=range(200, 300)),
    ):
        shared = nested_folds(config(*words), parts)
        own = nested_folds(config("validation.outer=4"), parts)
        for one, fold in enumerate(shared):
            # what an outer fold tests and learns from is the same either way
            assert np.array_equal(fold.test, own[one].test)
            assert np.array_equal(fold.learning, own[one].learning)
            others = [other for other in range(4) if other != one]
            assert same([[held] for _, held in fold.pairs], [[shared[o].test] for o in others])
            for (train, held), other in zip(fold.pairs, others, strict=True):
                check_partition([train, held], fold.learning)
                # the same training images from either side of the pair
                assert np.array_equal(train, shared[other].pairs[one - (one > other)][0])
            assert fold.ratio() == pytest.approx(1 / 2, rel=0.02)
    twice = nested_folds(config(*words, "validation.repeats=2"), source())
    first = nested_folds(config(*words), source())
    for fold, again in zip(first, twice, strict=True):
        assert same(again.pairs, [*fold.pairs, *fold.pairs])
    with pytest.raises(BadInput, match=r"class 'c' has 42 images, fewer than the 100 folds"):
        nested_folds(config("validation.outer=100", "validation.inner=shared"), source())


def test_identical_images_stay_together(monkeypatch):
    groups = np.random.default_rng(1).integers(0, 100, 300)
    for at in (module, lower):
        monkeypatch.setattr(at, "duplicate_groups", lambda config, source: groups)
    made = search_folds(config("validation.folds=3"), source())
    parts = [(made.test, made.learning), *made.pairs]
    nested = nested_folds(config("validation.outer=3"), source())
    nested += nested_folds(config("validation.outer=4", "validation.inner=shared"), source())
    parts += [pair for fold in nested for pair in [(fold.test, fold.learning), *fold.pairs]]
    parts += [(train, fold.test) for fold in nested for train, _ in fold.pairs]
    for one, other in parts:
        assert not set(groups[one]) & set(groups[other])


def test_a_search_needs_images_to_validate_on():
    with pytest.raises(BadInput, match=r"validation_fraction=0\.2 or validation\.folds=3"):
        search_folds(config("validation.validation_fraction=0"), source())
    with pytest.raises(BadInput, match=r"validation_fraction=0\.2 or validation\.folds=3"):
        search_folds(config("validation.validation_fraction=0", "validation.repeats=2"), source())
    with pytest.raises(BadInput, match=r"class 'c' has 34 images, fewer than the 100 folds"):
        search_folds(config("validation.folds=100"), source())


def test_parts_that_the_source_brings_need_no_fraction():
    parts = {"train": range(150), "validation": range(150, 200), "test": range(200, 300)}
    made = search_folds(
        config("validation.validation_fraction=0", "validation.test_fraction=0"), source(**parts)
    )
    [(train, held)] = made.pairs
    assert list(train) == list(parts["train"])
    assert list(held) == list(parts["validation"])
    assert list(made.test) == list(parts["test"])


def test_a_refit_needs_test_images_wherever_they_come_from(monkeypatch):
    refit = ("search={space: {seed: [1, 2]}, strategy: grid, refit: true}",
             "validation.test_fraction=0")  # fmt: skip
    parts = {"train": range(200), "test": range(200, 300)}
    for images in (source(**parts), source()):
        monkeypatch.setattr(study, "open_source", lambda data, images=images: images)
        if images.official_splits:
            assert list(study.open_study("search", config(*refit)).folds[0].test) == [
                *parts["test"]
            ]
        else:
            with pytest.raises(BadInput, match=r"search\.refit: .* there are no test images"):
                study.open_study("search", config(*refit))


def test_training_parts_are_thinned_alone():
    made = config("data.train_fraction=0.5", "validation.folds=3")
    [(train, _), *_] = search_folds(made, source()).pairs
    part = thinned(made, source(), train)
    assert set(part) < set(train)
    assert np.all(np.abs(counts(part) - counts(train) / 2) <= 1)


def test_names_of_nested_runs_tell_their_outer_fold():
    assert outer_words("outer/2/trial/7") == "outer fold 2, "
    assert outer_words("outer/11/refit") == "outer fold 11, "
    assert outer_words("trial/7") == outer_words("refit") == ""
