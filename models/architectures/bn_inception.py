"""BN-Inception, the network with which batch normalisation was introduced.

Ioffe, Szegedy: Batch Normalization: Accelerating Deep Network Training by Reducing Internal
Covariate Shift, ICML 2015 (arXiv:1502.03167), section 4.2 and the appendix, Figure 5.

Deviations (bn_inception):
- 4c and 4d project 128 channels, as Figure 5 prints, to 608 in all, not to the 576 it also prints.
- conv1 is a plain 7x7, as in the Caffe port; the paper's is separable, of depth multiplier 8.
- Convolutions keep the biases of the Caffe port, which batch normalisation takes out again.
- Kernels are drawn from N(0, 2/fan_in); the paper does not say.
- Batch normalisation has momentum 0.9 and epsilon 1e-5; the paper does not say.
- Pooling with stride 2 rounds up, from which Figure 5's maps follow.
- Average pooling leaves the padding out, as TensorFlow does; Caffe counts its zeros.
- Pooling by 7 x 7 is over the whole map, whatever its size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import layers

from models.architectures.blocks import Blocks
from models.choices import PAPER, Choices


class Inception(NamedTuple):
    """The columns of Figure 5; the 5x5 windows of GoogLeNet are two 3x3. 0: no such branch."""

    strides: int
    conv1x1: int
    reduce3x3: int
    conv3x3: int
    reduce_double3x3: int
    double3x3: int
    pooling: str
    projection: int


MODULES = {
    "3a": Inception(1, 64, 64, 64, 64, 96, "average", 32),  # 28 x 28 x 256
    "3b": Inception(1, 64, 64, 96, 64, 96, "average", 64),  # 28 x 28 x 320
    "3c": Inception(2, 0, 128, 160, 64, 96, "max", 0),  # 14 x 14 x 576
    "4a": Inception(1, 224, 64, 96, 96, 128, "average", 128),
    "4b": Inception(1, 192, 96, 128, 96, 128, "average", 128),
    "4c": Inception(1, 160, 128, 160, 128, 160, "average", 128),  # 14 x 14 x 608
    "4d": Inception(1, 96, 128, 192, 160, 192, "average", 128),
    "4e": Inception(2, 0, 128, 192, 192, 256, "max", 0),  # 7 x 7 x 1056
    "5a": Inception(1, 352, 192, 320, 160, 224, "average", 128),  # 7 x 7 x 1024
    "5b": Inception(1, 352, 192, 320, 192, 224, "max", 128),
}


def bn_inception(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes)."""
    net = Blocks(choices, normalization="batch", bias=0.0)  # kept, see the deviations
    x = net.conv(images, 64, 7, strides=2, name="conv1_7x7_s2")  # 112 x 112 x 64
    x = net.pool(x, 3, 2, ceil=True, name="pool1")  # 56 x 56 x 64
    x = net.conv(x, 64, 1, name="conv2_3x3_reduce")  # 56 x 56 x 64
    x = net.conv(x, 192, 3, name="conv2_3x3")  # 56 x 56 x 192
    x = net.pool(x, 3, 2, ceil=True, name="pool2")  # 28 x 28 x 192
    for number, row in MODULES.items():
        x = _module(net, x, row, name=f"inception_{number}")
    x = layers.GlobalAveragePooling2D(name="gap")(x)  # 1024
    x = net.drop(x, name="drop")
    return net.logits(x, classes, name="fc")


def _module(net: Blocks, x: Any, row: Inception, name: str) -> Any:
    """Four branches, or three with stride 2, whose pool then shrinks and passes all channels on."""
    shrinks = row.strides > 1

    def conv(y: Any, filters: int, size: int, suffix: str, strides: int = 1) -> Any:
        return net.conv(y, filters, size, strides=strides, name=f"{name}_{suffix}")

    branches = [] if shrinks else [conv(x, row.conv1x1, 1, "1x1")]
    y = conv(x, row.reduce3x3, 1, "3x3_reduce")
    branches.append(conv(y, row.conv3x3, 3, "3x3", row.strides))
    y = conv(x, row.reduce_double3x3, 1, "double_3x3_reduce")
    y = conv(y, row.double3x3, 3, "double_3x3_1")
    branches.append(conv(y, row.double3x3, 3, "double_3x3_2", row.strides))
    if shrinks:
        # Rounded up as in the Caffe port, but from odd sides the convolutions make one more.
        odd = any(side % 2 for side in x.shape[1:3])
        edge = {"padding": 1} if odd else {"ceil": True}
        branches.append(net.pool(x, 3, 2, mode=row.pooling, name=f"{name}_pool", **edge))
    else:
        y = net.pool(x, 3, 1, mode=row.pooling, padding="same", name=f"{name}_pool")
        branches.append(conv(y, row.projection, 1, "pool_proj"))
    return layers.Concatenate(name=name)(branches)
