"""Whole groups dealt to the two sides of a hold-out, or to folds, as evenly as they allow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

GROUP_ATTEMPTS = 20  # orders of dealing tried before a grouped split is declared impossible


class SplitError(ValueError):
    """A split that the data cannot give; the message is one line with the class and the fix."""


def class_label(label: int, class_names: Sequence[str] | None) -> str:
    """The name of a class in quotes, or its number, for error messages."""
    return repr(str(class_names[label])) if class_names is not None else str(label)


def _group_tables(
    labels: np.ndarray, groups: np.ndarray, need: int, class_names: Sequence[str] | None
) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray]:
    """For each group (classes, counts); each image's group number; counts of the classes."""
    values, compact = np.unique(labels, return_inverse=True)
    member_of = np.unique(groups, return_inverse=True)[1].reshape(-1)
    pairs, counts = np.unique(np.stack([member_of, compact]), axis=1, return_counts=True)
    spread = np.bincount(pairs[1], minlength=len(values))
    for value, number in zip(values, spread.tolist(), strict=True):
        if number < need:
            raise SplitError(
                f"class {class_label(int(value), class_names)} has images in {number} "
                f"group{'s' * (number != 1)}; {need} are needed so that no group is on two sides: "
                "add groups, remove the class or use fewer folds"
            )
    edges = np.flatnonzero(np.diff(pairs[0])) + 1
    tables = list(zip(np.split(pairs[1], edges), np.split(counts, edges), strict=True))
    return tables, member_of, np.bincount(compact)


def _dealing_order(
    tables: list[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator
) -> list[int]:
    """Large groups first, ties in random order: small ones then even out what is left."""
    return sorted(rng.permutation(len(tables)).tolist(), key=lambda g: -int(tables[g][1].sum()))


def grouped_holdout(
    labels: np.ndarray,
    groups: np.ndarray,
    fraction: float,
    rng: np.random.Generator,
    class_names: Sequence[str] | None,
) -> np.ndarray:
    """Which images are held out: boolean [n]. `groups` [n] are ids; raises SplitError."""
    tables, member_of, totals = _group_tables(labels, groups, 2, class_names)
    for _ in range(GROUP_ATTEMPTS):
        missing = fraction * totals
        held_groups = np.zeros(len(tables), bool)
        for g in _dealing_order(tables, rng):
            classes, counts = tables[g]
            before, after = missing[classes], missing[classes] - counts
            size = counts.sum()
            # Each class's share and the size of the whole part count alike.
            gain = np.sum((before**2 - after**2) / totals[classes])
            gain += (missing.sum() ** 2 - (missing.sum() - size) ** 2) / len(labels)
            if gain > 0:
                missing[classes] = after
                held_groups[g] = True
        held = held_groups[member_of]
        if len(np.unique(labels[held])) == len(np.unique(labels[~held])) == len(totals):
            return held
    raise SplitError(
        f"no hold-out of {fraction:g} was found that keeps groups whole and every class on both "
        "sides: use a larger fraction or smaller groups"
    )


def grouped_folds(
    labels: np.ndarray,
    groups: np.ndarray,
    k: int,
    rng: np.random.Generator,
    class_names: Sequence[str] | None,
) -> np.ndarray:
    """The fold of each image: int64 [n] in 0..k-1. `groups` [n] are ids; raises SplitError."""
    tables, member_of, totals = _group_tables(labels, groups, k, class_names)
    for _ in range(GROUP_ATTEMPTS):
        filled = np.zeros((k, len(totals)))
        fold_of = np.empty(len(tables), np.int64)
        for g in _dealing_order(tables, rng):
            classes, counts = tables[g]
            have = filled[:, classes]
            growth = np.sum(((have + counts) ** 2 - have**2) / totals[classes], axis=1)
            size = filled.sum(axis=1)
            growth += ((size + counts.sum()) ** 2 - size**2) / len(labels)
            fold_of[g] = np.argmin(growth)
            filled[fold_of[g], classes] += counts
        if filled.min() > 0:
            return fold_of[member_of]
    raise SplitError(
        f"no {k} folds were found that keep groups whole and every class in every fold: "
        "use fewer folds or smaller groups"
    )
