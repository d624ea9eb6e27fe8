"""Residual networks and their plain counterparts.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016 (arXiv:1512.03385),
Table 1 for ImageNet, section 4.2 for CIFAR.

Deviations:
- Moving averages keep 0.9 a step, epsilon is 1e-5; the paper gives neither.
- The last layer is drawn like the convolutions, biases zero; the paper does not say.

Deviations (resnet18, resnet34):
- Shortcuts project by 1x1 where shapes change (option B), as released; the paper's Table 2 has A.

Deviations (resnet18, resnet34, resnet50*, resnet101*, resnet152*, plain18, plain34):
- The first pooling pads one cell on each edge, which the maximum ignores; the paper does not say.

Deviations (resnet*_v1_5):
- Stride 2 is in the 3x3 of a block; the paper and its Caffe release have it in the first 1x1.

Deviations (resnet*_cifar):
- Zeros of the option A shortcut stand after the old channels; the paper does not say where.
"""

from __future__ import annotations

from typing import Any, Protocol

from keras import layers

from models import options
from models.architectures.blocks import Blocks
from models.choices import PAPER, Choices
from models.layers.shortcut import ZeroPadShortcut

# Table 1: units in conv2_x to conv5_x, by depth.
UNITS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
FILTERS = (64, 128, 256, 512)
EXPANSION = 4  # the last 1x1 of a bottleneck has so many times its filters

# Section 4.2: output maps 32 x 32, 16 x 16, 8 x 8; 2n layers each, depth 6n + 2.
CIFAR_FILTERS = (16, 32, 64)

# Section 4.1: A pads zeros where shapes change, B projects there, C projects everywhere.
SHORTCUTS = ("A", "B", "C")


class Unit(Protocol):
    """Few layers that a shortcut goes around: x (b, h, w, c) -> (b, h / strides, ..., c')."""

    def __call__(self, net: Blocks, x: Any, filters: int, strides: int, name: str) -> Any: ...


# ------------------------------------------------------------------------------------ ImageNet


def resnet18(images: Any, classes: int, *, choices: Choices = PAPER, shortcut: str = "B") -> Any:
    """18 layers. `shortcut` A pads zeros, B projects where shapes change, C everywhere."""
    return _imagenet(images, classes, choices, 18, _basic(shortcut))


def resnet34(images: Any, classes: int, *, choices: Choices = PAPER, shortcut: str = "B") -> Any:
    """34 layers, `shortcut` as in `resnet18`."""
    return _imagenet(images, classes, choices, 34, _basic(shortcut))


def plain18(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """18 layers, no shortcuts; the fair comparison is `resnet18` with shortcut A."""
    return _imagenet(images, classes, choices, 18, _plain)


def plain34(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """34 layers, no shortcuts."""
    return _imagenet(images, classes, choices, 34, _plain)


def resnet50(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """50 layers, bottlenecks with their stride in the first 1x1."""
    return _imagenet(images, classes, choices, 50, _bottleneck)


def resnet101(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """101 layers."""
    return _imagenet(images, classes, choices, 101, _bottleneck)


def resnet152(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """152 layers."""
    return _imagenet(images, classes, choices, 152, _bottleneck)


def resnet50_v1_5(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """50 layers, bottlenecks with their stride in the 3x3, as in torchvision."""
    return _imagenet(images, classes, choices, 50, _bottleneck_v1_5)


def resnet101_v1_5(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """101 layers, stride in the 3x3."""
    return _imagenet(images, classes, choices, 101, _bottleneck_v1_5)


def resnet152_v1_5(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """152 layers, stride in the 3x3."""
    return _imagenet(images, classes, choices, 152, _bottleneck_v1_5)


def _imagenet(images: Any, classes: int, choices: Choices, depth: int, unit: Unit) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes); sides for 224 x 224."""
    net = Blocks(choices, normalization="batch")
    x = net.conv(images, 64, 7, strides=2, name="conv1_conv")  # 112 x 112 x 64
    x = net.pool(x, 3, 2, padding=1, name="pool1")  # 56 x 56 x 64
    # 56 x 56 x 64 (bottlenecks: x 256), 28 x 28 x 128 (512), 14 x 14 x 256 (1024), 7 x 7 x 512
    for stage, (filters, units) in enumerate(zip(FILTERS, UNITS[depth], strict=True), start=2):
        x = _stage(net, x, filters, units, unit, stage)
    return _head(net, x, classes)


# --------------------------------------------------------------------------------------- CIFAR


def resnet20_cifar(
    images: Any, classes: int, *, choices: Choices = PAPER, shortcut: str = "A"
) -> Any:
    """20 layers, n=3. `shortcut` where channels grow: A pads zeros, B projects by 1x1 (+2,752); C
    projects in every unit."""
    return _cifar(images, classes, choices, 20, _basic(shortcut))


def resnet32_cifar(
    images: Any, classes: int, *, choices: Choices = PAPER, shortcut: str = "A"
) -> Any:
    """32 layers, n=5, `shortcut` as in `resnet20_cifar`."""
    return _cifar(images, classes, choices, 32, _basic(shortcut))


def resnet44_cifar(
    images: Any, classes: int, *, choices: Choices = PAPER, shortcut: str = "A"
) -> Any:
    """44 layers, n=7."""
    return _cifar(images, classes, choices, 44, _basic(shortcut))


def resnet56_cifar(
    images: Any, classes: int, *, choices: Choices = PAPER, shortcut: str = "A"
) -> Any:
    """56 layers, n=9."""
    return _cifar(images, classes, choices, 56, _basic(shortcut))


def resnet110_cifar(
    images: Any, classes: int, *, choices: Choices = PAPER, shortcut: str = "A"
) -> Any:
    """110 layers, n=18."""
    return _cifar(images, classes, choices, 110, _basic(shortcut))


def plain20_cifar(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """20 layers, n=3, no shortcuts."""
    return _cifar(images, classes, choices, 20, _plain)


def plain56_cifar(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """56 layers, n=9, no shortcuts."""
    return _cifar(images, classes, choices, 56, _plain)


def _cifar(images: Any, classes: int, choices: Choices, depth: int, unit: Unit) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes); sides for 32 x 32."""
    net = Blocks(choices, normalization="batch")
    x = net.conv(images, CIFAR_FILTERS[0], 3, name="conv1_conv")  # 32 x 32 x 16
    for stage, filters in enumerate(CIFAR_FILTERS, start=2):  # 32 x 32 x 16, 16 x 16 x 32, 8 x 8
        x = _stage(net, x, filters, (depth - 2) // 6, unit, stage)
    return _head(net, x, classes)


# -------------------------------------------------------------------------------------- blocks


def _stage(net: Blocks, x: Any, filters: int, units: int, unit: Unit, stage: int) -> Any:
    """`units` of equal width; every stage but the first, conv2_x, begins by halving the sides."""
    for number in range(1, units + 1):
        strides = 2 if number == 1 and stage > 2 else 1
        x = unit(net, x, filters, strides, f"conv{stage}_block{number}")
    return x


def _head(net: Blocks, x: Any, classes: int) -> Any:
    x = layers.GlobalAveragePooling2D(name="gap")(x)  # 512, 2048; CIFAR: 64
    x = net.drop(x, name="drop")
    return net.logits(x, classes, name="fc")


def _plain(net: Blocks, x: Any, filters: int, strides: int, name: str) -> Any:
    """Two 3x3 convolutions."""
    x = net.conv(x, filters, 3, strides=strides, name=f"{name}_1_conv")
    return net.conv(x, filters, 3, name=f"{name}_2_conv")


def _basic(shortcut: str) -> Unit:
    """Two 3x3 convolutions and a `shortcut` of one of SHORTCUTS (Figure 5, left)."""
    kind = options.choice("shortcut", shortcut, SHORTCUTS)

    def unit(net: Blocks, x: Any, filters: int, strides: int, name: str) -> Any:
        y = net.conv(x, filters, 3, strides=strides, name=f"{name}_1_conv")
        y = net.conv(y, filters, 3, activate=False, name=f"{name}_2_conv")
        return _joined(net, x, y, filters, strides, kind, name)

    return unit


def _bottleneck(
    net: Blocks, x: Any, filters: int, strides: int, name: str, *, strided: int = 1
) -> Any:
    """1x1, 3x3, 1x1 (Figure 5, right); the `strided`-th of them has the stride."""
    stride = {strided: strides}
    y = net.conv(x, filters, 1, strides=stride.get(1, 1), name=f"{name}_1_conv")
    y = net.conv(y, filters, 3, strides=stride.get(2, 1), name=f"{name}_2_conv")
    y = net.conv(y, EXPANSION * filters, 1, activate=False, name=f"{name}_3_conv")
    return _joined(net, x, y, EXPANSION * filters, strides, "B", name)


def _bottleneck_v1_5(net: Blocks, x: Any, filters: int, strides: int, name: str) -> Any:
    return _bottleneck(net, x, filters, strides, name, strided=2)


def _joined(net: Blocks, x: Any, y: Any, filters: int, strides: int, kind: str, name: str) -> Any:
    """The sum of shortcut and residual, before the last activation (Figure 2)."""
    changes = strides > 1 or x.shape[-1] != y.shape[-1]
    if kind == "C" or (changes and kind == "B"):
        x = net.conv(x, filters, 1, strides=strides, activate=False, name=f"{name}_0_conv")
    elif changes:
        x = ZeroPadShortcut(net.width(filters), strides, name=f"{name}_shortcut")(x)
    y = layers.Add(name=f"{name}_add")([x, y])
    return net.activate(y, name=f"{name}_out")
