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

from models import options

KERNEL = 5
MAPS_C1, MAPS_C3, UNITS_C5, UNITS_F6 = 6, 16, 120, 84


def lenet5(images: Any, classes: int, *, activation: str = "tanh") -> Any:
    """images (batch, h, w, c) -> logits (batch, classes). Figure 2 of the paper, simplified."""
    act = options.activation(activation)
    x = layers.Conv2D(MAPS_C1, KERNEL, activation=act, name="c1")(images)  # 28 x 28 x 6
    x = layers.AveragePooling2D(2, name="s2")(x)  # 14 x 14 x 6
    x = layers.Conv2D(MAPS_C3, KERNEL, activation=act, name="c3")(x)  # 10 x 10 x 16
    x = layers.AveragePooling2D(2, name="s4")(x)  # 5 x 5 x 16
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(UNITS_C5, activation=act, name="c5")(x)  # 120
    x = layers.Dense(UNITS_F6, activation=act, name="f6")(x)  # 84
    return layers.Dense(classes, dtype="float32", name="output")(x)
