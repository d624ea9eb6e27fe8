"""Folds of a configuration: who trains on which images, told by the config alone."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from command import refused, write_config

from experiments.config import settings
from experiments.config.identity import config_hash, group_hash
from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.jobs import folds
from experiments.jobs.job import draw_seed, reseeded, seed_for
from experiments.jobs.plan import prepare, prepare_fits
from experiments.search.folds import search_folds

LABELS = np.random.default_rng(3).permutation(np.repeat([0, 1, 2], [60, 40, 20]))


def source(**official: Any) -> Any:
    parts = {name: np.asarray(indices) for name, indices in official.items()}
    return SimpleNamespace(
        labels=LABELS, class_names=["a", "b", "c"], official_splits=parts or None, headline=None,
        spec="drawn:", image_shape=(8, 8, 1), default_size=8, fingerprint="drawn",
    )  # fmt: skip


def config(*words: str) -> Config:
    given = {"data": {"group_duplicates": False}, "model": {"name": "mlp"}}
    return settings.parse(settings.override(given, words))


def test_with_test_folds_every_image_is_tested_once() -> None:
    made = folds.splits(config("validation.test_folds=4"), source())
    tested = np.concatenate([split.test for split in made])
    assert np.array_equal(np.sort(tested), np.arange(120))
    for split in made:
        parts = [split.train, split.validation, split.test]
        assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(120))
        assert [len(part) for part in parts] == [66, 24, 30]  # a fifth of all is held out
        assert np.bincount(LABELS[split.test]).tolist() == [15, 10, 5]
    alone = folds.splits(
        config("validation.test_folds=4", "validation.validation_fraction=0"), source()
    )
    assert [split.validation for split in alone] == [None] * 4
    for one, other in zip(made, alone, strict=True):  # the test images are those they were
        assert np.array_equal(one.test, other.test)


def test_repeats_are_drawn_anew_and_leave_the_first_as_they_were() -> None:
    for key in ("folds", "test_folds"):
        once = folds.splits(config(f"validation.{key}=3"), source())
        twice = folds.splits(config(f"validation.{key}=3", "validation.repeats=2"), source())
        assert len(twice) == 6
        for one, other in zip(once, twice, strict=False):
            assert np.array_equal(one.train, other.train)
        assert not np.array_equal(twice[0].train, twice[3].train)
    assert len(folds.splits(config("validation.repeats=4"), source())) == 4


def test_identical_images_stay_in_one_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = np.random.default_rng(1).integers(0, 50, 120)
    monkeypatch.setattr(folds, "duplicate_groups", lambda config, source: groups)
    for split in folds.splits(config("validation.test_folds=3"), source()):
        sets = [set(groups[part]) for part in (split.train, split.validation, split.test)]
        assert all(not one & other for one, other in itertools.combinations(sets, 2))


def test_the_folds_are_those_of_a_search_and_of_each_config_alone() -> None:
    made = config("validation.folds=3", "data.train_fraction=0.5")
    whole, each = prepare_fits(made, source())
    searched = search_folds(made, source())
    assert (whole.config.validation.fold, len(each)) == ("all", 3)
    for number, (plan, (train, held)) in enumerate(zip(each, searched.pairs, strict=True)):
        alone = prepare(plan.config, source())
        assert plan.config.validation.fold == number
        assert np.array_equal(plan.split.train, folds.thinned(made, source(), train))
        assert np.array_equal(plan.split.validation, held)
        assert np.array_equal(plan.split.test, searched.test)
        for part in ("train", "validation", "test"):
            assert np.array_equal(getattr(alone.split, part), getattr(plan.split, part))
        assert plan.job(("run",)).path == ("run", "fold", number)
    assert prepare_fits(config(), source())[1][0].job(("run",)).path == ("run",)


def test_hashes_tell_folds_apart_and_leave_other_runs_as_they_were() -> None:
    def hashed(*words: str) -> str:
        return config_hash(config(*words))

    five = "validation.folds=5"
    assert hashed() == hashed(five) == hashed("validation.test_folds=5")  # of a single fit
    runs = [
        hashed(),
        *(hashed(five, f"validation.fold={fold}") for fold in (0, 1, "all")),
        hashed("validation.folds=4", "validation.fold=0"),
        hashed("validation.test_folds=5", "validation.fold=0"),
        hashed(five, "validation.fold=all", "validation.repeats=2"),
    ]
    assert len(set(runs)) == len(runs)
    assert runs[1] == hashed(five, "validation.fold=0", "validation.repeats=2")
    seeds = {
        group_hash(config(five, f"validation.fold={fold}", f"seed={seed}"))
        for fold in (0, 1)
        for seed in (1, 2)
    }
    assert len(seeds) == 1


def test_a_fold_has_draws_of_its_own_that_all_configurations_share() -> None:
    def drawn(*words: str) -> int:
        return draw_seed(config(*words), "weights")

    five, rate = "validation.folds=5", "train.optimizer.learning_rate=0.3"
    assert drawn() == drawn(five) == seed_for(1, "weights")  # what runs without folds ever drew
    assert drawn(five, "validation.fold=0") == drawn(five, "validation.fold=0", rate)
    each = {drawn(five, f"validation.fold={fold}") for fold in range(5)}
    assert len(each | {drawn(), drawn(five, "validation.fold=0", "seed=2")}) == 7


def test_what_stands_in_place_of_the_seed_is_drawn_from_as_the_seed_is() -> None:
    apart = config("validation.folds=5", "validation.fold=2", "seed=1", "seeds.order=7")
    by_seed = config("validation.folds=5", "validation.fold=2", "seed=7")
    assert draw_seed(apart, "data", of="order") == draw_seed(by_seed, "data")
    assert draw_seed(apart, "data") == draw_seed(apart, "data", of="augmentation")
    drawn = reseeded(apart, "fold", 1)
    assert (drawn.seed, drawn.seeds.given) == (
        seed_for(1, "fold", 1),
        {"order": seed_for(7, "fold", 1)},
    )


def test_what_must_be_known_of_folds_is_said() -> None:
    official = source(train=np.arange(80), validation=np.arange(80, 100))
    [line] = folds.notes(config("validation.folds=3"), official)
    assert "its own validation images are shared out among the folds" in line
    assert len(folds.splits(config("validation.folds=3"), official)[0].validation) == 28
    stops = "train.early_stopping={patience: 1}"
    [line] = folds.notes(config("validation.folds=3", stops), source())
    assert line.startswith(
        "train.early_stopping: looks at the fold that the network is then scored"
    )
    assert folds.notes(config("validation.test_folds=3", stops), source()) == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["validation.folds=21"], "class 'c' has 16 images, fewer than the 21 folds"),
        (["validation.test_folds=21"], "class 'c' has 20 images, fewer than the 21 folds"),
        (["validation.test_folds=2", "validation.validation_fraction=0.5"], "less than 0.5"),
        (["validation.repeats=2", "validation.validation_fraction=0"], "no images to validate on"),
        (
            ["validation.test_folds=3", "validation.validation_fraction=0",
             "train.early_stopping={patience: 1}"],
            "train.early_stopping needs validation images",
        ),
    ],
)  # fmt: skip
def test_folds_that_cannot_be_are_refused(words: list[str], text: str) -> None:
    with pytest.raises(BadInput, match=text):
        prepare_fits(config(*words), source())


def test_an_official_test_part_stays_the_test() -> None:
    official = source(train=np.arange(80), test=np.arange(80, 120))
    with pytest.raises(BadInput, match=r"a test part of its own.*set validation\.folds instead"):
        folds.splits(config("validation.test_folds=3"), official)
    made = folds.splits(config("validation.folds=3"), official)
    assert all(np.array_equal(split.test, np.arange(80, 120)) for split in made)
    published = source(train=np.arange(80), validation=np.arange(80, 120))
    published.headline = "validation"
    with pytest.raises(BadInput, match="has a validation part of its own"):
        folds.splits(config("validation.test_folds=3"), published)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("validation={folds: 3, test_folds: 3}", "folds are either for validation or for the test"),
        ("validation.fold=1", "fold: 1, and there are none; set folds, or leave it out"),
        ("validation={folds: 3, fold: 3}", "fold: 3 of 3, which are counted from 0; set 2 or less"),
        ("validation.folds=200", "class '8' has 139 images, fewer than the 200 folds"),
        ("validation={folds: 2, repeats: 90000}", "180,000 folds, and 100,000 are the most"),
        ("sweep={validation.fold: [0, 1]}", "sweep.validation.fold: cannot be an axis"),
    ],
)
def test_a_command_refuses_them_in_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    word: str,
    text: str,
) -> None:
    path = write_config(tmp_path)
    command = "sweep" if word.startswith("sweep") else "train"
    assert text in refused(monkeypatch, capsys, command, path, word, "data.group_duplicates=false")
    assert not (tmp_path / ".ilsvrc" / "tiny").exists()


def test_a_search_has_folds_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    search = {"strategy": "grid", "space": {"train.epochs": [1, 2]}}
    path = write_config(tmp_path, search=search, validation={"test_folds": 3})
    assert "validation.test_folds: of train and sweep" in refused(
        monkeypatch, capsys, "search", path
    )
