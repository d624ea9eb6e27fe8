"""AlexNet, in the paper's form and two in use since.

Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks,
NIPS 2012, sections 3 and 5. One tower of other widths: Krizhevsky, One weird trick for
parallelizing convolutional neural networks (arXiv:1404.5997), as released by torchvision.

Deviations (alexnet, alexnet_ungrouped):
- Images are 227 x 227: the paper prints 224, from which its 55 x 55 maps of conv1 do not follow.
- Dropout doubles the kept units while training; the paper halves the outputs at test time.

Deviations (alexnet):
- The halves on two GPUs are the two groups of a grouped convolution on one device.

Deviations (alexnet_ungrouped):
- Every kernel sees all maps before it, as in many accounts of AlexNet; the paper's see half.

Deviations (alexnet_owt):
- No adaptive pooling to 6 x 6: it changes nothing at 224 x 224; off it, fc6 takes what is there.
- Kernels are drawn as PyTorch draws them, within 1/sqrt(fan_in); its biases too, ours are zero.
- torchvision's network: its dropout comes before fc6 and fc7, and it has no response normalisation.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, NamedTuple

import keras
from keras import layers

from models import options
from models.architectures.blocks import Blocks
from models.choices import PAPER, Choices
from models.layers.initializers import Initializer, normal


class Convolution(NamedTuple):
    """One row of the paper's section 3.5."""

    name: str
    kernels: int
    size: int
    stride: int
    padding: str | int
    groups: int  # 2 where a kernel sees only the maps of its own GPU
    bias: float | None  # section 5: ones give the ReLUs positive inputs early on
    normalised: bool
    pooled: bool


TWO_GPUS = (
    Convolution("conv1", 96, 11, 4, "valid", 1, 0.0, True, True),
    Convolution("conv2", 256, 5, 1, "same", 2, 1.0, True, True),
    Convolution("conv3", 384, 3, 1, "same", 1, 0.0, False, False),
    Convolution("conv4", 384, 3, 1, "same", 2, 1.0, False, False),
    Convolution("conv5", 256, 3, 1, "same", 2, 1.0, False, True),
)
ONE_GPU = tuple(row._replace(groups=1) for row in TWO_GPUS)
ONE_WEIRD_TRICK = (
    Convolution("conv1", 64, 11, 4, 2, 1, None, False, True),
    Convolution("conv2", 192, 5, 1, "same", 1, None, False, True),
    Convolution("conv3", 384, 3, 1, "same", 1, None, False, False),
    Convolution("conv4", 256, 3, 1, "same", 1, None, False, False),
    Convolution("conv5", 256, 3, 1, "same", 1, None, False, True),
)
UNITS = 4096


def alexnet(
    images: Any, classes: int, *, choices: Choices = PAPER, overlapping: bool = True
) -> Any:
    """The paper's: images (batch, h, w, c) -> logits (batch, classes).

    Without `overlapping` the pooling windows are 2 x 2, as wide as their stride (section 3.4).
    """
    net = Blocks(choices, initializer=normal(0.01), dropout=0.5, multiple=2)
    return _of_2012(net, images, classes, TWO_GPUS, overlapping)


def alexnet_ungrouped(
    images: Any, classes: int, *, choices: Choices = PAPER, overlapping: bool = True
) -> Any:
    """One tower, no groups (+1,413,120 parameters): (batch, h, w, c) -> (batch, classes)."""
    net = Blocks(choices, initializer=normal(0.01), dropout=0.5)
    return _of_2012(net, images, classes, ONE_GPU, overlapping)


def alexnet_owt(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """One weird trick, torchvision's alexnet: (batch, h, w, c) -> (batch, classes)."""
    net = Blocks(choices, initializer=_torch_default, dropout=0.5)
    x = _features(net, images, ONE_WEIRD_TRICK)  # 6 x 6 x 256
    x = layers.Flatten(name="flatten")(x)  # 9216
    for number in ("6", "7"):
        x = net.drop(x, name=f"drop{number}")
        x = net.dense(x, UNITS, name=f"fc{number}")  # 4096
    return net.logits(x, classes, name="fc8")


def _of_2012(
    net: Blocks, images: Any, classes: int, rows: tuple[Convolution, ...], overlapping: bool
) -> Any:
    """Dropout after fc6 and fc7, whose biases start at one."""
    window = 3 if options.flag("overlapping", overlapping) else 2
    x = _features(net, images, rows, window)  # 6 x 6 x 256
    x = layers.Flatten(name="flatten")(x)  # 9216
    hidden = replace(net, bias=1.0)
    for number in ("6", "7"):
        x = hidden.dense(x, UNITS, name=f"fc{number}")  # 4096
        x = net.drop(x, name=f"drop{number}")
    return net.logits(x, classes, name="fc8")


def _features(net: Blocks, x: Any, rows: tuple[Convolution, ...], window: int = 3) -> Any:
    for row in rows:  # 55 x 55 x 96, 27 x 27 x 256, 13 x 13 x 384, x 384, x 256
        grouped = functools.partial(layers.Conv2D, groups=row.groups)
        x = replace(net, bias=row.bias, convolution=grouped).conv(
            x, row.kernels, row.size, strides=row.stride, padding=row.padding, name=row.name
        )
        number = row.name.removeprefix("conv")
        if row.normalised:  # before the pooling; CaffeNet has it after
            x = net.response_norm(x, name=f"norm{number}")
        if row.pooled:  # 27 x 27 x 96, 13 x 13 x 256, 6 x 6 x 256
            x = net.pool(x, window, 2, name=f"pool{number}")
    return x


def _torch_default() -> Initializer:
    """Uniform on +-1 / sqrt(fan_in)."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
