"""Hold-out, stratified and grouped k-fold, nested k-fold: pure functions of labels and a seed.

Every function returns sorted np.int64 index arrays into `labels`. Stratified: each part holds each
class in proportion, to within one image. With `groups` (one id an image: patient, scene, camera) no
group is on two sides, and classes are balanced as well as whole groups allow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.errors import SplitError
from pipelines.grouping import class_label, grouped_folds, grouped_holdout

Seed = int | tuple[int, ...]


@dataclass(frozen=True)
class InnerFold:
    train: np.ndarray
    validation: np.ndarray


@dataclass(frozen=True)
class OuterFold:
    """`test` is touched once; `learning` is everything else, which the inner folds share out."""

    test: np.ndarray
    learning: np.ndarray
    inner: list[InnerFold]


@dataclass(frozen=True)
class Split:
    """The three parts of a run; None for a part that was not asked for."""

    train: np.ndarray
    validation: np.ndarray | None
    test: np.ndarray | None


def holdout(
    labels: Sequence[int] | np.ndarray,
    fraction: float,
    seed: Seed,
    *,
    indices: Sequence[int] | np.ndarray | None = None,
    groups: Sequence[object] | np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(rest, held): `held` is `fraction` of `indices` (default: all); every class is on both sides.

    Raises SplitError when a class has fewer than two images (or, with groups, two groups).
    """
    if not 0.0 < fraction < 1.0:
        raise SplitError(f"hold-out fraction: expected between 0 and 1, received {fraction!r}")
    labels, chosen = _checked(labels, indices)
    rng = _rng(seed)
    for name, count in _counts(labels[chosen], class_names):
        if count < 2:
            raise SplitError(
                f"class {name} has {count} image; a hold-out needs at least 2 (one on each side): "
                "add images or remove the class"
            )
    if groups is not None:
        held_mask = grouped_holdout(
            labels[chosen], _group_ids(groups, labels)[chosen], fraction, rng, class_names
        )
    else:
        held_mask = _stratified_holdout(labels[chosen], fraction, rng)
    return chosen[~held_mask], chosen[held_mask]


def subset(
    labels: Sequence[int] | np.ndarray,
    indices: Sequence[int] | np.ndarray,
    fraction: float,
    seed: Seed,
) -> np.ndarray:
    """A stratified part of `indices` for learning curves: at least one image a class.

    Nested: with one seed, a smaller fraction is contained in a larger one.
    """
    if not 0.0 < fraction <= 1.0:
        raise SplitError(f"train fraction: expected above 0 and up to 1, received {fraction!r}")
    labels, chosen = _checked(labels, indices)
    rng = _rng(seed)
    parts = []
    for label in np.unique(labels[chosen]):
        members = rng.permutation(chosen[labels[chosen] == label])
        parts.append(members[: max(1, math.floor(fraction * len(members) + 0.5))])
    return np.sort(np.concatenate(parts))


def kfold(
    labels: Sequence[int] | np.ndarray,
    k: int,
    seed: Seed,
    *,
    indices: Sequence[int] | np.ndarray | None = None,
    groups: Sequence[object] | np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """k pairs (train, validation); the validations partition `indices` (default: all).

    Raises SplitError when a class has fewer than k images (or, with groups, k groups).
    """
    if k < 2:
        raise SplitError(f"number of folds: expected 2 or more, received {k!r}")
    labels, chosen = _checked(labels, indices)
    rng = _rng(seed)
    name, count = min(_counts(labels[chosen], class_names), key=lambda named: named[1])
    if count < k:
        raise SplitError(
            f"class {name} has {count} image{'s' * (count != 1)}, fewer than the {k} folds: "
            f"add images, remove the class or use {max(count, 2)} folds or fewer"
        )
    if groups is not None:
        fold = grouped_folds(
            labels[chosen], _group_ids(groups, labels)[chosen], k, rng, class_names
        )
    else:
        fold = _stratified_folds(labels[chosen], k, rng)
    return [(chosen[fold != i], chosen[fold == i]) for i in range(k)]


def nested(
    labels: Sequence[int] | np.ndarray,
    outer: int = 5,
    inner: int = 3,
    seed: int = 1,
    groups: Sequence[object] | np.ndarray | None = None,
    *,
    class_names: Sequence[str] | None = None,
) -> list[OuterFold]:
    """Outer folds, each with inner folds over what it does not test. Varma and Simon 2006.

    The outer tests partition all images; a fold's inner validations partition its `learning`.
    """
    root = _seed_tuple(seed)
    folds = []
    outer_folds = kfold(labels, outer, (*root, 1), groups=groups, class_names=class_names)
    for i, (learning, test) in enumerate(outer_folds):
        try:
            pairs = kfold(
                labels,
                inner,
                (*root, 2, i + 1),
                indices=learning,
                groups=groups,
                class_names=class_names,
            )
        except SplitError as error:
            raise SplitError(f"inner folds of outer fold {i}: {error}") from None
        folds.append(OuterFold(test, learning, [InnerFold(*pair) for pair in pairs]))
    return folds


def resolve(
    source_labels: np.ndarray,
    official_splits: dict[str, np.ndarray] | None,
    validation_fraction: float,
    test_fraction: float,
    train_fraction: float | None,
    seed: int,
    class_names: Sequence[str] | None = None,
    groups: Sequence[object] | np.ndarray | None = None,
) -> Split:
    """The parts of one run. Official splits are kept; what they lack is held out of train.

    Fractions are of all images, or of the official train part where there is one; 0 leaves a part
    out (None). `train_fraction` thins the training part last: the others never depend on it.
    """
    for name, fraction in (("validation", validation_fraction), ("test", test_fraction)):
        if not 0.0 <= fraction < 1.0:
            raise SplitError(
                f"{name} fraction: expected from 0 up to below 1, received {fraction!r}"
            )
    official = official_splits or {}
    if official and "train" not in official:
        raise SplitError(
            f"official splits: expected a 'train' part, received {sorted(official)}: add it"
        )
    root = _seed_tuple(seed)
    train = np.sort(np.asarray(official.get("train", np.arange(len(source_labels))), np.int64))
    if not len(train):
        raise SplitError("the training part has no images: add some")
    pool = len(train)
    parts: dict[str, np.ndarray | None] = {}
    # Test first: another validation fraction then leaves the test images as they were.
    for tag, name, fraction in ((1, "test", test_fraction), (2, "validation", validation_fraction)):
        if name in official:
            parts[name] = np.sort(np.asarray(official[name], np.int64))
        elif fraction == 0.0:
            parts[name] = None
        else:
            share = fraction * pool / len(train)
            if share >= 1.0:
                raise SplitError(
                    f"validation fraction {validation_fraction} and test fraction {test_fraction} "
                    "leave nothing to train on: their sum must be below 1"
                )
            train, parts[name] = holdout(
                source_labels,
                share,
                (*root, tag),
                indices=train,
                groups=groups,
                class_names=class_names,
            )
    if train_fraction is not None and train_fraction != 1.0:
        train = subset(source_labels, train, train_fraction, (*root, 3))
    return Split(train, parts["validation"], parts["test"])


def _seed_tuple(seed: Seed) -> tuple[int, ...]:
    root = seed if isinstance(seed, tuple) else (seed,)
    if any(int(part) != part or part < 0 for part in root):
        raise SplitError(f"split seed: expected a whole number from 0, received {seed!r}")
    return tuple(int(part) for part in root)


def _rng(seed: Seed) -> np.random.Generator:
    # The closing 1 matters: SeedSequence reads (5,) and (5, 0) as the same entropy.
    return np.random.default_rng((*_seed_tuple(seed), 1))


def _checked(
    labels: Sequence[int] | np.ndarray, indices: Sequence[int] | np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise SplitError(
            f"labels: expected a non-empty vector of integers, received {labels.dtype} "
            f"of shape {labels.shape}"
        )
    if indices is None:
        return labels, np.arange(len(labels), dtype=np.int64)
    chosen = np.unique(np.asarray(indices, np.int64))
    if len(chosen) != len(indices):
        raise SplitError("indices: expected every index once, received duplicates")
    if len(chosen) == 0 or chosen[0] < 0 or chosen[-1] >= len(labels):
        raise SplitError(
            f"indices: expected some from 0 to {len(labels) - 1}, received {len(chosen)}"
            + (f" from {chosen[0]} to {chosen[-1]}" if len(chosen) else "")
        )
    return labels, chosen


def _counts(labels: np.ndarray, class_names: Sequence[str] | None) -> list[tuple[str, int]]:
    values, counts = np.unique(labels, return_counts=True)
    named = [class_label(int(v), class_names) for v in values]
    return list(zip(named, (int(c) for c in counts), strict=True))


def _group_ids(groups: Sequence[object] | np.ndarray, labels: np.ndarray) -> np.ndarray:
    if len(groups) != len(labels):
        raise SplitError(f"groups: expected one an image ({len(labels)}), received {len(groups)}")
    return np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)


def _stratified_holdout(
    labels: np.ndarray, fraction: float, rng: np.random.Generator
) -> np.ndarray:
    values, counts = np.unique(labels, return_counts=True)
    exact = fraction * counts
    take = np.clip(np.floor(exact).astype(int), 1, counts - 1)
    # Largest remainders get one more, until the part as a whole has the fraction asked for.
    missing = round(fraction * len(labels)) - int(take.sum())
    remainder = exact - take
    for i in sorted(rng.permutation(len(values)), key=lambda i: -remainder[i]):
        if missing > 0 and remainder[i] > 0 and take[i] < counts[i] - 1:
            take[i] += 1
            missing -= 1
    held = np.zeros(len(labels), bool)
    for value, count in zip(values, take, strict=True):
        held[rng.permutation(np.flatnonzero(labels == value))[:count]] = True
    return held


def _stratified_folds(labels: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    fold = np.empty(len(labels), np.int64)
    dealt = 0
    for value in rng.permutation(np.unique(labels)):
        members = rng.permutation(np.flatnonzero(labels == value))
        # Dealing goes on where the last class stopped, so that folds also have equal sizes.
        fold[members] = (dealt + np.arange(len(members))) % k
        dealt += len(members)
    return fold
