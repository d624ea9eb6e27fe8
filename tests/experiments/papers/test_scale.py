"""The rule of --scale, against numbers by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from experiments.papers import scale as rule
from experiments.papers.declaration import CIFAR10, ILSVRC2012

BASE = {
    "data": {"image_size": 224, "batch_size": 256},
    "model": {"name": "vgg_a"},
    "train": {
        "epochs": 160,
        "optimizer": {"learning_rate": 0.1},
        "schedule": {"name": "step", "warmup_epochs": 8.0},
        "stages": [{"model": {"name": "vgg_a"}, "epochs": 16}],
    },
}


def test_a_sixteenth_by_hand():
    small = rule.scaled(BASE, Fraction(1, 16))
    assert small["data"] == {"image_size": 112, "batch_size": 64}  # x 1/2, x 1/4
    assert small["train"]["epochs"] == 40  # x 1/4
    assert small["train"]["schedule"]["warmup_epochs"] == 2.0
    assert small["train"]["stages"] == [{"model": {"name": "vgg_a", "options": {"width": 0.5}},
                                         "epochs": 4}]  # fmt: skip
    assert small["train"]["optimizer"]["learning_rate"] == pytest.approx(0.05)
    assert small["model"]["options"] == {"width": 0.5}
    assert BASE["model"] == {"name": "vgg_a"}  # untouched


def test_one_is_the_papers_own():
    assert rule.scaled(BASE, Fraction(1)) == BASE


def test_nothing_falls_below_its_least_nor_rises():
    tiny = rule.scaled(BASE, Fraction(1, 10**6))
    assert tiny["data"] == {"image_size": 32, "batch_size": 32}
    assert tiny["train"]["epochs"] == 5
    few = {**BASE, "train": {**BASE["train"], "epochs": 3, "stages": []}}
    assert rule.scaled(few, Fraction(1, 4))["train"]["epochs"] == 3


def test_what_is_asked_of_the_data():
    assert rule.wanted(CIFAR10, Fraction(1, 64)) == rule.Wanted(10, 625)
    assert rule.wanted(ILSVRC2012, Fraction(1, 64)) == rule.Wanted(16, 500)
    assert rule.wanted(ILSVRC2012, Fraction(1)) == rule.Wanted(1000, 1282)


def test_the_largest_scale_for_so_many_classes_and_the_smallest_for_so_many_pixels():
    largest = rule.largest_for(ILSVRC2012, 10)
    assert rule.wanted(ILSVRC2012, largest).classes == 10
    assert rule.wanted(ILSVRC2012, Fraction(1, largest.denominator - 1)).classes > 10
    assert rule.largest_for(ILSVRC2012, 3) is None
    smallest = rule.smallest_for(227, 67)
    assert rule.side(227, smallest) >= 67
    assert rule.side(227, Fraction(1, smallest.denominator + 1)) < 67
    assert rule.smallest_for(32, 67) is None
