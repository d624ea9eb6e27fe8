"""AlexNet.

Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks,
NIPS 2012, sections 3 and 5.

Deviations (alexnet):
- Images are 227 x 227: the paper prints 224, from which its 55 x 55 maps of conv1 do not follow.
- The halves on two GPUs are the two groups of a grouped convolution on one device.
- Dropout doubles the kept units while training; the paper halves the outputs at test time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import layers

from models.blocks import Blocks
from models.choices import PAPER, Choices
from models.initializers import normal


class Convolution(NamedTuple):
    """One row of the paper's section 3.5."""

    name: str
    kernels: int
    size: int
    stride: int
    padding: str
    groups: int  # 2 where a kernel sees only the maps of its own GPU
    bias: float  # section 5: ones give the ReLUs positive inputs early on
    normalised: bool
    pooled: bool


CONVOLUTIONS = (
    Convolution("conv1", 96, 11, 4, "valid", 1, 0.0, True, True),
    Convolution("conv2", 256, 5, 1, "same", 2, 1.0, True, True),
    Convolution("conv3", 384, 3, 1, "same", 1, 0.0, False, False),
    Convolution("conv4", 384, 3, 1, "same", 2, 1.0, False, False),
    Convolution("conv5", 256, 3, 1, "same", 2, 1.0, False, True),
)
UNITS = 4096


def alexnet(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes); dropout after fc6 and fc7."""
    net = Blocks(choices, initializer=normal(0.01), dropout=0.5, multiple=2)
    x = images
    for row in CONVOLUTIONS:  # 55 x 55 x 96, 27 x 27 x 256, 13 x 13 x 384, x 384, x 256
        x = net.conv(
            x,
            row.kernels,
            row.size,
            strides=row.stride,
            padding=row.padding,
            groups=row.groups,
            bias=row.bias,
            name=row.name,
        )
        number = row.name.removeprefix("conv")
        if row.normalised:  # before the pooling; CaffeNet has it after
            x = net.response_norm(x, name=f"norm{number}")
        if row.pooled:  # 27 x 27 x 96, 13 x 13 x 256, 6 x 6 x 256
            x = net.pool(x, 3, 2, name=f"pool{number}")
    x = layers.Flatten(name="flatten")(x)  # 9216
    for number in ("6", "7"):
        x = net.dense(x, UNITS, bias=1.0, name=f"fc{number}")  # 4096
        x = net.drop(x, name=f"drop{number}")
    return net.logits(x, classes, name="fc8")
