"""The rule of --scale, against numbers by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from experiments.config import settings
from experiments.optimization.schedules import LearningRate
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
SIXTEENTH = Fraction(1, 16)
NARROW = {"width": 0.5, "initializer": "he"}


def small_train(optimizer=None, **train):
    """The train section of a sixteenth, of 128 images of CIFAR-10 an update: 390.625 an epoch."""
    raw = {
        "data": {"image_size": 32, "batch_size": 128},
        "model": {"name": "resnet20_cifar"},
        "train": {"optimizer": optimizer or {"learning_rate": 0.1}, **train},
    }
    return rule.scaled(raw, SIXTEENTH, CIFAR10)["train"]


def small_schedule(optimizer=None, **schedule):
    return small_train(optimizer, epochs=160, schedule=schedule)["schedule"]


def test_a_sixteenth_by_hand():
    small = rule.scaled(BASE, SIXTEENTH, ILSVRC2012)
    assert small["data"] == {
        "image_size": 112,
        "batch_size": 64,
        "normalise": "mean_std",
    }  # x 1/2, x 1/4
    assert small["train"]["epochs"] == 40  # x 1/4
    assert small["train"]["schedule"] == {"name": "step", "warmup_epochs": 2.0}
    assert small["train"]["stages"] == [{"model": {"name": "vgg_a", "options": NARROW},
                                         "epochs": 4}]  # fmt: skip
    assert small["model"]["options"] == NARROW
    assert BASE["model"] == {"name": "vgg_a"}  # untouched


def test_every_rate_goes_by_the_root_of_the_batch():
    warmup = {"rate": 0.01, "until_train_error": 0.8}
    config = settings.parse({
        "data": {"source": "digits", "image_size": 32, "batch_size": 128},
        "model": {"name": "resnet20_cifar"},
        "train": {
            "epochs": 160, "optimizer": {"learning_rate": 0.1, "learning_rate_scaling": "linear",
                                         "learning_rate_for_batch": 128},
            "schedule": {"name": "piecewise", "boundaries": {"80": 0.02}, "warmup": warmup},
        },
    })  # fmt: skip
    raw = config.model_dump(mode="json", exclude_unset=True)
    small = settings.parse(rule.scaled(raw, SIXTEENTH, CIFAR10))  # 32 images: a quarter, half rate
    rates = LearningRate(small, steps_per_epoch=100)
    assert rates.at(0) == pytest.approx(0.005)
    rates.hear_train_error(0.7)
    assert [rates.at(0), rates.at(1999), rates.at(2000)] == pytest.approx([0.05, 0.05, 0.01])


def test_updates_are_counted_in_epochs_of_the_papers_images():
    train = small_train(
        updates=64_000,  # 163.84 epochs
        schedule={
            "name": "piecewise", "boundaries": {"32000": 0.01, "48000": 0.001}, "unit": "updates",
        },
    )  # fmt: skip
    assert "updates" not in train
    assert train["epochs"] == 41
    assert train["schedule"]["boundaries"] == {"20.5": 0.01, "30.75": 0.001}
    assert "unit" not in train["schedule"]
    few = small_train(updates=1_171_875, schedule={"name": "constant"})  # 3,000 epochs
    assert few["epochs"] == 750


def test_periods_of_a_schedule_shrink_with_the_epochs():
    exponential = {"name": "exponential", "rate": 0.94}
    assert small_schedule(**exponential, every_epochs=8)["every_epochs"] == 2.0
    by_steps = small_schedule(**exponential, every_steps=3125)  # 8 epochs
    assert by_steps == exponential | {"every_epochs": 2.0}
    assert small_schedule(name="piecewise", boundaries={"80": 0.01})["boundaries"] == {"20": 0.01}
    assert small_schedule(name="cosine", epochs=200)["epochs"] == 50
    polynomial = {"name": "polynomial", "power": 0.5, "end": 0.001}
    assert small_schedule(**polynomial) == polynomial  # a rate as written: it goes by the batch


def test_a_plateau_falls_at_fixed_parts_of_the_run():
    optimizer = {"learning_rate": 0.01}
    plateau = {"name": "plateau", "factor": 0.1, "patience": 5}
    falls = {"name": "step", "factor": 0.1, "milestones": [0.5, 0.75, 0.875]}
    assert small_schedule(optimizer, **plateau, smallest_rate=1e-5) == falls
    assert small_schedule(optimizer, **plateau) == falls
    two = small_schedule(optimizer, **plateau, smallest_rate=1e-4)
    assert two["milestones"] == [0.5, 0.75]


def test_kernels_that_a_table_draws_stay_as_drawn():
    raw = {**BASE, "model": {"name": "vgg_a", "options": {"initializer": "lecun"}}}
    options = rule.scaled(raw, SIXTEENTH, ILSVRC2012)["model"]["options"]
    assert options == NARROW | {"initializer": "lecun"}


def test_no_images_are_held_out_where_nothing_waits_for_their_error():
    small = rule.scaled(BASE, SIXTEENTH, ILSVRC2012)
    assert small["validation"] == {"validation_fraction": 0.0}
    tenth = {"validation_fraction": 0.1}
    assert rule.scaled({**BASE, "validation": tenth}, SIXTEENTH, ILSVRC2012)["validation"] == tenth


def test_heads_of_a_fixed_size_are_left_out():
    raw = {**BASE, "model": {"name": "googlenet", "options": {"auxiliary": True}}}
    options = rule.scaled(raw, SIXTEENTH, ILSVRC2012)["model"]["options"]
    assert options == NARROW


def test_one_is_the_papers_own():
    assert rule.scaled(BASE, Fraction(1), ILSVRC2012) == BASE


def test_nothing_falls_below_its_least_nor_rises():
    tiny = rule.scaled(BASE, Fraction(1, 10**6), ILSVRC2012)
    assert tiny["data"] == {"image_size": 32, "batch_size": 32, "normalise": "mean_std"}
    assert tiny["train"]["epochs"] == 5
    few = {**BASE, "train": {**BASE["train"], "epochs": 3, "stages": []}}
    assert rule.scaled(few, Fraction(1, 4), ILSVRC2012)["train"]["epochs"] == 3


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
