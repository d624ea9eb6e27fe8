"""What the names of shards say: their split, and whether one is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import SourceError
from pipelines.sources.records.shards import check_complete, chosen_splits, parts_of, shard_of
from pipelines.sources.records.spec import expanded
from pipelines.sources.spec import place_and_settings

ROOT = Path("/sets")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000-of-00294.parquet", "train"),
        ("data/train-00000-of-00002-0123456789abcdef.parquet", "train"),
        ("default/validation/0000.parquet", "validation"),
        ("cifar10-test.arrow", "test"),
        ("cifar10-train-00000-of-00002.arrow", "train"),
        ("imagenet1k-train-0000.tar", "train"),
        ("imagenet-val-000000.tar", "val"),
        ("TRAIN_07.tar.gz", "TRAIN"),
        ("test/3.tar", "test"),
        ("my.set-train.tfrecord-00000-of-00001", "train"),
        ("validation-00000-of-00128", "validation"),
        ("train/07-224x224-786.tfrec", "train"),
        ("trainer-0.tar", "trainer"),
        ("unsupervised-00000-of-00001.parquet", "unsupervised"),
        ("00000.tar", ""),
        ("data-00000-of-00002.arrow", ""),
    ],
)
def test_the_split_of_a_name(name, split):
    assert shard_of(ROOT / name, ROOT).split == split


def test_the_word_itself_is_preferred_and_others_are_left_out():
    chosen, left = chosen_splits(["val", "dev", "Train", "validation", "extra", "testing"])
    assert chosen == {"train": "Train", "validation": "validation", "test": "testing"}
    assert set(left) == {"val", "dev", "extra"}
    assert chosen_splits(["test", "validation"]) == ({}, {})


def test_files_of_a_set_without_splits_are_one_part():
    parts, left = parts_of([shard_of(ROOT / f"{name}.tar", ROOT) for name in ("b-1", "a-0", "a-1")])
    assert left == []
    assert [(part.part, part.split) for part in parts] == [("", "")]
    assert [path.name for path in parts[0].paths] == ["a-0.tar", "a-1.tar", "b-1.tar"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a-00000-of-00002", "a-00001-of-00002", "b-00000-of-00001"], ""),
        (["a-00001-of-00002", "a-00002-of-00002"], ""),  # counted from 1
        (["a-00001-of-00003", "a-00003-of-00003"], "1 of the 3 .* number 2 first"),
        (["a-00000-of-99999999999999"], "of the 99999999999999 shards .* number 1 first"),
        (["a-00000-of-00002", "a-00000-of-00001"], "two versions of a set"),
        (["a-00000-of-00001-0123456789abcdef", "a-00000-of-00001-fedcba9876543210"], "the same"),
        (["0.tar", "1.tar", "2.tar"], ""),
        (["0.tar", "2.tar"], "1 of the 3 shards like 0.tar are missing, number 1"),
        (["set-2012.tar", "set-2019.tar"], ""),  # years, not numbers that run on
        (["00-224-512.tfrec", "01-224-512.tfrec", "02-224-300.tfrec"], ""),
        (["train/0.tar", "test/0.tar", "test/1.tar"], ""),
        (["one.tar", "two.tar"], ""),
    ],
)
def test_shards_that_are_missing(names, said):
    paths = [ROOT / name for name in names]
    if not said:
        check_complete("wds", paths)
        return
    with pytest.raises(SourceError, match=said) as error:
        check_complete("wds", paths)
    assert "\n" not in str(error.value)


def test_braces_are_those_of_a_shell():
    assert expanded("a-{08..11}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
    assert expanded("{a,b}-{0..1}") == ["a-0", "a-1", "b-0", "b-1"]
    assert expanded("plain.tar") == ["plain.tar"]


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("", "expected a place, received none"),
        ("DIR,lable=x", r"unknown setting 'lable' \(did you mean 'label'\?\)"),
        ("DIR,label=a,label=b", "label is given twice"),
        ("DIR,label=", "label: expected a value"),
    ],
)
def test_settings_that_cannot_be(rest, said):
    with pytest.raises(SourceError, match=said):
        place_and_settings("hf", rest, {"label": (), "image": ()}, "hf:DIR")


def test_a_place_may_hold_commas(tmp_path):
    known = {"label": ()}
    assert place_and_settings("hf", "a,b/c, label = x", known, "") == ("a,b/c", {"label": "x"})
    odd = tmp_path / "a,label=b"
    odd.mkdir()
    assert place_and_settings("hf", f"{odd},label=x", known, "") == (str(odd), {"label": "x"})
