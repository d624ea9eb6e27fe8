"""Whole groups dealt to the two sides of a hold-out, or to folds, as evenly as they allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.errors import SplitError

GROUP_ATTEMPTS = 20  # orders of dealing tried before a grouped split is declared impossible


def class_label(label: int, class_names: Sequence[str] | None) -> str:
    """The name of a class in quotes, or its number, for error messages."""
    return repr(str(class_names[label])) if class_names is not None else str(label)


class _Tables(NamedTuple):
    """Groups of two or more images one by one; groups of one image by their class only.

    A set of a million photographs with a few duplicates is then dealt as fast as one without.
    """

    groups: list[tuple[np.ndarray, np.ndarray]]  # of each larger group (classes, counts)
    members: list[np.ndarray]  # of each larger group
    singles: list[np.ndarray]  # of each class, images that are a group of their own
    compact: np.ndarray  # class of each image, 0..classes-1
    totals: np.ndarray  # images of each class


def _group_tables(
    labels: np.ndarray, groups: np.ndarray, need: int, class_names: Sequence[str] | None
) -> _Tables:
    """Raises SplitError for a class with images in fewer than `need` groups."""
    values, compact = np.unique(labels, return_inverse=True)
    ids, sizes = np.unique(groups, return_inverse=True, return_counts=True)[1:]
    ids, compact = ids.reshape(-1), compact.reshape(-1)
    order = np.argsort(ids, kind="stable")
    order = order[sizes[ids[order]] > 1]
    members = np.split(order, np.flatnonzero(np.diff(ids[order])) + 1) if len(order) else []
    tables = [np.unique(compact[m], return_counts=True) for m in members]
    single = np.flatnonzero(sizes[ids] == 1)
    single = single[np.argsort(compact[single], kind="stable")]
    spread = np.bincount(compact[single], minlength=len(values))
    singles = np.split(single, np.cumsum(spread)[:-1])
    for classes, _ in tables:
        spread[classes] += 1
    for value, number in zip(values, spread.tolist(), strict=True):
        if number < need:
            raise SplitError(
                f"class {class_label(int(value), class_names)} has images in {number} "
                f"group{'s' * (number != 1)}; {need} are needed so that no group is on two sides: "
                "add groups, remove the class or use fewer folds"
            )
    return _Tables(tables, members, singles, compact, np.bincount(compact))


def _dealing_order(tables: _Tables, rng: np.random.Generator) -> list[int]:
    """Large groups first, ties in random order: small ones then even out what is left."""
    groups = tables.groups
    return sorted(rng.permutation(len(groups)).tolist(), key=lambda g: -int(groups[g][1].sum()))


def grouped_holdout(
    labels: np.ndarray,
    groups: np.ndarray,
    fraction: float,
    rng: np.random.Generator,
    class_names: Sequence[str] | None,
) -> np.ndarray:
    """Which images are held out: boolean [n]. `groups` [n] are ids; raises SplitError."""
    tables = _group_tables(labels, groups, 2, class_names)
    totals = tables.totals
    # Larger groups and single images each give their share: duplicates do not all end on one side.
    share = fraction * (totals - [len(members) for members in tables.singles])
    for _ in range(GROUP_ATTEMPTS):
        missing = share.copy()
        held = np.zeros(len(labels), bool)
        for g in _dealing_order(tables, rng):
            classes, counts = tables.groups[g]
            before, after = missing[classes], missing[classes] - counts
            size = counts.sum()
            # Each class's share and the size of the whole part count alike.
            gain = np.sum((before**2 - after**2) / totals[classes])
            gain += (missing.sum() ** 2 - (missing.sum() - size) ** 2) / len(labels)
            if gain > 0:
                missing[classes] = after
                held[tables.members[g]] = True
        dealt = np.bincount(tables.compact[held], minlength=len(totals))
        _hold_singles(tables, fraction * totals - dealt, held, rng)
        if len(np.unique(labels[held])) == len(np.unique(labels[~held])) == len(totals):
            return held
    raise SplitError(
        f"no hold-out of {fraction:g} was found that keeps groups whole and every class on both "
        "sides: use a larger fraction or smaller groups"
    )


def _hold_singles(
    tables: _Tables, missing: np.ndarray, held: np.ndarray, rng: np.random.Generator
) -> None:
    """Hold out, of each class, the single images that it still misses."""
    classes = len(tables.totals)
    have = np.array([len(members) for members in tables.singles])
    dealt = np.bincount(tables.compact[held], minlength=classes)
    low = np.minimum(have, dealt == 0)  # something of each class on this side
    high = have - (tables.totals - dealt == have)  # and on the other
    take = np.clip(np.floor(missing).astype(int), low, np.maximum(low, high))
    # Largest remainders get one more, until the part as a whole has the fraction asked for.
    more = round(missing.sum()) - int(take.sum())
    for c in sorted(rng.permutation(classes).tolist(), key=lambda c: take[c] - missing[c]):
        if more > 0 and missing[c] > take[c] and take[c] < high[c]:
            take[c] += 1
            more -= 1
    for members, count in zip(tables.singles, take.tolist(), strict=True):
        held[rng.permutation(members)[:count]] = True


def grouped_folds(
    labels: np.ndarray,
    groups: np.ndarray,
    k: int,
    rng: np.random.Generator,
    class_names: Sequence[str] | None,
) -> np.ndarray:
    """The fold of each image: int64 [n] in 0..k-1. `groups` [n] are ids; raises SplitError."""
    tables = _group_tables(labels, groups, k, class_names)
    totals = tables.totals
    for _ in range(GROUP_ATTEMPTS):
        filled = np.zeros((k, len(totals)))
        fold_of = np.empty(len(labels), np.int64)
        for g in _dealing_order(tables, rng):
            classes, counts = tables.groups[g]
            have = filled[:, classes]
            growth = np.sum(((have + counts) ** 2 - have**2) / totals[classes], axis=1)
            size = filled.sum(axis=1)
            growth += ((size + counts.sum()) ** 2 - size**2) / len(labels)
            fold = int(np.argmin(growth))
            fold_of[tables.members[g]] = fold
            filled[fold, classes] += counts
        _deal_singles(tables, filled, fold_of, rng)
        if filled.min() > 0:
            return fold_of
    raise SplitError(
        f"no {k} folds were found that keep groups whole and every class in every fold: "
        "use fewer folds or smaller groups"
    )


def _deal_singles(
    tables: _Tables, filled: np.ndarray, fold_of: np.ndarray, rng: np.random.Generator
) -> None:
    """Single images to the folds that have least of their class, then least of all."""
    k = len(filled)
    for c in rng.permutation(len(tables.totals)):
        members = rng.permutation(tables.singles[c])
        level = _water_level(filled[:, c], len(members))
        take = np.maximum(level - filled[:, c], 0).astype(int)
        rest = len(members) - int(take.sum())
        # What does not go up evenly goes to the folds that are smallest as a whole.
        lowest = np.lexsort((filled.sum(axis=1) + take, filled[:, c] + take))[:rest]
        take[lowest] += 1
        fold_of[members] = np.repeat(np.arange(k), take)
        filled[:, c] += take


def _water_level(heights: np.ndarray, amount: int) -> int:
    """The highest whole level to which `amount` fills up columns of these heights."""
    ordered = np.sort(heights)
    sums = np.cumsum(ordered)
    levels = (amount + sums) // np.arange(1, len(ordered) + 1)
    return int(levels.min())
