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
from models.blocks import Blocks
from models.choices import PAPER, Choices
from models.initializers import glorot_uniform


def mlp(
    images: Any, classes: int, *, choices: Choices = PAPER, hidden: Sequence[int] = (100,)
) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes); hidden=[] is softmax regression."""
    net = Blocks(choices, initializer=glorot_uniform)
    x = layers.Flatten(name="flatten")(images)  # 784
    for number, units in enumerate(options.widths("hidden", hidden), start=1):
        x = net.dense(x, units, normalise=True, name=f"fc{number}")  # 100
    x = net.drop(x, name="drop")
    return net.logits(x, classes, name="output")
