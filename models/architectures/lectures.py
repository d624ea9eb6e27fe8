"""Small networks of the lecture course that the zoo accompanies.

Deviations (mlp):
- ReLU by default, as in the lectures' other networks; the 784-100-10 slide names no activation.
- The slide counts 79,500 weights: it leaves out the ten biases of the output layer.

Deviations (direction):
- Weights are drawn, Glorot uniform; the slides start from given numbers, mostly in lost figures.

Deviations (autoencoder_*):
- The lectures draw both kinds without sizes: layers, code and activations are ours.

Deviations (autoencoder_overcomplete):
- Gaussian noise on the image while training, or copying would do; the slides leave it open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import layers

from models import options
from models.architectures.blocks import Blocks
from models.choices import PAPER, Choices
from models.layers.initializers import glorot_uniform

# Filters of the 3x3 convolutions, the code last; the decoder goes back the same way.
UNDERCOMPLETE = (16, 8)
OVERCOMPLETE = (32, 64)


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


def direction(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes): one filter, 30 weights in all.

    The lectures' 4 x 4 pixels with no line, a vertical, a horizontal or a diagonal one.
    """
    net = Blocks(choices, initializer=glorot_uniform)
    x = net.conv(images, 1, 3, name="conv")  # 4 x 4 x 1
    x = net.pool(x, 2, name="pool")  # 2 x 2 x 1
    x = layers.Flatten(name="flatten")(x)  # 4
    x = net.drop(x, name="drop")
    return net.logits(x, classes, name="output")


def autoencoder_undercomplete(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """images (batch, h, w, c) -> images of 0..1, float32; the code is smaller than the image.

    `classes` has no part in it.
    """
    net = Blocks(choices, initializer=glorot_uniform)
    x, sizes = images, []
    for number, filters in enumerate(UNDERCOMPLETE, start=1):
        sizes.append(x.shape[1:])
        x = net.conv(
            x, filters, 3, strides=2, name=f"encode{number}_conv"
        )  # 14 x 14 x 16, 7 x 7 x 8
    x = _enlarge(net, x, UNDERCOMPLETE[0], sizes[1], name="decode1")  # 14 x 14 x 16
    x = net.drop(x, name="drop")
    x = _enlarge(net, x, images.shape[-1], sizes[0], name="decode2", last=True)  # 28 x 28 x 1
    return layers.Activation("sigmoid", dtype="float32", name="reconstruction")(x)


def autoencoder_overcomplete(
    images: Any, classes: int, *, choices: Choices = PAPER, noise: float = 0.1
) -> Any:
    """images (batch, h, w, c) -> images of 0..1, float32; the code is larger than the image.

    `noise` is the standard deviation of what training adds to the input, in its own units, and
    should learn to remove; 0 for none. `classes` has no part in it.
    """
    net = Blocks(choices, initializer=glorot_uniform)
    x = images
    if noise != 0:
        x = layers.GaussianNoise(options.positive("noise", noise), name="noise")(x)
    for number, filters in enumerate(OVERCOMPLETE, start=1):
        x = net.conv(x, filters, 3, name=f"encode{number}_conv")  # 28 x 28 x 32, x 64
    x = net.conv(x, OVERCOMPLETE[0], 3, name="decode1_conv")  # 28 x 28 x 32
    x = net.drop(x, name="drop")
    channels = images.shape[-1]
    last: dict[str, Any] = {"exact": True, "normalise": False, "activate": False}
    x = net.conv(x, channels, 3, name="decode2_conv", **last)  # 28 x 28 x 1
    return layers.Activation("sigmoid", dtype="float32", name="reconstruction")(x)


def _enlarge(
    net: Blocks, x: Any, filters: int, size: Sequence[int], name: str, last: bool = False
) -> Any:
    """3x3 transposed convolution, stride 2, to the height and width that the encoder began with.

    Window i is centred at position 2i, where the encoder's was; Keras's "same" would put it at
    2i + 1. `last`: linear, of exactly `filters`.
    """
    chosen: dict[str, Any] = {"exact": last, "normalise": not last, "activate": not last}
    x = net.conv_transpose(x, filters, 3, strides=2, name=f"{name}_conv", **chosen)
    edges = tuple((1, made - 1 - side) for made, side in zip(x.shape[1:3], size, strict=False))
    return layers.Cropping2D(edges, name=f"{name}_crop")(x)
