"""AlexNet.

Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks,
NIPS 2012, sections 3 and 5.

Deviations (alexnet):
- Images are 227 x 227: the paper prints 224, from which its 55 x 55 maps of conv1 do not follow.
- The halves on two GPUs are the two groups of a grouped convolution on one device.
- Dropout doubles the kept units while training; the paper halves the outputs at test time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import initializers, layers

from models import options
from models.layers import LocalResponseNormalization


class Convolution(NamedTuple):
    """One row of the paper's section 3.5."""

    name: str
    kernels: int
    size: int
    stride: int
    padding: str
    groups: int  # 2 where a kernel sees only the maps of its own GPU
    bias: float  # section 5: ones give the ReLUs positive inputs early on
    normalised: bool
    pooled: bool


CONVOLUTIONS = (
    Convolution("conv1", 96, 11, 4, "valid", 1, 0.0, True, True),
    Convolution("conv2", 256, 5, 1, "same", 2, 1.0, True, True),
    Convolution("conv3", 384, 3, 1, "same", 1, 0.0, False, False),
    Convolution("conv4", 384, 3, 1, "same", 2, 1.0, False, False),
    Convolution("conv5", 256, 3, 1, "same", 2, 1.0, False, True),
)
UNITS = 4096


def alexnet(images: Any, classes: int, *, dropout: float = 0.5) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes); dropout after fc6 and fc7."""
    rate = options.dropout_rate(dropout)
    x = images
    for row in CONVOLUTIONS:  # 55 x 55 x 96, 27 x 27 x 256, 13 x 13 x 384, x 384, x 256
        x = layers.Conv2D(
            row.kernels,
            row.size,
            strides=row.stride,
            padding=row.padding,
            groups=row.groups,
            activation="relu",
            kernel_initializer=_weights(),
            bias_initializer=initializers.Constant(row.bias),
            name=row.name,
        )(x)
        number = row.name.removeprefix("conv")
        if row.normalised:  # before the pooling; CaffeNet has it after
            x = LocalResponseNormalization(
                depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75, name=f"norm{number}"
            )(x)
        if row.pooled:  # 27 x 27 x 96, 13 x 13 x 256, 6 x 6 x 256
            x = layers.MaxPooling2D(3, strides=2, name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)  # 9216
    for number in ("6", "7"):
        x = layers.Dense(
            UNITS,
            activation="relu",
            kernel_initializer=_weights(),
            bias_initializer=initializers.Constant(1.0),
            name=f"fc{number}",
        )(x)
        x = layers.Dropout(rate, name=f"drop{number}")(x)
    return layers.Dense(classes, kernel_initializer=_weights(), dtype="float32", name="fc8")(x)


def _weights() -> initializers.Initializer:
    return initializers.RandomNormal(0.0, 0.01)
