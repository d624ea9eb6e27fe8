"""How long fits will take, from those that were seen on this machine.

Seconds of training follow images x (MACs + what any image costs); what a fit takes besides
(loading, tracing, scoring, measuring) does not, and is kept apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

import models
from experiments.config.schema import Config
from experiments.jobs.composition import DATA
from experiments.jobs.job import Outcome
from experiments.jobs.length import updates_an_epoch

IMAGE_MACS = 1e6
"""Time of an image apart from its network, in multiply-accumulates: small networks on digits."""
PASSES = 3
"""Forward passes that an image costs in training: backward takes two, for weights and inputs."""
ALIKE = 0.05
"""Difference of the logarithm of costs below which two networks cost the same."""


@dataclass(frozen=True)
class Work:
    """What a fit has to do."""

    macs: float
    """Of its network, one image."""
    images: float
    """Training images x epochs."""

    @property
    def amount(self) -> float:
        return self.images * (self.macs + IMAGE_MACS)


@dataclass(frozen=True)
class Pace:
    """How long a fit took."""

    macs: float
    rate: float
    """Seconds a unit of `Work.amount`."""
    around: float
    """Seconds that were no training."""
    traced: bool = True
    """Is the rate free of the first epoch, which holds the tracing?"""

    def seconds(self, work: Work) -> float:
        return self.around + self.rate * work.amount


def work_of(config: Config, input_shape: Sequence[int], images: int) -> Work:
    """What a fit on so many training images has to do, stages included; MACs as the cards have
    them, for images of this size and the network's width, since no network is built for it."""
    networks: list[tuple[Any, float]] = [
        (stage.model, stage.epochs) for stage in config.train.stages
    ]
    macs, epochs = [], []
    own: float = config.train.epochs
    if config.train.updates is not None:
        own = config.train.updates / updates_an_epoch(config, images)
    for model, count in [*networks, (config.model, own)]:
        card = models.card(model.name)
        area = math.prod(input_shape[:2]) / math.prod(card.input_shape[:2])
        width = model.options.get("width") or 1.0
        macs.append(card.macs * area * width**2)
        epochs.append(count)
    total = sum(epochs)
    mean = fmean(macs, epochs) if total else macs[-1]
    return Work(mean, images * total)


def pace_of(outcome: Outcome, seconds: float) -> Pace | None:
    """Of a fit that was measured and took so many seconds in all; None of any other."""
    try:
        macs, rate = outcome.cost["macs"], outcome.cost["train_images_per_second"]
        images = outcome.artifacts[DATA]["parts"]["train"]["images"]
    except KeyError:
        return None
    around = max(seconds - images * len(outcome.history) / rate, 0.0)
    return Pace(macs, 1 / (rate * (macs + IMAGE_MACS)), around, len(outcome.history) > 1)


def seconds_of(work: Work, paces: Iterable[Pace]) -> float | None:
    """What a fit will take, as those did whose networks cost about as much; None without any."""
    seen = list(paces)
    seen = [pace for pace in seen if pace.traced] or seen
    if not seen:
        return None

    def far(pace: Pace) -> float:
        return abs(math.log((pace.macs + IMAGE_MACS) / (work.macs + IMAGE_MACS)))

    nearest = min(map(far, seen))
    return median(pace.seconds(work) for pace in seen if far(pace) <= nearest + ALIKE)


def together(seconds: Sequence[float], workers: int) -> float:
    """How long fits take that are shared out among workers."""
    return max(sum(seconds) / workers, max(seconds, default=0.0))


def duration(seconds: float) -> str:
    """For people: 40 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
