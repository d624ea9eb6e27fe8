"""Learning rate as a function of the step, of every kind in `config.train.Schedule`."""

from __future__ import annotations

import math
from collections.abc import Mapping

from experiments.config.schema import Config
from experiments.config.train import Schedule


def base_rate(config: Config) -> float:
    """The rate after warm-up: train.optimizer.learning_rate, scaled to the batch as it says."""
    return config.train.optimizer.learning_rate * batch_scale(config)


def batch_scale(config: Config) -> float:
    """What the rates are multiplied by for the size of the batch.

    The ratio k of the batch to the one that the rate was found for (Goyal et al. 2017, section
    2.1), or the square root of k, which keeps the variance of an update (Krizhevsky 2014).
    """
    optimizer = config.train.optimizer
    if optimizer.learning_rate_for_batch is None:
        return 1.0
    ratio = config.data.batch_size / optimizer.learning_rate_for_batch
    return math.sqrt(ratio) if optimizer.learning_rate_scaling == "sqrt" else ratio


def learning_rate(
    schedule: Schedule,
    base: float,
    step: int,
    steps_per_epoch: int,
    epochs: int,
    scale: float = 1.0,
    updates: int | None = None,
) -> float:
    """The rate for one update.

    Args:
        schedule: its kind and parameters; plateau is `base` here (see Plateau).
        base: rate after warm-up.
        step: updates done so far, from 0.
        steps_per_epoch: updates an epoch.
        epochs: length that the schedule is made for, that of the run or more.
        scale: `base` over the rate as written, which other rates of the schedule share.
        updates: length in updates, in place of `epochs`.

    Warm-up is linear from base / warm-up steps to base (Goyal et al. 2017, section 2.2); cosine is
    Loshchilov and Hutter 2017 without restarts, over what remains after the warm-up. Exponential
    is base * rate ** (step / period), the power rounded down with a staircase (Szegedy et al. 2016,
    section 8: 0.94 every two epochs); the warm-up counts in the steps, as in TensorFlow. Polynomial
    is Caffe's poly, end + (base - end) * (1 - progress) ** power, over what remains after it.
    """
    warmup = round(schedule.warmup_epochs * steps_per_epoch)
    total = max(1, updates or epochs * steps_per_epoch)
    if step < warmup:
        return base * (step + 1) / warmup
    if schedule.name == "step":
        passed = sum(step >= round(milestone * total) for milestone in schedule.milestones)
        return base * schedule.factor**passed
    if schedule.name == "cosine":
        progress = (step - warmup) / max(1, total - warmup)
        floor = base * schedule.final_fraction
        return floor + (base - floor) * 0.5 * (1 + math.cos(math.pi * progress))
    if schedule.name == "exponential":
        assert schedule.rate is not None
        period = schedule.every_steps or round((schedule.every_epochs or 1) * steps_per_epoch)
        passed = step / max(1, period)
        passed = math.floor(passed) if schedule.staircase else passed
        return base * schedule.rate**passed
    if schedule.name == "polynomial":
        left = 1 - min(1.0, (step - warmup) / max(1, total - warmup))
        end = schedule.end * scale
        return end + (base - end) * left**schedule.power
    if schedule.name == "piecewise":
        unit = steps_per_epoch if schedule.unit == "epochs" else 1
        passed = [r for at, r in schedule.boundaries.items() if step >= round(float(at) * unit)]
        return passed[-1] * scale if passed else base
    if schedule.name == "one_cycle":
        return base * _one_cycle(schedule, step, total)
    return base


def _one_cycle(schedule: Schedule, step: int, total: int) -> float:
    """The rate over the highest: up half a cosine, then down half of one to the last update.

    Smith and Topin 2018 as PyTorch's OneCycleLR has it, two phases, without its turns of momentum.
    """
    peak, last = schedule.peak_at * total - 1, total - 1
    if step <= peak:
        ends, progress = (schedule.start_fraction, 1.0), step / peak if peak > 0 else 1.0
    else:
        ends, progress = (1.0, schedule.final_fraction), min(1.0, (step - peak) / (last - peak))
    return ends[1] + (ends[0] - ends[1]) * 0.5 * (1 + math.cos(math.pi * progress))


class Patience:
    """Counts the epochs since a score was last better, for whoever waits for one so long.

    Args:
        epochs: to wait.
        min_delta: by which a score must exceed the best one to be better.
    """

    def __init__(self, epochs: float, min_delta: float = 0.0):
        self.epochs, self.min_delta = epochs, min_delta
        self.best, self.waited = -math.inf, 0

    def improves(self, score: float) -> bool:
        """Hear of an epoch's score, of which more is better; is it better than the best so far?"""
        if score > self.best + self.min_delta:
            self.best, self.waited = score, 0
            return True
        self.waited += 1
        return False

    @property
    def exhausted(self) -> bool:
        return self.waited >= self.epochs


class Plateau:
    """Multiplies the rate by `factor` after `patience` epochs without a better validation loss.

    Or without a lower error: AlexNet's "divide the learning rate by 10 when the validation error
    rate stopped improving" (Krizhevsky et al. 2012, section 5), and VGG's (section 3.1).

    Args:
        schedule: of any kind, of which only a plateau is lowered.
        smallest: what the rate is never multiplied by less than.
    """

    def __init__(self, schedule: Schedule, smallest: float = 0.0):
        self.schedule, self.smallest = schedule, smallest
        self.scale = 1.0
        self.patience = Patience(schedule.patience)

    def update(self, loss: float) -> None:
        """Hear of an epoch's validation loss, or error: what there should be less of."""
        if self.schedule.name != "plateau":
            return
        if not self.patience.improves(-loss) and self.patience.exhausted:
            self.scale = max(self.scale * self.schedule.factor, min(self.smallest, 1.0))
            self.patience.waited = 0


class LearningRate:
    """The rate of every update of one fit: its schedule, lowered where validation stands still."""

    def __init__(self, config: Config, steps_per_epoch: int):
        self._schedule, self._base = config.train.schedule, base_rate(config)
        train = config.train
        self._epochs = self._schedule.epochs or train.epochs
        self._total = None if self._schedule.epochs else train.updates
        self._steps_per_epoch, self._scale = steps_per_epoch, batch_scale(config)
        written = config.train.optimizer.learning_rate
        self.warms_up = self._schedule.warmup is not None
        self.plateau = Plateau(self._schedule, self._schedule.smallest_rate / written)

    def hear(self, values: Mapping[str, float]) -> None:
        """Hear of what an epoch gave: train_loss, val_loss, val_top1."""
        monitor = self._schedule.monitor
        self.plateau.update(1 - values[monitor] if monitor == "val_top1" else values[monitor])

    def hear_train_error(self, error: float) -> None:
        """Hear of the error on the training images after an epoch, which may end the warm-up."""
        warmup = self._schedule.warmup
        self.warms_up = self.warms_up and warmup is not None and error >= warmup.until_train_error

    def at(self, step: int) -> float:
        """The rate for one update, from 0."""
        if self.warms_up and self._schedule.warmup:
            return self._schedule.warmup.rate * self._scale
        per_epoch = self._steps_per_epoch
        rate = learning_rate(
            self._schedule, self._base, step, per_epoch, self._epochs, self._scale, self._total
        )
        return self.plateau.scale * rate

    def of_epoch(self, epoch: int) -> list[float]:
        """The rate of each update of an epoch, from 0, that begins now."""
        first = epoch * self._steps_per_epoch
        return [self.at(step) for step in range(first, first + self._steps_per_epoch)]
