"""LeNet-5.

LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition,
Proc. IEEE 86(11), 1998, section II.B.

Deviations (lenet5, the form in use today):
- Every map of C3 sees all six maps of S2; the paper connects them by its Table I.
- S2 and S4 average; the paper's subsampling also has a trained coefficient and bias for each map.
- Plain tanh after C1, C3, C5 and F6; the paper squashes by 1.7159 tanh(2x/3), also after S2 and S4.
- The output is linear, for softmax cross-entropy; the paper's is Euclidean RBF units.
- Glorot uniform weights and zero biases (Keras's default); the paper draws from +-2.4/fan_in.

Deviations (lenet5_1998):
- The digits' 7 x 12 codes are redrawn in the style of Figure 3, not copied pixel by pixel.
- With other than ten classes, codes are random bits, always the same; the paper's are characters.
- Outputs are minus the distances of equation 7, so that the largest is the answer.
- Biases start at zero, where the paper does not say; a subsampling unit counts four inputs.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Any

from keras import layers

from models.architectures.blocks import Blocks
from models.choices import PAPER, Choices
from models.layers.initializers import fan_in_uniform, glorot_uniform
from models.layers.lenet import CODE_SHAPE, PartialConv2D, RadialBasisOutput, Subsampling2D

KERNEL = 5
MAPS_C1, MAPS_C3, UNITS_C5, UNITS_F6 = 6, 16, 120, 84

# Table I: the maps of S2 that each map of C3 sees.
C3_LINKS = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip


def lenet5(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes). Figure 2 of the paper, simplified."""
    net = Blocks(choices, activation="tanh", initializer=glorot_uniform)
    x = net.conv(images, MAPS_C1, KERNEL, padding="valid", name="c1")  # 28 x 28 x 6
    x = net.pool(x, 2, mode="average", name="s2")  # 14 x 14 x 6
    x = net.conv(x, MAPS_C3, KERNEL, padding="valid", name="c3")  # 10 x 10 x 16
    x = net.pool(x, 2, mode="average", name="s4")  # 5 x 5 x 16
    x = layers.Flatten(name="flatten")(x)  # 400
    x = net.dense(x, UNITS_C5, name="c5")  # 120
    x = net.dense(x, UNITS_F6, name="f6")  # 84
    x = net.drop(x, name="drop")
    return net.logits(x, classes, name="output")


def lenet5_1998(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """images (batch, h, w, c) -> minus the RBF distances (batch, classes). Section II.B, Figure 2.

    A chosen dropout is before F6, the last layer that learns: codes are of whole units.
    """
    # 328,096 MACs: 326,520 of convolutions (C3 by its 60 links), F6 and distances, and 1,576
    # products with the coefficients of S2 and S4, which Keras's pooling layers do not have.
    choices.refuse(
        "lenet5_1998",
        width="Table I connects 6 maps to 16, and F6 has a unit for each of 7 x 12 pixels",
        pooling="S2 and S4 learn a coefficient and a bias of the sum of their windows",
    )
    net = Blocks(choices, activation="scaled_tanh", initializer=fan_in_uniform(2.4))
    linked = replace(net, convolution=functools.partial(PartialConv2D, links=C3_LINKS))
    x = net.conv(images, MAPS_C1, KERNEL, padding="valid", name="c1")  # 28 x 28 x 6
    x = Subsampling2D(2, name="s2")(x)  # 14 x 14 x 6
    x = net.activate(x, name="s2_act")
    x = linked.conv(x, MAPS_C3, KERNEL, padding="valid", name="c3")  # 10 x 10 x 16
    x = Subsampling2D(2, name="s4")(x)  # 5 x 5 x 16
    x = net.activate(x, name="s4_act")
    x = net.conv(x, UNITS_C5, KERNEL, padding="valid", name="c5")  # 1 x 1 x 120
    x = layers.Flatten(name="flatten")(x)  # 120; more on images larger than 32 x 32
    x = net.drop(x, name="drop")
    x = net.dense(x, math.prod(CODE_SHAPE), name="f6")  # 84
    return RadialBasisOutput(classes, name="output")(x)
