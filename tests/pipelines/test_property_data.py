"""Splits of any labels and groups, and headers of any bytes."""

from __future__ import annotations

import numpy as np
import pytest
from attempts import attempt
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipelines import splits
from pipelines.errors import SplitError
from pipelines.files.image_header import HeaderError, read_header

SEEDS = st.integers(0, 2**40)
FRACTIONS = st.floats(0.01, 0.99)


@st.composite
def labelled(draw: st.DrawFn, least: int = 0, most: int = 14) -> np.ndarray:
    """Labels of some classes, in any order."""
    counts = draw(st.lists(st.integers(least, most), min_size=1, max_size=5))
    labels = np.repeat(np.arange(len(counts)) * 3, counts)
    assume(len(labels) > 0)
    return np.array(draw(st.permutations(labels.tolist())), np.int64)


def together(*parts: np.ndarray | None) -> list[int]:
    """All of their images, which must be different ones."""
    whole = np.concatenate([part for part in parts if part is not None])
    assert len(np.unique(whole)) == len(whole)
    return sorted(whole.tolist())


def shares(labels: np.ndarray, part: np.ndarray) -> list[int]:
    return [int(np.sum(labels[part] == label)) for label in np.unique(labels)]


@given(labelled(least=2), FRACTIONS, SEEDS)
def test_holdout(labels: np.ndarray, fraction: float, seed: int) -> None:
    before = labels.copy()
    rest, held = splits.holdout(labels, fraction, seed)
    assert together(rest, held) == list(range(len(labels)))
    for count, got in zip(
        np.unique(labels, return_counts=True)[1], shares(labels, held), strict=True
    ):
        assert 1 <= got <= count - 1
        assert abs(got - fraction * count) < 1 or got in (1, count - 1)
    assert np.array_equal(splits.holdout(labels, fraction, seed)[1], held)
    assert np.array_equal(labels, before)


@given(labelled(), st.integers(2, 6), SEEDS)
def test_folds(labels: np.ndarray, k: int, seed: int) -> None:
    if np.unique(labels, return_counts=True)[1].min() < k:
        with pytest.raises(SplitError, match="fewer than the"):
            splits.kfold(labels, k, seed)
        return
    folds = splits.kfold(labels, k, seed)
    assert together(*(test for _, test in folds)) == list(range(len(labels)))
    counts = np.array([shares(labels, test) for _, test in folds])
    assert np.ptp(counts, axis=0).max() <= 1
    assert np.ptp(counts.sum(axis=1)) <= 1
    for train, test in folds:
        assert together(train, test) == list(range(len(labels)))
    again = splits.kfold(labels, k, seed)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(folds, again, strict=True))


@given(labelled(least=4), st.integers(1, 8), st.integers(2, 3), FRACTIONS, SEEDS, st.data())
def test_groups_stay_whole(
    labels: np.ndarray, groups: int, k: int, fraction: float, seed: int, data: st.DataObject
) -> None:
    n = len(labels)
    owner = np.array(data.draw(st.lists(st.integers(0, groups), min_size=n, max_size=n)))
    singles = owner == 0  # images of no group but their own
    owner = np.where(singles, 100 + np.arange(n), owner)
    for make in (
        lambda: [splits.holdout(labels, fraction, seed, groups=owner)],
        lambda: splits.kfold(labels, k, seed, groups=owner),
    ):
        parts, why = attempt(SplitError, make)
        if why:
            continue
        assert parts
        for rest, held in parts:
            assert together(rest, held) == list(range(n))
            assert not set(owner[rest]) & set(owner[held])
            assert min(shares(labels, held)) > 0
            assert min(shares(labels, rest)) > 0
        assert all(np.array_equal(a[1], b[1]) for a, b in zip(parts, make(), strict=True))


@given(labelled(least=9, most=20), st.integers(2, 3), st.integers(2, 3), st.integers(0, 99))
def test_nested_folds(labels: np.ndarray, outer: int, inner: int, seed: int) -> None:
    folds = splits.nested(labels, outer, inner, seed)
    assert together(*(fold.test for fold in folds)) == list(range(len(labels)))
    for fold in folds:
        assert together(fold.test, fold.learning) == list(range(len(labels)))
        assert together(*(one.validation for one in fold.inner)) == fold.learning.tolist()
        for one in fold.inner:
            assert together(one.train, one.validation) == fold.learning.tolist()


@given(labelled(least=6), st.floats(0, 0.6), st.floats(0, 0.6), st.floats(0.05, 1), SEEDS)
def test_resolved_parts(
    labels: np.ndarray, validation: float, test: float, train: float, seed: int
) -> None:
    whole, why = attempt(
        SplitError, lambda: splits.resolve(labels, None, validation, test, None, seed)
    )
    if why:
        return
    assert whole
    assert together(whole.train, whole.validation, whole.test) == list(range(len(labels)))
    thin = splits.resolve(labels, None, validation, test, train, seed)
    assert set(thin.train) <= set(whole.train)
    assert min(shares(labels, thin.train)) > 0
    for name in ("validation", "test"):
        part, full = getattr(thin, name), getattr(whole, name)
        assert (part is None) == (full is None)
        assert part is None or np.array_equal(part, full)


STARTS = [
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"\xff\xd8\xff\xe1\0\x40Exif\0\0II*\0",
]


@settings(max_examples=300)
@given(st.sampled_from(STARTS), st.lists(st.binary(max_size=30) | st.sampled_from([
    b"\xff\xc0\0\x11\x08\0\x10\0\x20\x03", b"\xff\xda", b"\xff\xd9", b"\xff", b"\xff\xe1\0\0",
    b"MM\0*\0\0\0\x08\xff\xff\x01\x12", b"\xff\xc4\xff\xff", b"\0" * 20,
]), max_size=6))  # fmt: skip
def test_any_bytes_have_a_header_or_a_reason(start: bytes, parts: list[bytes]) -> None:
    header, why = attempt(HeaderError, lambda: read_header(start + b"".join(parts)))
    if header is None:
        assert why.startswith("is ")
        return
    assert header.kind in ("JPEG", "PNG")
    assert 0 < header.height < 2**31
    assert 0 < header.width < 2**31
    assert 1 <= header.orientation <= 8
