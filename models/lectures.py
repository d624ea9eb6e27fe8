"""Small networks of the lecture course that the zoo accompanies.

Deviations (mlp):
- ReLU by default, as in the lectures' other networks; the 784-100-10 slide names no activation.
- The slide counts 79,500 weights: it leaves out the ten biases of the output layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import layers

from models import options


def mlp(
    images: Any, classes: int, *, hidden: Sequence[int] = (100,), activation: str = "relu"
) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes); hidden=[] is softmax regression."""
    act = options.activation(activation)
    x = layers.Flatten(name="flatten")(images)  # 784
    for number, units in enumerate(options.widths("hidden", hidden), start=1):
        x = layers.Dense(units, activation=act, name=f"fc{number}")(x)  # 100
    return layers.Dense(classes, dtype="float32", name="output")(x)
