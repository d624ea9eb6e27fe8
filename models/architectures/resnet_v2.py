"""Residual networks whose shortcuts carry their input unchanged: normalise, activate, convolve.

He, Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks, ECCV 2016 (arXiv:1603.05027),
Figure 1 (b) and appendix. The released layout is that of TensorFlow's and Keras's published
weights, the paper's that of the authors' own code.

Deviations:
- By default stride 2 is in the last unit of a stage, as released; the paper has it in the first.
- By default the first convolution is not normalised, and zeros pad its pooling, as released.
- By default the last 1x1 of a unit and the projections have biases, as released.
- Moving averages keep 0.9 a step; epsilon is 1.001e-5 as in Keras; the paper gives neither.
- The last layer is drawn like the convolutions, biases zero; the paper does not say.
- In layout "paper" the first unit normalises again what follows the first convolution's own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from keras import layers

from models import options
from models.architectures.blocks import Blocks
from models.choices import PAPER, Choices

# Units in conv2_x to conv5_x, by depth.
UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
FILTERS = (64, 128, 256, 512)
EXPANSION = 4
LAYOUTS = ("released", "paper")


def resnet50_v2(
    images: Any, classes: int, *, choices: Choices = PAPER, layout: str = "released"
) -> Any:
    """50 layers; layout "paper" has +17% MACs and fewer biases."""
    return _resnet_v2(images, classes, choices, 50, layout)


def resnet101_v2(
    images: Any, classes: int, *, choices: Choices = PAPER, layout: str = "released"
) -> Any:
    """101 layers, `layout` as in `resnet50_v2`."""
    return _resnet_v2(images, classes, choices, 101, layout)


def resnet152_v2(
    images: Any, classes: int, *, choices: Choices = PAPER, layout: str = "released"
) -> Any:
    """152 layers, `layout` as in `resnet50_v2`."""
    return _resnet_v2(images, classes, choices, 152, layout)


def _resnet_v2(images: Any, classes: int, choices: Choices, depth: int, layout: str) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes); sides for 224 x 224."""
    released = options.choice("layout", layout, LAYOUTS) == "released"
    net = Blocks(choices, normalization="batch", epsilon=1.001e-5)
    # 112 x 112 x 64; the first unit normalises and activates what was not yet
    x = net.conv(
        images, 64, 7, strides=2, activate=not released, normalise=not released, name="conv1_conv"
    )
    if released:  # not activated: zeros on the edges are the maximum where all else is negative
        x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = net.pool(x, 3, 2, padding=0 if released else 1, name="pool1")  # 56 x 56 x 64
    # released: 28 x 28 x 256, 14 x 14 x 512, 7 x 7 x 1024, 7 x 7 x 2048
    # paper:    56 x 56 x 256, 28 x 28 x 512, 14 x 14 x 1024, 7 x 7 x 2048
    for stage, (filters, units) in enumerate(zip(FILTERS, UNITS[depth], strict=True), start=2):
        halving = (units if stage < 5 else 0) if released else (1 if stage > 2 else 0)
        for number in range(1, units + 1):
            x = _unit(
                net,
                x,
                filters,
                strides=2 if number == halving else 1,
                project=number == 1,
                linear=replace(net, use_bias=released),
                name=f"conv{stage}_block{number}",
            )
    x = net.activate(net.normalise(x, name="post"), name="post_act")
    x = layers.GlobalAveragePooling2D(name="gap")(x)  # 2048
    x = net.drop(x, name="drop")
    return net.logits(x, classes, name="fc")


def _unit(
    net: Blocks, x: Any, filters: int, strides: int, project: bool, linear: Blocks, name: str
) -> Any:
    """1x1, 3x3, 1x1, each after its normalisation and activation; projections share the first."""
    y = net.activate(net.normalise(x, name=f"{name}_preact"), name=f"{name}_preact_act")
    bare = {"activate": False, "normalise": False}
    if project:
        x = linear.conv(y, EXPANSION * filters, 1, strides=strides, name=f"{name}_0_conv", **bare)
    elif strides > 1:  # every other position; a window of one, whatever pooling is chosen
        x = layers.MaxPooling2D(1, strides, name=f"{name}_shortcut")(x)
    y = net.conv(y, filters, 1, name=f"{name}_1_conv")
    y = net.conv(y, filters, 3, strides=strides, name=f"{name}_2_conv")
    y = linear.conv(y, EXPANSION * filters, 1, name=f"{name}_3_conv", **bare)
    return layers.Add(name=f"{name}_add")([x, y])
