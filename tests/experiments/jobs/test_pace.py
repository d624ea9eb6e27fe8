"""How long fits will take, from what was seen: paces written by hand."""

from __future__ import annotations

import pytest

from experiments.config import settings
from experiments.jobs.composition import DATA
from experiments.jobs.job import Outcome
from experiments.jobs.pace import (
    IMAGE_MACS,
    Pace,
    Work,
    duration,
    pace_of,
    seconds_of,
    together,
    work_of,
)


def ended(macs: float, images_per_second: float, epochs: int) -> Outcome:
    cost = {"macs": macs, "train_images_per_second": images_per_second}
    data = {DATA: {"parts": {"train": {"images": 1000}}}}
    return Outcome(("cell", 0), "finished", {}, [{}] * epochs, cost, artifacts=data)


def test_a_heavier_network_takes_longer_by_its_macs_and_not_by_the_median():
    small = pace_of(ended(1e6, 10_000, 10), 9.0)  # 1 s of training, 8 s around it
    assert small is not None
    assert small.around == pytest.approx(8.0)
    large = Work(39e6, 20_000)  # 20 times the work of an image, twice the images
    assert seconds_of(large, [small]) == pytest.approx(8 + 2 * 20)
    assert seconds_of(large, []) is None


def test_networks_of_about_the_same_cost_tell_more_than_others():
    paces = [Pace(1e6, 1e-6, 0.0), Pace(40e6, 3e-6, 0.0), Pace(41e6, 5e-6, 0.0)]
    assert seconds_of(Work(40e6, 1), paces) == pytest.approx(41e6 * 4e-6)
    one_epoch = Pace(40e6, 1.0, 0.0, traced=False)
    assert seconds_of(Work(40e6, 1), [*paces, one_epoch]) == pytest.approx(41e6 * 4e-6)


def test_work_grows_with_the_square_of_the_image_and_with_every_epoch_stages_too():
    config = settings.parse({"model": {"name": "resnet20_cifar"}, "train": {"epochs": 3}})
    one, four = (work_of(config, (side, side, 3), 100) for side in (32, 64))
    assert four.macs == 4 * one.macs
    assert (one.images, one.amount) == (300, 300 * (one.macs + IMAGE_MACS))
    stage = {"model": {"name": "resnet20_cifar"}, "epochs": 2}
    staged = settings.parse(config.model_dump() | {"train": {"epochs": 3, "stages": [stage]}})
    assert work_of(staged, (32, 32, 3), 100) == Work(one.macs, 500)


def test_workers_share_the_fits_and_none_takes_half_of_one():
    assert together([10.0, 10.0, 10.0, 10.0], 2) == 20.0
    assert together([30.0, 1.0], 2) == 30.0
    assert [duration(s) for s in (0.2, 41, 700, 20_000)] == ["1 s", "41 s", "12 min", "5.6 h"]
