from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from pipelines import splits
from pipelines.errors import SplitError

LABELS = np.random.default_rng(0).choice(4, size=403, p=[0.5, 0.3, 0.15, 0.05])
NAMES = ["ant", "bee", "cat", "dog"]


def counts(indices: np.ndarray) -> np.ndarray:
    return np.bincount(LABELS[indices], minlength=4)


def equal(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return a is not None and b is not None and np.array_equal(a, b)


def assert_partition(parts: list[np.ndarray], whole: np.ndarray) -> None:
    assert np.array_equal(np.sort(np.concatenate(parts)), whole)


def test_import_without_tensorflow() -> None:
    code = (
        "import sys, pipelines; folds = pipelines.splits.nested([0, 1] * 20, outer=2, inner=2);"
        "assert len(folds) == 2; pipelines.open_source('digits').fingerprint;"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.9])
def test_holdout_partitions_and_is_stratified_within_one(fraction: float) -> None:
    rest, held = splits.holdout(LABELS, fraction, 1)
    assert_partition([rest, held], np.arange(len(LABELS)))
    assert np.all(np.abs(counts(held) - fraction * np.bincount(LABELS)) < 1)
    assert abs(len(held) - fraction * len(LABELS)) <= 1
    assert held.dtype == np.int64
    assert np.all(np.diff(held) > 0)
    assert np.all(np.diff(rest) > 0)


def test_same_seed_same_split_and_zero_is_a_seed() -> None:
    first, second = splits.holdout(LABELS, 0.2, 0)[1], splits.holdout(LABELS, 0.2, 0)[1]
    assert np.array_equal(first, second)
    assert not np.array_equal(first, splits.holdout(LABELS, 0.2, 1)[1])
    folds = [splits.kfold(LABELS, 3, seed)[0][1] for seed in (0, 0, 1)]
    assert np.array_equal(folds[0], folds[1])
    assert not np.array_equal(folds[0], folds[2])


def test_draws_stay_from_version_to_version() -> None:
    labels = np.arange(24) % 3
    assert splits.holdout(labels, 0.25, 5)[1].tolist() == [1, 14, 18, 21, 22, 23]
    assert splits.holdout(labels, 0.25, (5, 0))[1].tolist() == [1, 15, 17, 18, 20, 22]
    grouped = splits.holdout(labels, 0.25, 5, groups=np.arange(24) // 2)
    assert grouped[1].tolist() == [10, 11, 12, 13, 18, 19]
    assert splits.subset(labels, range(24), 0.3, 5).tolist() == [1, 4, 6, 12, 14, 17]
    assert [validation.tolist() for _, validation in splits.kfold(labels, 4, 5)] == [
        [8, 15, 16, 18, 22, 23],
        [0, 2, 7, 13, 20, 21],
        [3, 4, 11, 12, 14, 19],
        [1, 5, 6, 9, 10, 17],
    ]
    first, second = splits.nested(labels, 2, 2, 5)
    assert first.test.tolist() == [0, 2, 4, 5, 6, 7, 8, 9, 12, 19, 22, 23]
    assert first.inner[0].validation.tolist() == [10, 13, 14, 15, 20, 21]
    assert second.inner[0].validation.tolist() == [0, 2, 4, 6, 19, 23]


def test_inner_folds_are_drawn_anew_in_each_outer_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds, kfold = [], splits.kfold

    def seen(labels: np.ndarray, k: int, seed: splits.Seed, **settings: object) -> list:
        seeds.append(seed)
        return kfold(labels, k, seed, **settings)

    monkeypatch.setattr(splits, "kfold", seen)
    splits.nested(LABELS, 3, 2, 5)
    assert len(seeds) == len(set(seeds)) == 4


def test_subset_rounds_to_the_nearest_whole_image() -> None:
    labels = np.repeat([0, 1], 10)
    for fraction, each in ((0.14, 1), (0.16, 2), (0.25, 3), (0.39, 4)):
        assert len(splits.subset(labels, range(20), fraction, 1)) == 2 * each


def test_holdout_within_indices() -> None:
    chosen = np.arange(0, 403, 2)
    rest, held = splits.holdout(LABELS, 0.3, 1, indices=chosen)
    assert_partition([rest, held], chosen)


def test_holdout_keeps_a_tiny_class_on_both_sides() -> None:
    labels = np.array([0] * 50 + [1] * 2)
    for fraction in (0.02, 0.98):
        rest, held = splits.holdout(labels, fraction, 1)
        assert set(labels[rest]) == set(labels[held]) == {0, 1}


def test_holdout_refuses_a_class_of_one_by_name() -> None:
    with pytest.raises(SplitError, match=r"'rare' has 1 image;.*at least 2"):
        splits.holdout([0] * 5 + [1], 0.5, 1, class_names=["common", "rare"])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_holdout_refuses_fractions(fraction: float) -> None:
    with pytest.raises(SplitError, match="between 0 and 1"):
        splits.holdout(LABELS, fraction, 1)


@pytest.mark.parametrize("k", [2, 3, 7])
def test_kfold(k: int) -> None:
    folds = splits.kfold(LABELS, k, 1)
    assert len(folds) == k
    assert_partition([validation for _, validation in folds], np.arange(len(LABELS)))
    for train, validation in folds:
        assert_partition([train, validation], np.arange(len(LABELS)))
        assert np.all(np.abs(counts(validation) - np.bincount(LABELS) / k) < 1)
        assert abs(len(validation) - len(LABELS) / k) < 1


def test_kfold_refuses_a_small_class_by_name() -> None:
    with pytest.raises(SplitError, match=r"'rare' has 2 images, fewer than the 3 folds.*2 folds"):
        splits.kfold([0] * 9 + [1] * 2, 3, 1, class_names=["common", "rare"])
    with pytest.raises(SplitError, match="2 or more"):
        splits.kfold(LABELS, 1, 1)


def test_nested_partitions_outside_and_inside() -> None:
    folds = splits.nested(LABELS, outer=4, inner=3, seed=0)
    assert_partition([fold.test for fold in folds], np.arange(len(LABELS)))
    for fold in folds:
        assert_partition([fold.test, fold.learning], np.arange(len(LABELS)))
        assert_partition([inner.validation for inner in fold.inner], fold.learning)
        for inner in fold.inner:
            assert_partition([inner.train, inner.validation], fold.learning)


def test_nested_names_the_outer_fold_that_cannot_be_split() -> None:
    with pytest.raises(SplitError, match="inner folds of outer fold 0: class 1 has 2 images"):
        splits.nested([0] * 30 + [1] * 3, outer=3, inner=3, seed=1)


def test_subset_is_nested_and_keeps_every_class() -> None:
    indices = np.arange(3, 403)
    previous: set[int] = set()
    for fraction in (0.001, 0.05, 0.3, 0.31, 0.9, 1.0):
        part = splits.subset(LABELS, indices, fraction, 5)
        assert previous <= set(part.tolist()) <= set(indices.tolist())
        exact = fraction * np.bincount(LABELS[indices])
        assert np.all(np.abs(counts(part) - exact) < 1)
        assert counts(part).min() >= 1
        previous = set(part.tolist())
    assert previous == set(indices.tolist())


GROUPS = np.random.default_rng(1).integers(0, 60, size=403)


def test_groups_never_straddle() -> None:
    rest, held = splits.holdout(LABELS, 0.25, 1, groups=GROUPS)
    assert not set(GROUPS[rest]) & set(GROUPS[held])
    assert abs(len(held) / 403 - 0.25) < 0.03
    named = np.array([f"patient {g}" for g in GROUPS])
    for train, validation in splits.kfold(LABELS, 4, 1, groups=named):
        assert not set(GROUPS[train]) & set(GROUPS[validation])
        assert abs(len(validation) / 403 - 0.25) < 0.03
    for fold in splits.nested(LABELS, 3, 2, 1, groups=GROUPS):
        assert not set(GROUPS[fold.test]) & set(GROUPS[fold.learning])
        for inner in fold.inner:
            assert not set(GROUPS[inner.train]) & set(GROUPS[inner.validation])


def test_groups_follow_the_images_of_indices() -> None:
    chosen = np.arange(1, 403, 2)
    for train, validation in splits.kfold(LABELS, 3, 1, indices=chosen, groups=GROUPS):
        assert_partition([train, validation], chosen)
        assert not set(GROUPS[train]) & set(GROUPS[validation])


def test_class_in_one_group_only_is_refused_by_name() -> None:
    labels, groups = [0, 0, 0, 0, 1, 1], [1, 1, 2, 2, 3, 3]
    with pytest.raises(SplitError, match="class 'bee' has images in 1 group; 2 are needed"):
        splits.holdout(labels, 0.5, 1, groups=groups, class_names=NAMES)
    with pytest.raises(SplitError, match=r"one an image \(6\), received 2"):
        splits.holdout(labels, 0.5, 1, groups=[1, 2])


def test_bad_seed_and_indices() -> None:
    with pytest.raises(SplitError, match="seed"):
        splits.kfold(LABELS, 2, -1)
    with pytest.raises(SplitError, match="duplicates"):
        splits.holdout(LABELS, 0.5, 1, indices=[1, 1, 2])
    with pytest.raises(SplitError, match="from 0 to 402"):
        splits.holdout(LABELS, 0.5, 1, indices=[1, 403])


def test_resolve_without_official_splits() -> None:
    split = splits.resolve(LABELS, None, 0.1, 0.2, None, 1, NAMES)
    assert split.validation is not None
    assert split.test is not None
    assert_partition([split.train, split.validation, split.test], np.arange(403))
    assert abs(len(split.test) - 80.6) <= 1
    assert abs(len(split.validation) - 40.3) <= 1
    other = splits.resolve(LABELS, None, 0.3, 0.2, None, 1, NAMES)
    assert equal(other.test, split.test)  # another validation part, the same test part


def test_resolve_zero_fraction_is_no_part() -> None:
    split = splits.resolve(LABELS, None, 0.0, 0.0, 1.0, 1)
    assert split.validation is None
    assert split.test is None
    assert len(split.train) == 403
    with pytest.raises(SplitError, match="leave nothing to train on"):
        splits.resolve(LABELS, None, 0.5, 0.5, None, 1)


def test_resolve_train_fraction_touches_nothing_else() -> None:
    whole = splits.resolve(LABELS, None, 0.1, 0.2, 1.0, 1)
    part = splits.resolve(LABELS, None, 0.1, 0.2, 0.25, 1)
    assert equal(whole.validation, part.validation)
    assert equal(whole.test, part.test)
    assert set(part.train) < set(whole.train)
    assert abs(len(part.train) - len(whole.train) / 4) <= 2


def test_resolve_keeps_official_splits() -> None:
    train, validation, test = np.arange(200), np.arange(200, 300), np.arange(300, 403)
    official = {"train": train, "validation": validation, "test": test}
    split = splits.resolve(LABELS, official, 0.5, 0.5, None, 1)
    assert equal(split.train, train)
    assert equal(split.validation, validation)
    assert equal(split.test, test)

    split = splits.resolve(LABELS, {"train": train, "test": test}, 0.25, 0.5, None, 1)
    assert equal(split.test, test)
    assert split.validation is not None
    assert_partition([split.train, split.validation], train)
    assert abs(len(split.validation) - 50) <= 1

    split = splits.resolve(LABELS, {"train": train, "validation": validation}, 0.5, 0.25, None, 1)
    assert equal(split.validation, validation)
    assert split.test is not None
    assert_partition([split.train, split.test], train)

    with pytest.raises(SplitError, match="'train'"):
        splits.resolve(LABELS, {"validation": validation}, 0.1, 0.1, None, 1)
