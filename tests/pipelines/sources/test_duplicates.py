"""Identical images are found, and no split has them on two sides."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from experiments.config import settings
from experiments.jobs.plan import prepare
from pipelines import splits
from pipelines.errors import SplitError
from pipelines.sources import duplicates
from pipelines.sources.array_source import ArraySource
from pipelines.sources.open import open_source
from pipelines.sources.prepare import prepare as prepare_folder


def photographs(root, copies, count=20, sizes=True):
    """Two classes of `count` images; `copies` maps (class, number) to the image it repeats."""
    rng = np.random.default_rng(3)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for k in range(count):
            shape = (30 + (k % 3 if sizes else 0), 30, 3)
            Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(
                root / name / f"{k:02d}.png"
            )
    for (name, k), (of, j) in copies.items():
        data = (root / of / f"{j:02d}.png").read_bytes()
        (root / name / f"{k:02d}.png").write_bytes(data)
    return root


COPIES = {("cat", k): ("cat", k % 3) for k in range(3, 12)} | {("dog", 7): ("dog", 2)}


@pytest.mark.parametrize("sizes", [True, False])  # read from files, and held in memory
def test_copies_are_found_in_a_folder_and_stay_known_when_prepared(tmp_path, sizes):
    source = open_source(f"folder:{photographs(tmp_path / 'set', COPIES, sizes=sizes)}")
    groups = duplicates.groups(duplicates.content_digests(source))
    expected = [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11], [22, 27]]
    found = [m.tolist() for m in duplicates.clusters(duplicates.content_digests(source))]
    assert found == expected
    for members in expected:
        assert len(set(groups[members])) == 1
    assert len(set(groups.tolist())) == 40 - 10
    prepare_folder(source, tmp_path / "out", size=20)
    ready = open_source(f"prepared:{tmp_path / 'out'}")
    assert [m.tolist() for m in duplicates.clusters(ready.digests)] == expected


def test_copies_are_found_among_images_in_memory():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3)).astype(np.uint8)
    pixels[5], pixels[7] = pixels[2], pixels[2]
    source = ArraySource(pixels, np.arange(8) % 2, ["a", "b"])
    found = duplicates.clusters(duplicates.content_digests(source))
    assert [members.tolist() for members in found] == [[2, 5, 7]]


def test_a_set_without_copies_has_no_groups_and_generated_images_are_not_drawn(tmp_path):
    source = open_source(f"folder:{photographs(tmp_path / 'set', {})}")
    assert duplicates.groups(duplicates.content_digests(source)) is None
    drawn = open_source("synthetic:classes=2,size=16,examples=20,seed=1")
    drawn._draw = lambda: pytest.fail("drawn")
    assert duplicates.content_digests(drawn) is None


def sides(split):
    parts = [part for part in (split.train, split.validation, split.test) if part is not None]
    side = np.full(sum(map(len, parts)), -1)
    for number, part in enumerate(parts):
        side[part] = number
    assert (side >= 0).all()
    return side


def test_a_run_keeps_copies_on_one_side_unless_told_otherwise(tmp_path):
    root = photographs(tmp_path / "set", COPIES)

    def parts(*words):
        words = [f"data.source=folder:{root}", "data.image_size=32", *words]
        return sides(prepare(settings.parse(settings.override({}, words))).split)

    clusters = ([0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11], [22, 27])
    torn = 0
    for seed in range(4):
        kept = parts(f"validation.seed={seed}")
        assert all(len(set(kept[members])) == 1 for members in clusters)
        free = parts(f"validation.seed={seed}", "data.group_duplicates=false")
        torn += any(len(set(free[members])) > 1 for members in clusters)
    assert torn == 4  # the same data, without the grouping, leaks


def test_a_set_without_copies_is_split_as_without_the_setting(tmp_path):
    words = [f"data.source=folder:{photographs(tmp_path / 'set', {})}", "data.image_size=32"]
    one = prepare(settings.parse(settings.override({}, words))).split
    words.append("data.group_duplicates=false")
    other = prepare(settings.parse(settings.override({}, words))).split
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part))


def mostly_single(seed, images=600, classes=5, copies=60):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    groups = np.arange(images)
    chosen = rng.permutation(images)[: 2 * copies]
    groups[chosen[:copies]] = groups[chosen[copies:]]
    return labels, groups


@pytest.mark.parametrize("seed", range(5))
def test_few_copies_leave_a_hold_out_stratified(seed):
    labels, groups = mostly_single(seed)
    rest, held = splits.holdout(labels, 0.2, seed, groups=groups)
    assert not set(groups[rest]) & set(groups[held])
    np.testing.assert_array_equal(np.sort(np.r_[rest, held]), np.arange(600))
    assert len(held) == pytest.approx(120, abs=1)
    shares = np.bincount(labels[held]) - 0.2 * np.bincount(labels)
    assert np.abs(shares).max() <= 2
    copied = np.bincount(groups)[groups] > 1  # a part of its own kind is held out of them too
    assert 0.1 < copied[held].sum() / copied.sum() < 0.3


@pytest.mark.parametrize("seed", range(5))
def test_few_copies_leave_folds_even(seed):
    labels, groups = mostly_single(seed)
    folds = splits.kfold(labels, 5, seed, groups=groups)
    np.testing.assert_array_equal(np.sort(np.concatenate([v for _, v in folds])), np.arange(600))
    counts = np.array([np.bincount(labels[v], minlength=5) for _, v in folds])
    assert (counts.max(0) - counts.min(0)).max() <= 1
    assert np.ptp(counts.sum(1)) <= 2
    for train, validation in folds:
        assert not set(groups[train]) & set(groups[validation])


def test_a_class_of_copies_only_cannot_be_split():
    labels = np.repeat([0, 1], 6)
    groups = np.r_[np.zeros(6, int), np.arange(1, 7)]
    with pytest.raises(SplitError, match="class 'a' has images in 1 group; 2 are needed"):
        splits.holdout(labels, 0.5, 1, groups=groups, class_names=["a", "b"])


def test_every_class_is_on_both_sides_however_small():
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1])
    groups = np.array([0, 0, 1, 2, 2, 3, 4, 5, 6, 7, 8])
    for seed in range(20):
        for fraction in (0.1, 0.5, 0.8):
            rest, held = splits.holdout(labels, fraction, seed, groups=groups)
            assert set(labels[rest]) == set(labels[held]) == {0, 1}
            assert not set(groups[rest]) & set(groups[held])
