"""Residual networks and their plain counterparts.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016 (arXiv:1512.03385),
section 4.2 for CIFAR.

Deviations (resnet20_cifar, plain20_cifar):
- The last layer is drawn like the convolutions, biases zero; the paper does not say.
- Zeros of the option A shortcut stand after the old channels; the paper does not say where.
"""

from __future__ import annotations

from typing import Any

from keras import layers

from models import options
from models.blocks import Blocks
from models.choices import PAPER, Choices
from models.layers import ZeroPadShortcut

# Section 4.2: output maps 32 x 32, 16 x 16, 8 x 8; 2n layers each, depth 6n + 2.
CIFAR_FILTERS = (16, 32, 64)
SHORTCUTS = ("A", "B")


def resnet20_cifar(
    images: Any, classes: int, *, choices: Choices = PAPER, shortcut: str = "A"
) -> Any:
    """20 layers, n=3. `shortcut` where channels grow: A pads zeros, B projects by 1x1 (+2,752)."""
    kind = options.choice("shortcut", shortcut, SHORTCUTS)
    return _cifar(images, classes, choices, depth=20, shortcut=kind)


def plain20_cifar(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """20 layers, n=3, no shortcuts."""
    return _cifar(images, classes, choices, depth=20, shortcut=None)


def _cifar(images: Any, classes: int, choices: Choices, depth: int, shortcut: str | None) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes); no shortcuts at all if None."""
    net = Blocks(choices, normalization="batch")
    x = net.conv(images, CIFAR_FILTERS[0], 3, name="conv1_conv")  # 32 x 32 x 16
    for stage, filters in enumerate(
        CIFAR_FILTERS, start=2
    ):  # 32 x 32 x 16, 16 x 16 x 32, 8 x 8 x 64
        for number in range(1, (depth - 2) // 6 + 1):
            strides = 2 if number == 1 and stage > 2 else 1
            name = f"conv{stage}_block{number}"
            x = _basic_block(net, x, filters, strides, shortcut, name=name)
    x = layers.GlobalAveragePooling2D(name="gap")(x)  # 64
    x = net.drop(x, name="drop")
    return net.logits(x, classes, name="fc")


def _basic_block(
    net: Blocks, x: Any, filters: int, strides: int, shortcut: str | None, name: str
) -> Any:
    """Two 3x3 convolutions; the sum, if any, before the last activation (Figure 2)."""
    y = net.conv(x, filters, 3, strides=strides, name=f"{name}_1_conv")
    y = net.conv(y, filters, 3, activate=shortcut is None, name=f"{name}_2_conv")
    if shortcut is None:
        return y
    if strides > 1 and shortcut == "B":
        x = net.conv(x, filters, 1, strides=strides, activate=False, name=f"{name}_0_conv")
    elif strides > 1:
        x = ZeroPadShortcut(net.width(filters), strides, name=f"{name}_shortcut")(x)
    y = layers.Add(name=f"{name}_add")([x, y])
    return net.activate(y, name=f"{name}_out")
