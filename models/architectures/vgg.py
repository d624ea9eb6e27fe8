"""VGG: stacks of 3x3 convolutions, 11 to 19 layers with weights.

Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015
(arXiv:1409.1556), Table 1.

Deviations (vgg*):
- Drawn by Glorot and Bengio 2010, found enough; the paper's A is N(0, 0.01), B to E begin as A.
- One crop in, one answer out; the paper's errors are of dense evaluation, its fc6 a convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import layers

from models import options
from models.architectures.blocks import Blocks
from models.choices import PAPER, Choices
from models.layers.initializers import glorot_uniform

# Table 1: kernel sides of the convolutions of each stage, and the stages' channels.
KERNELS: dict[str, tuple[tuple[int, ...], ...]] = {
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}
FILTERS = (64, 128, 256, 512, 512)  # 224, 112, 56, 28, 14 a side
HIDDEN = (4096, 4096)


def vgg_a(
    images: Any, classes: int, *, choices: Choices = PAPER, hidden: Sequence[int] = HIDDEN
) -> Any:
    """11 layers, torchvision's vgg11. `hidden`: units of the dense layers before the last."""
    return _vgg(images, classes, choices, "A", hidden)


def vgg_a_lrn(
    images: Any, classes: int, *, choices: Choices = PAPER, hidden: Sequence[int] = HIDDEN
) -> Any:
    """11 layers, AlexNet's response normalisation after the first."""
    return _vgg(images, classes, choices, "A", hidden, response_norm=True)


def vgg_b(
    images: Any, classes: int, *, choices: Choices = PAPER, hidden: Sequence[int] = HIDDEN
) -> Any:
    """13 layers, torchvision's vgg13."""
    return _vgg(images, classes, choices, "B", hidden)


def vgg_c(
    images: Any, classes: int, *, choices: Choices = PAPER, hidden: Sequence[int] = HIDDEN
) -> Any:
    """16 layers, the last of the deep stages 1x1."""
    return _vgg(images, classes, choices, "C", hidden)


def vgg16(
    images: Any, classes: int, *, choices: Choices = PAPER, hidden: Sequence[int] = HIDDEN
) -> Any:
    """16 layers, the paper's D."""
    return _vgg(images, classes, choices, "D", hidden)


def vgg19(
    images: Any, classes: int, *, choices: Choices = PAPER, hidden: Sequence[int] = HIDDEN
) -> Any:
    """19 layers, the paper's E."""
    return _vgg(images, classes, choices, "E", hidden)


def _vgg(
    images: Any,
    classes: int,
    choices: Choices,
    column: str,
    hidden: Sequence[int],
    response_norm: bool = False,
) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes); dropout after each hidden layer."""
    net = Blocks(choices, initializer=glorot_uniform, dropout=0.5)
    x = images
    for stage, (kernels, filters) in enumerate(zip(KERNELS[column], FILTERS, strict=True), start=1):
        for number, kernel in enumerate(kernels, start=1):
            x = net.conv(x, filters, kernel, name=f"conv{stage}_{number}")
            if response_norm and stage == number == 1:
                x = net.response_norm(x, name="norm1")
        x = net.pool(x, 2, name=f"pool{stage}")  # 112 x 112 x 64, 56, 28, 14, 7 x 7 x 512
    x = layers.Flatten(name="flatten")(x)  # 25088
    number = 5
    for number, units in enumerate(options.widths("hidden", hidden), start=6):
        x = net.dense(x, units, name=f"fc{number}")  # 4096
        x = net.drop(x, name=f"drop{number}")
    return net.logits(x, classes, name=f"fc{number + 1}")
