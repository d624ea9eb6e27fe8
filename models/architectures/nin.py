"""Network in Network.

Lin, Chen, Yan: Network In Network, ICLR 2014 (arXiv:1312.4400), section 4; layer sizes from the
authors' released CIFAR-10 and ImageNet networks.

Deviations (nin_cifar):
- The second pooling averages, as in the released network; the paper's text says max pooling.
- GCN and ZCA whitening of the images, behind the published 10.41 %, are not in the network.

Deviations (nin):
- The authors' released ImageNet network; the paper has none.

Deviations:
- No ReLU on the class maps before they are averaged; `final_relu=True` puts the paper's back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from keras import layers

from models import options
from models.architectures.blocks import Blocks
from models.choices import PAPER, Choices
from models.layers.initializers import normal


class Mlpconv(NamedTuple):
    """A spatial convolution, 1x1 convolutions, a pooling of 3x3 at every second position."""

    kernel: int
    channels: tuple[int, ...]
    pooling: str | None = "max"
    strides: int = 1
    padding: str = "same"
    stddev: float = 0.05  # of the spatial kernel; 0.05 in every 1x1 but the class maps'
    dropped: bool = False  # after the pooling


CIFAR = (
    Mlpconv(5, (192, 160, 96), dropped=True),
    Mlpconv(5, (192, 192, 192), "average", dropped=True),
    Mlpconv(3, (192, 192), None),
)  # 16 x 16 x 96, 8 x 8 x 192, 8 x 8 x 192
IMAGENET = (
    Mlpconv(11, (96, 96, 96), strides=4, padding="valid", stddev=0.01),
    Mlpconv(5, (256, 256, 256)),
    Mlpconv(3, (384, 384, 384), stddev=0.01, dropped=True),
    Mlpconv(3, (1024, 1024), None),
)  # 54 x 54, pooled 27 x 27 x 96, 13 x 13 x 256, 6 x 6 x 384, 6 x 6 x 1024
HEADS = ("pooling", "dense", "dropped_dense")


def nin_cifar(
    images: Any,
    classes: int,
    *,
    choices: Choices = PAPER,
    final_relu: bool = False,
    head: str = "pooling",
) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes); dropout after each pooling.

    With `final_relu`, as in the paper (eq. 2) and the released network, logits are never negative;
    under plain SGD most of them soon stay at zero and learn nothing. `head` "dense" weighs the
    positions of the class maps by a fully connected layer, "dropped_dense" behind dropout
    (section 4.6), in place of their global "pooling".
    """
    return _nin(images, classes, choices, CIFAR, final_relu, stddev=0.05, head=head)


def nin(images: Any, classes: int, *, choices: Choices = PAPER, final_relu: bool = False) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes); dropout before the last mlpconv layer."""
    return _nin(images, classes, choices, IMAGENET, final_relu, stddev=0.01)


def _nin(
    x: Any,
    classes: int,
    choices: Choices,
    rows: tuple[Mlpconv, ...],
    final_relu: bool,
    stddev: float,
    head: str = "pooling",
) -> Any:
    """`stddev` is that of the last kernels, which make the class maps."""
    kind = options.choice("head", head, HEADS)
    net = Blocks(choices, initializer=normal(0.05), dropout=0.5)
    rectify = options.flag("final_relu", final_relu)
    for number, row in enumerate(rows, start=1):
        x = _mlpconv(net, x, row, name=f"mlpconv{number}")
        if row.pooling:
            x = net.pool(x, 3, 2, mode=row.pooling, ceil=True, name=f"pool{number}")
        if row.dropped:
            x = net.drop(x, name=f"drop{number}")
    last = f"mlpconv{len(rows)}_{len(rows[-1].channels) + 1}_conv"
    maps = replace(net, initializer=normal(stddev))  # a map for each class
    x = maps.conv(x, classes, 1, exact=True, normalise=False, activate=rectify, name=last)
    if kind == "pooling":
        return layers.GlobalAveragePooling2D(dtype="float32", name="gap")(x)
    x = layers.Flatten(name="flatten")(x)  # 8 x 8 x classes
    x = net.drop(x, name="drop") if kind == "dropped_dense" else x
    return net.logits(x, classes, name="fc")


def _mlpconv(net: Blocks, x: Any, row: Mlpconv, name: str) -> Any:
    """A small MLP slid over the image."""
    spatial, *pointwise = row.channels
    x = replace(net, initializer=normal(row.stddev)).conv(
        x, spatial, row.kernel, strides=row.strides, padding=row.padding, name=f"{name}_1_conv"
    )
    for i, filters in enumerate(pointwise, start=2):
        x = net.conv(x, filters, 1, name=f"{name}_{i}_conv")
    return x
