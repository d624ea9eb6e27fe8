"""Learning-rate schedules against their formulas."""

from __future__ import annotations

import json
import math

import pytest

from experiments.config import settings
from experiments.config.data import Data
from experiments.config.identity import config_hash
from experiments.config.schema import Config
from experiments.config.train import Optimizer, Schedule, Train
from experiments.errors import BadInput
from experiments.optimization.schedules import LearningRate, Plateau, base_rate, learning_rate


def first(schedule, count, steps_per_epoch=10, epochs=4, base=0.1):
    return [learning_rate(schedule, base, s, steps_per_epoch, epochs) for s in range(count)]


def rates(schedule, steps_per_epoch=10, epochs=4, base=0.1):
    total = steps_per_epoch * epochs
    return [learning_rate(schedule, base, s, steps_per_epoch, epochs) for s in range(total)]


def test_constant():
    assert set(rates(Schedule())) == {0.1}


def test_warmup_is_linear_and_ends_at_the_base():
    got = rates(Schedule(warmup_epochs=1.0))
    assert got[:10] == pytest.approx([0.1 * (i + 1) / 10 for i in range(10)])
    assert set(got[9:]) == {0.1}


def test_step_divides_at_the_milestones():
    got = rates(Schedule(name="step", milestones=(0.5, 0.75), factor=0.1))
    assert got == pytest.approx([0.1] * 20 + [0.01] * 10 + [0.001] * 10)


def test_cosine_falls_from_base_to_the_floor_after_the_warmup():
    got = rates(Schedule(name="cosine", warmup_epochs=1.0, final_fraction=0.1))
    assert got[10] == pytest.approx(0.1)
    assert got[25] == pytest.approx(0.055)
    last = 0.01 + 0.09 * 0.5 * (1 + math.cos(math.pi * 29 / 30))
    assert got[-1] == pytest.approx(last)


def test_exponential_by_hand():
    """Szegedy et al. 2016, section 8: 0.94 every two epochs, at once; TensorFlow's, otherwise."""
    stairs = Schedule(name="exponential", rate=0.94, every_epochs=2)
    assert first(stairs, 10, steps_per_epoch=2, base=0.045) == pytest.approx(
        [0.045] * 4 + [0.0423] * 4 + [0.039762] * 2
    )
    smooth = Schedule(name="exponential", rate=0.25, every_steps=2, staircase=False)
    assert first(smooth, 5, base=0.8) == pytest.approx([0.8, 0.4, 0.2, 0.1, 0.05])
    # 0.7 epochs of 10 updates are 7.000000000000001 in floating point
    parts = Schedule(name="exponential", rate=0.5, every_epochs=0.7)
    assert first(parts, 10) == pytest.approx([0.1] * 7 + [0.05] * 3)
    warm = Schedule(name="exponential", rate=0.5, every_steps=4, warmup_epochs=0.3)
    assert first(warm, 9) == pytest.approx([0.1 / 3, 0.2 / 3, 0.1, 0.1, *[0.05] * 4, 0.025])


def test_polynomial_by_hand():
    """Caffe's poly: base * (1 - iteration / all) ** power; with an end, TensorFlow's."""
    root = Schedule(name="polynomial", power=0.5)
    assert first(root, 4, steps_per_epoch=4, epochs=1) == pytest.approx(
        [0.1, 0.1 * 0.75**0.5, 0.1 * 0.5**0.5, 0.05]
    )
    line = Schedule(name="polynomial", end=0.02, warmup_epochs=0.5)
    assert first(line, 8, steps_per_epoch=4, epochs=2, base=0.08) == pytest.approx(
        [0.04, 0.08, 0.08, 0.07, 0.06, 0.05, 0.04, 0.03]
    )


def test_piecewise_by_hand():
    """He et al. 2016, section 4.2: 0.1, divided by 10 at 32k and 48k updates; here 3 and 5."""
    words = "{name: piecewise, boundaries: {5: 0.001, 3: 0.01}, unit: updates}"
    rate = "train.optimizer.learning_rate=0.1"
    config = settings.parse(settings.override({}, [f"train.schedule={words}", rate]))
    assert list(config.train.schedule.boundaries) == ["3", "5"]
    rates = LearningRate(config, 4)
    assert [*rates.of_epoch(0), *rates.of_epoch(1)] == pytest.approx(
        [0.1] * 3 + [0.01] * 2 + [0.001] * 3
    )
    again = settings.parse(json.loads(config.model_dump_json()))
    assert config_hash(again) == config_hash(config)
    epochs = Schedule(name="piecewise", boundaries={"0.5": 0.02, "1": 0.3}, warmup_epochs=0.25)
    assert first(epochs, 7, steps_per_epoch=4) == [0.1, 0.1, 0.02, 0.02, 0.3, 0.3, 0.3]


def test_one_cycle_by_hand():
    """As torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=10, pct_start=0.3,
    div_factor=25, final_div_factor=100): the peak is update 2 from 0, the end update 9."""
    schedule = Schedule(name="one_cycle", final_fraction=0.04 / 100)
    got = first(schedule, 10, steps_per_epoch=5, epochs=2, base=1.0)
    assert got[:3] == pytest.approx([0.04, 0.52, 1.0])
    fall = [0.0004 + 0.9996 * (1 + math.cos(math.pi * i / 7)) / 2 for i in range(1, 8)]
    assert got[3:] == pytest.approx(fall)
    assert got[-1] == pytest.approx(0.0004)


def test_rates_of_a_schedule_scale_with_the_batch_as_the_first_one_does():
    rule = Optimizer(learning_rate=0.1, learning_rate_scaling="linear", learning_rate_for_batch=256)
    train = Train(epochs=1, optimizer=rule, schedule=Schedule(name="polynomial", end=0.02))
    rates = LearningRate(Config(data=Data(batch_size=512), train=train), 4)
    assert rates.of_epoch(0) == pytest.approx([0.2, 0.16, 0.12, 0.08])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("{name: exponential, rate: 0.94}", "one of every_epochs and every_steps"),
        ("{name: exponential, every_epochs: 2}", "exponential needs rate"),
        ("{name: exponential, rate: 0.9, every_epochs: 2, every_steps: 3}", "one of every_epochs"),
        ("{name: exponential, rate: 1.5, every_epochs: 2}", "less than 1"),
        ("{name: one_cycle, warmup_epochs: 1}", "one_cycle rises by itself"),
        ("{warmup_epochs: 1, warmup: {rate: 0.01, until_train_error: 0.8}}", "warmup_epochs excl"),
        ("{warmup: {rate: 0.01}}", "until_train_error"),
        ("{name: piecewise}", "piecewise needs boundaries, such as"),
        ("{name: piecewise, boundaries: {x: 0.1}}", "numbers above 0 as keys. Received: x"),
        ("{name: piecewise, boundaries: {0: 0.1}}", "numbers above 0 as keys. Received: 0"),
        ("{name: piecewise, boundaries: {2: -0.1}}", "boundaries"),
        ("{name: piecewise, boundaries: {2.5: 0.1}, unit: updates}", "2.5 is no whole number"),
    ],
)
def test_what_a_kind_needs_is_said_in_a_line(words, says):
    with pytest.raises(BadInput, match=says) as error:
        settings.parse(settings.override({}, [f"train.schedule={words}"]))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(name="exponential", rate=0.9, every_epochs=1.5),
        Schedule(name="one_cycle", peak_at=0.25),
        Schedule(name="piecewise", boundaries={"2": 0.1, "3.5": 0.001}),
        Schedule(name="polynomial", power=2.0, end=0.001, warmup_epochs=1.0),
        Schedule(name="cosine", warmup_epochs=1.5, final_fraction=0.01),
        Schedule(name="step", milestones=(0.3, 0.8)),
        Schedule(warmup_epochs=3.0),
        Schedule(name="plateau", warmup_epochs=1.0),
    ],
)
def test_a_run_that_ends_before_its_schedule_has_the_first_of_its_rates(schedule):
    whole = LearningRate(Config(train=Train(epochs=10, schedule=schedule)), 7)
    short = schedule.model_copy(update={"epochs": 10})
    part = LearningRate(Config(train=Train(epochs=4, schedule=short)), 7)
    assert [part.of_epoch(e) for e in range(4)] == [whole.of_epoch(e) for e in range(4)]


def test_a_schedule_lasts_as_long_as_its_run():
    words = ["train.epochs=5", "train.schedule={name: cosine, epochs: 4}"]
    with pytest.raises(BadInput, match=r"schedule\.epochs: .*5 epochs\. Received: 4"):
        settings.parse(settings.override({}, words))
    assert settings.parse(settings.override({}, [*words, "train.epochs=4"])).train.epochs == 4


def test_plateau_divides_after_patience_epochs_without_a_better_loss():
    plateau = Plateau(Schedule(name="plateau", patience=2, factor=0.5))
    scales = []
    for loss in (1.0, 0.9, 0.95, 0.9, 0.8, 0.9, 0.9, 0.9, 0.9):
        plateau.update(loss)
        scales.append(plateau.scale)
    assert scales == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_plateau_by_validation_error_down_to_the_smallest_rate():
    """AlexNet: 0.01, divided by 10 three times before the end. The loss falls all along, so that
    only the error may lower the rate; 0.00002 is the smallest asked for."""
    words = [
        "train.schedule={name: plateau, monitor: val_top1, patience: 1, smallest_rate: 0.00002}",
        "train.optimizer={learning_rate: 0.01, learning_rate_scaling: linear, "
        "learning_rate_for_batch: 128}",
        "data.batch_size=256",
    ]
    rates = LearningRate(settings.parse(settings.override({}, words)), 2)
    got = []
    for epoch, top1 in enumerate((0.3, 0.4, 0.4, 0.5, 0.5, 0.4, 0.5)):
        got += rates.of_epoch(epoch)
        rates.hear({"train_loss": 1.0, "val_loss": 1.0 - 0.1 * epoch, "val_top1": top1})
    expected = [0.02, 0.02, 0.02, 0.002, 0.002, 0.0002, 0.00004]
    assert got == pytest.approx([rate for rate in expected for _ in range(2)])


def test_a_warm_up_that_ends_by_training_error():
    """He et al. 2016, section 4.2: 0.01 until the training error is below 80 %, then 0.1, divided
    by 10 at an update counted from the first."""
    schedule = (
        "train.schedule={name: piecewise, boundaries: {7: 0.01}, unit: updates, "
        "warmup: {rate: 0.02, until_train_error: 0.8}}"
    )
    config = settings.parse(settings.override({}, [schedule, "train.optimizer.learning_rate=0.1"]))
    rates, got = LearningRate(config, 2), []
    for epoch, error in enumerate((0.9, 0.8, 0.79, 0.95)):
        got += rates.of_epoch(epoch)
        rates.hear_train_error(error)
    assert got == pytest.approx([0.02] * 6 + [0.1, 0.01])


def test_other_schedules_do_not_hear_of_a_plateau():
    plateau = Plateau(Schedule(name="cosine", patience=1))
    plateau.update(1.0)
    plateau.update(1.0)
    assert plateau.scale == 1


@pytest.mark.parametrize(
    ("scaling", "reference", "expected"),
    [("none", None, 0.1), ("linear", 256, 0.8), ("sqrt", 256, 0.1 * math.sqrt(8))],
)
def test_the_rate_scales_with_the_batch(scaling, reference, expected):
    rule = Optimizer(
        learning_rate=0.1, learning_rate_scaling=scaling, learning_rate_for_batch=reference
    )
    config = Config(data=Data(batch_size=2048), train=Train(optimizer=rule))
    assert base_rate(config) == pytest.approx(expected)


@pytest.mark.parametrize(("key", "value"), [("scaling", "sqrt"), ("for_batch", 9)])
def test_a_scaling_needs_its_batch_and_a_batch_its_scaling(key, value):
    with pytest.raises(ValueError, match="learning_rate_scaling and learning_rate_for_batch go to"):
        Optimizer(**{f"learning_rate_{key}": value})
