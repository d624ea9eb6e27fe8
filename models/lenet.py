"""LeNet-5.

LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition,
Proc. IEEE 86(11), 1998, section II.B.

Deviations (lenet5, the form in use today):
- Every map of C3 sees all six maps of S2; the paper connects them by its Table I.
- S2 and S4 average; the paper's subsampling also has a trained coefficient and bias for each map.
- Plain tanh after C1, C3, C5 and F6; the paper squashes by 1.7159 tanh(2x/3), also after S2 and S4.
- The output is linear, for softmax cross-entropy; the paper's is Euclidean RBF units.
- Glorot uniform weights and zero biases (Keras's default); the paper draws from +-2.4/fan_in.
"""

from __future__ import annotations

from typing import Any

from keras import layers

from models.blocks import Blocks
from models.choices import PAPER, Choices
from models.initializers import glorot_uniform

KERNEL = 5
MAPS_C1, MAPS_C3, UNITS_C5, UNITS_F6 = 6, 16, 120, 84


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
