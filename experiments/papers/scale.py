"""The one rule by which a table is made smaller, S from 0 to 1; 1 is the paper's own.

| what | becomes | never below |
|---|---|---|
| classes | x S | 10, or all |
| images of a class | x sqrt(S) | 500, or all |
| side of the images | x S^(1/4) | 32 pixels, or the paper's |
| width (channels, units) | x S^(1/4) | |
| epochs, and those of warm-up, stages and schedule | x sqrt(S) | 5, or the paper's |
| images an update | x sqrt(S) | 32, or the paper's |
| rates | x sqrt(images an update here / the paper's) | |
| falls where the error stands still | after 1/2, 3/4 and 7/8 of the run, as many as there are | |
| auxiliary heads | left out | |
| pixels, first kernels | by mean and deviation, He et al. 2015 | |

So an image costs S times as much, and S times as many are shown of as many classes, in about
sqrt(S) times as many updates. What a paper counts in updates is counted in epochs of its images
first. The rate goes by the root (Krizhevsky 2014, arXiv:1404.5997, section 5): there is no time to
make up for a rate that is too low. A few hundred validation images do not tell when an error stands
still. Sides of crops follow the image's; heads have poolings of a fixed size. Kernels drawn with a
deviation that was found for wide layers and pixels up to 255 let the signal of narrow ones die out:
AlexNet's 0.01 at a third of its width learns nothing.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from experiments.errors import BadInput
from experiments.papers.declaration import Images

FEWEST_CLASSES, FEWEST_IMAGES, SMALLEST_SIDE, FEWEST_EPOCHS, SMALLEST_BATCH = 10, 500, 32, 5, 32
"""FEWEST_IMAGES of a class."""
DEFAULT = "1/64"
FALLS = (0.5, 0.75, 0.875)
"""Fractions of a run after which the rate falls, where the paper's waits for its error."""


@dataclass(frozen=True)
class Wanted:
    """What a scale asks of the data."""

    classes: int
    images_of_class: int


def parsed(text: str) -> Fraction:
    """1, 1/64 or 0.1. Raises BadInput: no number above 0 and up to 1."""
    try:
        scale = Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        scale = Fraction(0)
    if not 0 < scale <= 1:
        raise BadInput(f"--scale: expected 1, or a part of it such as {DEFAULT}. Received: {text}")
    return scale


def wanted(images: Images, scale: Fraction) -> Wanted:
    """Classes, and training images of each."""
    of_class = math.ceil(images.train / images.classes)
    return Wanted(
        shrunk(images.classes, float(scale), FEWEST_CLASSES),
        shrunk(of_class, math.sqrt(scale), FEWEST_IMAGES),
    )


def shrunk(count: float, factor: float, least: float) -> int:
    """A count by the rule: never below `least`, unless the paper's own is."""
    return max(round(count * factor), round(min(count, least)))


def side(pixels: int, scale: Fraction) -> int:
    """Of the images."""
    return shrunk(pixels, float(scale) ** 0.25, SMALLEST_SIDE)


def scaled(raw: Mapping[str, Any], scale: Fraction, images: Images) -> dict[str, Any]:
    """The sections of a config at a scale, but for what depends on the data (`wanted`).

    `data.image_size`, `data.batch_size`, the length of the run and `train.optimizer.learning_rate`
    must be there.

    Args:
        images: the paper's, which updates are counted over.
    """
    small = copy.deepcopy(dict(raw))
    if scale == 1:
        return small
    data, train = small["data"], small["train"]
    an_epoch = images.train / data["batch_size"]  # updates
    train["optimizer"]["learning_rate_scaling"] = "sqrt"
    train["optimizer"].setdefault("learning_rate_for_batch", data["batch_size"])
    data["image_size"] = side(data["image_size"], scale)
    data["normalise"] = "mean_std"
    data["batch_size"] = shrunk(data["batch_size"], math.sqrt(scale), SMALLEST_BATCH)
    updates = train.pop("updates", None)
    epochs = updates / an_epoch if updates else train["epochs"]
    train["epochs"] = shrunk(epochs, math.sqrt(scale), FEWEST_EPOCHS)
    shorter = train["epochs"] / epochs
    if schedule := train.get("schedule"):
        train["schedule"] = _schedule(schedule, shorter, an_epoch, train["optimizer"])
    small.setdefault("validation", {"validation_fraction": 0.0})  # nothing waits for it any more
    networks = [small["model"], *(stage["model"] for stage in train.get("stages", ()))]
    for stage in train.get("stages", ()):
        stage["epochs"] = max(1, round(stage["epochs"] * shorter))
    for network in networks:
        options = network.setdefault("options", {})
        options["width"] = _rounded(options.get("width", 1.0) * float(scale) ** 0.25)
        options.setdefault("initializer", "he")
        options.pop("auxiliary", None)
    return small


def _schedule(
    schedule: Mapping[str, Any], shorter: float, an_epoch: float, optimizer: Mapping[str, Any]
) -> dict[str, Any]:
    """A schedule of so many times the epochs; rates in it go by the batch, as written.

    Args:
        an_epoch: updates of one, of the paper.
    """
    if schedule["name"] == "plateau":
        return _falls(schedule, optimizer) | _shorter_warmup(schedule, shorter)
    small = dict(schedule) | _shorter_warmup(schedule, shorter)
    if steps := small.pop("every_steps", None):
        small["every_epochs"] = steps / an_epoch
    if small.get("every_epochs"):
        small["every_epochs"] = _rounded(small["every_epochs"] * shorter)
    if small.get("epochs"):
        small["epochs"] = max(1, math.ceil(small["epochs"] * shorter))
    if "boundaries" in small:
        each = an_epoch if small.pop("unit", "epochs") == "updates" else 1.0
        small["boundaries"] = {
            f"{_rounded(float(at) / each * shorter):g}": rate
            for at, rate in small["boundaries"].items()
        }
    return small


def _falls(plateau: Mapping[str, Any], optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """Steps in place of a plateau: `factor` as often as `smallest_rate` allows, at most thrice."""
    factor, smallest = plateau.get("factor", 0.1), plateau.get("smallest_rate", 0.0)
    falls = len(FALLS)
    if smallest:
        falls = min(falls, round(math.log(smallest / optimizer["learning_rate"], factor)))
    return {"name": "step", "milestones": list(FALLS[:falls]), "factor": factor}


def _shorter_warmup(schedule: Mapping[str, Any], shorter: float) -> dict[str, float]:
    warmup = schedule.get("warmup_epochs")
    return {"warmup_epochs": _rounded(warmup * shorter)} if warmup else {}


def _rounded(value: float) -> float:
    """To four digits."""
    return float(f"{value:.4g}")


def largest_for(images: Images, classes: int) -> Fraction | None:
    """The largest scale, as 1 over a whole number, that asks for so many classes; None: there is
    none, as `FEWEST_CLASSES` are more."""
    if classes < min(images.classes, FEWEST_CLASSES):
        return None
    return next(
        Fraction(1, parts)
        for parts in range(1, images.classes + 1)
        if wanted(images, Fraction(1, parts)).classes <= classes
    )


def smallest_for(pixels: int, least: int) -> Fraction | None:
    """The smallest scale, as 1 over a whole number, that leaves images of `least` pixels; None:
    there is none, as those of the paper are smaller."""
    if pixels < least:
        return None
    if least <= SMALLEST_SIDE:
        return Fraction(0)
    parts = int((pixels / (least - 0.5)) ** 4)
    while parts > 1 and side(pixels, Fraction(1, parts)) < least:
        parts -= 1
    return Fraction(1, max(parts, 1))
