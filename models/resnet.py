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
from models.blocks import ConvBlock, he_normal
from models.layers import ZeroPadShortcut

# Section 4.2: output maps 32 x 32, 16 x 16, 8 x 8; 2n layers each, depth 6n + 2.
CIFAR_FILTERS = (16, 32, 64)
SHORTCUTS = ("A", "B")


def resnet20_cifar(images: Any, classes: int, *, shortcut: str = "A") -> Any:
    """20 layers, n=3. `shortcut` where channels grow: A pads zeros, B projects by 1x1 (+2,752)."""
    return _cifar(
        images, classes, depth=20, shortcut=options.choice("shortcut", shortcut, SHORTCUTS)
    )


def plain20_cifar(images: Any, classes: int) -> Any:
    """20 layers, n=3, no shortcuts."""
    return _cifar(images, classes, depth=20, shortcut=None)


def _cifar(images: Any, classes: int, *, depth: int, shortcut: str | None) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes); no shortcuts at all if None."""
    conv = ConvBlock()
    x = conv(images, CIFAR_FILTERS[0], 3, name="conv1")  # 32 x 32 x 16
    for stage, filters in enumerate(
        CIFAR_FILTERS, start=2
    ):  # 32 x 32 x 16, 16 x 16 x 32, 8 x 8 x 64
        for number in range(1, (depth - 2) // 6 + 1):
            strides = 2 if number == 1 and stage > 2 else 1
            name = f"conv{stage}_block{number}"
            x = _basic_block(conv, x, filters, strides, shortcut, name=name)
    x = layers.GlobalAveragePooling2D(name="gap")(x)  # 64
    return layers.Dense(classes, kernel_initializer=he_normal(), dtype="float32", name="fc")(x)


def _basic_block(
    conv: ConvBlock, x: Any, filters: int, strides: int, shortcut: str | None, name: str
) -> Any:
    """Two 3x3 convolutions; the sum, if any, before the last ReLU (Figure 2)."""
    y = conv(x, filters, 3, strides=strides, name=f"{name}_1")
    if shortcut is None:
        return conv(y, filters, 3, name=f"{name}_2")
    y = conv(y, filters, 3, activate=False, name=f"{name}_2")
    if strides > 1 and shortcut == "B":
        x = conv(x, filters, 1, strides=strides, activate=False, name=f"{name}_0")
    elif strides > 1:
        x = ZeroPadShortcut(filters, strides, name=f"{name}_shortcut")(x)
    y = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation(conv.activation, name=f"{name}_out")(y)
