"""What is said of the images of a run: counts, classes and origin of each part, what is unequal."""

from __future__ import annotations

import numpy as np

from experiments.jobs.composition import composition, in_detail, in_words, lines, origins, remarks
from pipelines.sources.array_source import ArraySource
from pipelines.sources.base import Unused


def _source(labels, official=None):
    labels = np.array(labels)
    return ArraySource(
        np.zeros((len(labels), 2, 2, 1), np.uint8),
        labels,
        ["ant", "bee", "cat"],
        spec="drawn",
        official_splits=official,
    )


def test_counts_are_of_the_part_and_of_the_classes_that_it_has():
    source = _source([0] * 8 + [1] * 5 + [2] * 2)
    train, test = np.array([0, 1, 2, 3, 8, 9, 10, 13]), np.array([4, 5, 11, 14])
    parts = composition(source, train, None, test)
    assert list(parts) == ["train", "test"]
    assert parts["train"]["class_images"] == {"ant": 4, "bee": 3, "cat": 1}
    assert (parts["train"]["smallest"], parts["train"]["largest"]) == (1, 4)
    assert parts["train"]["median"] == 3
    assert parts["test"]["class_images"] == {"ant": 2, "bee": 1, "cat": 1}


def test_a_part_without_images_of_a_class_says_so():
    source = _source([0, 0, 1, 1, 2, 2])
    parts = composition(source, np.arange(6), np.array([0, 2]), None)
    assert parts["validation"]["classes"] == 2
    assert parts["validation"]["smallest"] == 1
    assert "2 val (held out, 1 classes have none)" in in_words(source, parts)


def test_a_part_is_official_only_where_all_of_it_is_the_sets_own():
    official = {"train": np.arange(6), "test": np.arange(6, 9)}
    source = _source([0, 1, 2] * 3, official)
    parts = composition(source, np.arange(3), np.arange(3, 6), np.arange(6, 9))
    assert origins(parts) == "train official, validation held out, test official"
    mixed = composition(source, np.arange(3), None, np.array([5, 6]))
    assert mixed["test"]["origin"] == "held out"
    assert in_words(source, parts) == (
        "3 classes (ant, bee, cat), "
        "3 train (official, 1 a class) + 3 val (held out) + 3 test (official) images"
    )
    assert in_detail(parts)[2] == (
        "test: 3 images of 3 classes, official; a class has 1 to 1, median 1"
    )


def test_what_is_unequal_left_out_or_unused_is_named():
    source = _source([0] * 9 + [1] * 3 + [2] * 4)
    source.unused = (Unused("loose", 5, "lie beside the class folders"),)
    source.notes = ("images are in data/train",)
    source.corrupt = [("ant/1.jpg", "is empty"), ("bee/2.jpg", "is empty")]
    said = lines(source, composition(source, np.arange(16), None, None))
    assert said == [
        "drawn: 3 classes (ant, bee, cat), 16 train (3 to 9 a class) images",
        "drawn: images are in data/train",
        "drawn: not used: 5 files in loose lie beside the class folders",
        "drawn: 2 corrupt images left out, such as ant/1.jpg, which is empty",
        "drawn: classes of unequal size: ant has 9 training images, bee 3; "
        "train.class_weights=balanced weighs them, and per-class accuracy tells more than top-1",
    ]


def test_nothing_is_said_of_classes_of_about_one_size():
    source = _source([0] * 5 + [1] * 3 + [2] * 4)
    assert remarks(source, composition(source, np.arange(12), None, None)) == []
