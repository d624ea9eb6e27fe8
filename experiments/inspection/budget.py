"""Which networks, at which image size, this machine trains in the minutes that there are.

What is given up for time, in this order: pixels, the most expensive networks, half of the epochs,
channels, and at last a part of the training images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import models
from experiments.inspection.speed import RUN_SECONDS, START_SECONDS, UPDATE_SECONDS, Speed
from experiments.inspection.survey import Survey

SEEDS = (1, 2, 3)
SIDES = (224, 160, 128, 96, 64, 48, 32)  # in which images of different sizes are trained on
WIDTHS = (1.0, 0.5, 0.25, 0.125)  # of a network's channels, where whole ones take too long
ROOM = 48  # side up to which the networks for CIFAR's images are taken
LEAST_SIDE = 96  # that photographs are shrunk to before networks are made narrower
SMALL = ("lenet5", "nin_cifar", "plain20_cifar", "resnet20_cifar", "resnet56_cifar")
MEDIUM = ("lenet5", "zfnet", "vgg_a", "googlenet", "resnet18")
LARGE = ("alexnet", "vgg_a", "googlenet", "resnet18", "resnet50")
FEWEST = 3  # networks, or there is little to compare
UPDATES = 2000  # of a run, about: enough for these networks to tell themselves apart
EPOCHS = (10, 60)  # fewest and most
NEAR_MEMORY = 160  # side from which a batch is 64 at most


@dataclass(frozen=True)
class Work:
    """What is trained: networks at a size, so many epochs of a share of the training images."""

    size: tuple[int, int]
    width: float
    networks: tuple[str, ...]
    batch: int
    epochs: int
    share: float = 1.0

    @property
    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {} if self.width == 1 else {"width": self.width}
        if max(self.size) > ROOM:
            options["normalization"] = "batch"
        return options


def best(images: Survey, speed: Speed, minutes: float) -> Work:
    """The best of the candidates that this machine trains in so many minutes, about.

    Where it trains none in that time, the cheapest, on as many images as fit.
    """
    budget = 60 * minutes
    for work in _candidates(images):
        if seconds_of(work, images, speed) <= budget:
            return work
    return _thinned(work, images, speed, budget)


def seconds_of(work: Work, images: Survey, speed: Speed) -> float:
    """Seconds that all runs take together: every network with every seed."""
    train = work.share * images.training_images
    held_out = images.images - images.training_images
    reading = images.read_seconds  # of files, at every epoch
    total = 0.0
    for name in work.networks:
        macs, activation_bytes, params = counts(name, work, images.channels, images.classes)
        image = speed.image_seconds(macs, activation_bytes) + reading
        update = UPDATE_SECONDS + speed.update_seconds(params)
        epoch = train * image + math.ceil(train / work.batch) * update
        epoch += held_out * image / 3  # scored forward only
        total += START_SECONDS + len(SEEDS) * (work.epochs * epoch + RUN_SECONDS)
    return total


def counts(name: str, work: Work, channels: int, classes: int) -> tuple[int, int, int]:
    """Multiply-accumulates and bytes of activations of one image, and parameters."""
    return _counts(name, (*work.size, channels), classes, tuple(work.options.items()))


@cache
def _counts(
    name: str, shape: tuple[int, int, int], classes: int, options: tuple[tuple[str, Any], ...]
) -> tuple[int, int, int]:
    network = models.outline(name, input_shape=shape, classes=classes, **dict(options))
    profile = models.profile(network)
    return profile.macs, profile.activation_bytes, profile.params


def _candidates(images: Survey) -> Iterator[Work]:
    """From the best to the cheapest."""
    for width, sizes in _views(images).items():
        for part in (1, 2):
            works = [_whole(images, size, width, part) for size in sizes]
            for count in range(max(len(work.networks) for work in works), FEWEST - 1, -1):
                for work in works:
                    yield replace(work, networks=_cheapest(work, images, count))


def _thinned(work: Work, images: Survey, speed: Speed, budget: float) -> Work:
    """The same on a share of the training images, of ten a class at least."""
    without = seconds_of(replace(work, share=0.0), images, speed)
    whole = seconds_of(work, images, speed)
    least = max(0.01, min(1.0, 10 * images.classes / images.training_images))
    share = max(least, (budget - without) / (whole - without))
    digits = 10 ** (1 - math.floor(math.log10(share)))
    return replace(work, share=min(1.0, math.floor(share * digits) / digits))


def _views(images: Survey) -> dict[float, list[tuple[int, int]]]:
    """By the width of networks the sizes of images to try, the best first."""
    side = natural_side(images)
    sides = [(side, side), *((s, s) for s in SIDES if min(side, 64) <= s < side)]
    if isinstance(images.fixed_size, tuple) and min(images.fixed_size) == side:
        sides[0] = images.fixed_size
    large = [size for size in sides if min(size) >= min(side, LEAST_SIDE)]
    small = list(dict.fromkeys((large[-1], sides[-1])))
    return {width: large if width == 1 else small for width in WIDTHS}


def natural_side(images: Survey) -> int:
    """The side that the images themselves have, up to what networks were made for."""
    if images.fixed_size is not None:
        side = images.fixed_size if isinstance(images.fixed_size, int) else min(images.fixed_size)
        if side <= SIDES[0]:
            return side
    median = images.short_side[1]
    return next((side for side in SIDES if side <= median), SIDES[-1])


def _whole(images: Survey, size: tuple[int, int], width: float, part: int) -> Work:
    side = min(size)
    ladder = SMALL if side <= ROOM else MEDIUM if side < LEAST_SIDE else LARGE
    fitting = [n for n in ladder if max(models.card(n).smallest_input) <= side]
    if len(fitting) < FEWEST:  # images of a few pixels
        fitting = ["mlp", *(n for n in SMALL if max(models.card(n).smallest_input) <= side)]
    batch = 2 ** round(math.log2(max(1, images.training_images / 50)))
    batch = min(max(16, batch), 64 if side >= NEAR_MEMORY else 128)
    updates = images.training_images / batch
    epochs = min(max(EPOCHS[0], round(UPDATES / updates / 5) * 5), EPOCHS[1])
    return Work(size, width, tuple(fitting), batch, epochs // part)


def _cheapest(work: Work, images: Survey, count: int) -> tuple[str, ...]:
    """So many networks of the fewest multiply-accumulates, in their order."""
    cost = {n: counts(n, work, images.channels, images.classes)[0] for n in work.networks}
    kept = sorted(work.networks, key=cost.__getitem__)[:count]
    return tuple(name for name in work.networks if name in kept)
