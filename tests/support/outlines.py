"""Networks at their papers' sizes, outlined and counted once a process: to read only."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest

import models

# Of networks that differ in their number of equal blocks the deeper, and the slowest Inceptions.
DEEP = {"vgg_b", "vgg16", "vgg19", "resnet34", "plain34", "resnet101", "resnet152",
        "resnet101_v1_5", "resnet152_v1_5", "resnet101_v2", "resnet152_v2", "resnet32_cifar",
        "resnet44_cifar", "resnet56_cifar", "resnet110_cifar", "plain56_cifar", "inception_v2",
        "inception_v4", "inception_resnet_v2"}  # fmt: skip


def marked(names: Iterable[str]) -> list[Any]:
    """Parameters of a test: the deep networks with `-m full` only."""
    marks = dict.fromkeys(DEEP, (pytest.mark.full,))
    return [pytest.param(name, id=name, marks=marks.get(name, ())) for name in names]


STATISTICS = ("moving_mean", "moving_variance")


class Counted(NamedTuple):
    """`statistics`: numbers in the moving averages, which training never moves."""

    name: str
    input_shape: Any
    output_shape: Any
    statistics: int
    cost: models.Profile


@functools.cache
def counted(name: str, **options: Any) -> Counted:
    """What is asked of a network of hundreds of layers, which is not kept itself."""
    model = models.outline(name, **options)
    moving = [weight for weight in model.weights if weight.name in STATISTICS]
    return Counted(
        model.name,
        model.input_shape,
        model.output_shape,
        sum(math.prod(weight.shape) for weight in moving),
        models.profile(model),
    )
