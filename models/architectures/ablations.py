"""Small pairs of networks that differ in one idea, for images of about 32 x 32.

Stacks against large windows: Simonyan, Zisserman 2015 (arXiv:1409.1556), section 2.3. Three 3x3
convolutions of C maps see 7 x 7 pixels and have 27 C^2 weights, one 7x7 has 49 C^2.

Weights shared over positions against weights of their own: `convolutional` and `fully_connected`
have equal numbers of parameters (288,298 and 288,935 at 32 x 32 x 3 and ten classes).
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from keras import layers

from models.architectures.blocks import Blocks
from models.choices import PAPER, Choices

STACK_FILTERS = (32, 64, 128)
CONVOLUTIONS = ((32, 32), (64, 64), (128, 128))  # 3x3, halved after each pair


def stack_of_3x3(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """Three stages of three 3x3 convolutions: (batch, h, w, c) -> (batch, classes)."""
    return _stages(images, classes, choices, kernels=(3, 3, 3))


def single_7x7(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """As `stack_of_3x3` with one 7x7 for each three: 22 C^2 more weights a stage."""
    return _stages(images, classes, choices, kernels=(7,))


def _stages(images: Any, classes: int, choices: Choices, kernels: tuple[int, ...]) -> Any:
    """A 1x1 convolution to C maps begins each stage, so that those compared go from C to C."""
    net = Blocks(choices)
    x = images
    for stage, filters in enumerate(STACK_FILTERS, start=1):
        x = net.conv(x, filters, 1, name=f"conv{stage}_0")
        for number, kernel in enumerate(kernels, start=1):
            x = net.conv(x, filters, kernel, name=f"conv{stage}_{number}")  # 32 x 32, 16, 8
        if stage < len(STACK_FILTERS):
            x = net.pool(x, 2, name=f"pool{stage}")
    x = layers.GlobalAveragePooling2D(name="gap")(x)  # 128
    x = net.drop(x, name="drop")
    return net.logits(x, classes, name="output")


def convolutional(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """Six 3x3 convolutions: (batch, h, w, c) -> (batch, classes)."""
    net = Blocks(choices)
    x = images
    for stage, filters in enumerate(CONVOLUTIONS, start=1):
        for number, count in enumerate(filters, start=1):
            x = net.conv(x, count, 3, name=f"conv{stage}_{number}")  # 32 x 32, 16, 8
        if stage < len(CONVOLUTIONS):
            x = net.pool(x, 2, name=f"pool{stage}")
    x = layers.GlobalAveragePooling2D(name="gap")(x)  # 128
    x = net.drop(x, name="drop")
    return net.logits(x, classes, name="output")


def fully_connected(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """Two equal hidden layers, as wide as the parameters of `convolutional` allow.

    (batch, h, w, c) -> (batch, classes). Within 1 % up to 32 x 32 x 3 at width 1; further off on
    larger images, where one unit more is many parameters.
    """
    net = Blocks(choices)
    units = _units(net, math.prod(images.shape[1:]), images.shape[-1], classes)
    x = layers.Flatten(name="flatten")(images)  # 3072
    for number in (1, 2):
        x = net.dense(x, units, normalise=True, exact=True, name=f"fc{number}")  # 91
    x = net.drop(x, name="drop")
    return net.logits(x, classes, name="output")


def _units(net: Blocks, pixels: int, channels: int, classes: int) -> int:
    """The h for which (pixels + 1) h + (h + 1) h + (h + 1) classes comes nearest, at least 1."""
    maps = [channels, *(net.width(count) for stage in CONVOLUTIONS for count in stage)]
    wanted = sum(9 * a * b + b for a, b in itertools.pairwise(maps))
    wanted += (maps[-1] + 1) * classes
    half = (pixels + 2 + classes) / 2
    return max(1, round(math.sqrt(half**2 + wanted - classes) - half))
