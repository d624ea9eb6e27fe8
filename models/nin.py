"""Network in Network.

Lin, Chen, Yan: Network In Network, ICLR 2014 (arXiv:1312.4400), section 4; layer sizes from the
authors' released CIFAR-10 network.

Deviations (nin_cifar):
- The second pooling averages, as in the released network; the paper's text says max pooling.
- GCN and ZCA whitening of the images, behind the published 10.41 %, are not in the network.
- No ReLU on the class maps before they are averaged; `final_relu=True` puts the paper's back.
- One learning rate and weight decay for all layers; the released solver tunes each layer.
"""

from __future__ import annotations

from typing import Any

from keras import layers

from models import options
from models.blocks import Blocks
from models.choices import PAPER, Choices
from models.initializers import normal

# Each mlpconv layer: its spatial kernel, its channels (the 1x1 layers follow), its pooling.
CIFAR = (
    (5, (192, 160, 96), "max"),
    (5, (192, 192, 192), "average"),
)
LAST = (3, (192, 192))


def nin_cifar(
    images: Any, classes: int, *, choices: Choices = PAPER, final_relu: bool = False
) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes); dropout after each pooling.

    With `final_relu`, as in the paper (eq. 2) and the released network, logits are never negative;
    under plain SGD most of them soon stay at zero and learn nothing.
    """
    net = Blocks(choices, initializer=normal(0.05), dropout=0.5)
    rectify = options.flag("final_relu", final_relu)
    x = images
    for number, (kernel, channels, pooling) in enumerate(CIFAR, start=1):
        x = _mlpconv(
            net, x, kernel, channels, name=f"mlpconv{number}"
        )  # 32 x 32 x 96, 16 x 16 x 192
        x = net.pool(x, 3, 2, mode=pooling, ceil=True, name=f"pool{number}")  # 16 x 16, 8 x 8
        x = net.drop(x, name=f"drop{number}")
    x = _mlpconv(net, x, *LAST, name="mlpconv3")  # 8 x 8 x 192
    x = net.conv(
        x, classes, 1, exact=True, normalise=False, activate=rectify, name="mlpconv3_3_conv"
    )  # 8 x 8 x classes
    return layers.GlobalAveragePooling2D(dtype="float32", name="gap")(x)


def _mlpconv(net: Blocks, x: Any, kernel: int, channels: tuple[int, ...], name: str) -> Any:
    """A spatial convolution and 1x1 convolutions after it: a small MLP slid over the image."""
    for i, filters in enumerate(channels, start=1):
        x = net.conv(x, filters, kernel if i == 1 else 1, name=f"{name}_{i}_conv")
    return x
