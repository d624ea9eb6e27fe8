"""Inception v4.

Szegedy, Ioffe, Vanhoucke, Alemi: Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning, AAAI 2017 (arXiv:1602.07261), Figures 3 to 9.

Deviations (inception_v4):
- Where the figures print a one-sided window twice or the other way round, the released order.
- Kernels are drawn from N(0, 2/fan_in); the paper does not say.
- Batch normalisation has momentum 0.99 and epsilon 1e-3 (tf-slim 0.9997, 1e-3).
- Average pooling leaves the padding out, as TensorFlow does; the paper does not say.
- The auxiliary classifier of the released network is left out; the paper shows none.
"""

from __future__ import annotations

from typing import Any

from keras import layers

from models.architectures.blocks import Blocks
from models.architectures.branches import AVERAGE, SHRINK, VALID, Branch, Conv, apply, module
from models.choices import PAPER, Choices

ROW, COLUMN = (1, 7), (7, 1)

Branches = dict[str, Branch]

STEM = {
    "conv2d_1a_3x3": Conv(32, 3, 2, VALID),  # 149 x 149 x 32
    "conv2d_2a_3x3": Conv(32, 3, 1, VALID),  # 147 x 147 x 32
    "conv2d_2b_3x3": Conv(64, 3),  # 147 x 147 x 64
}

# Branches are named, and their convolutions numbered from 0, as in the ports to other frameworks.
STEM_2: Branches = {
    "branch0": (Conv(64), Conv(96, 3, 1, VALID)),
    "branch1": (Conv(64), Conv(64, ROW), Conv(64, COLUMN), Conv(96, 3, 1, VALID)),
}
INCEPTION_A: Branches = {  # Figure 4
    "branch0": (Conv(96),),
    "branch1": (Conv(64), Conv(96, 3)),
    "branch2": (Conv(64), Conv(96, 3), Conv(96, 3)),
    "branch3_1": (AVERAGE, Conv(96)),
}
REDUCTION_A: Branches = {  # Figure 7, k, l, m, n of Table 1
    "branch0": (Conv(384, 3, 2, VALID),),
    "branch1": (Conv(192), Conv(224, 3), Conv(256, 3, 2, VALID)),
    "branch2": (SHRINK,),
}
INCEPTION_B: Branches = {  # Figure 5
    "branch0": (Conv(384),),
    "branch1": (Conv(192), Conv(224, ROW), Conv(256, COLUMN)),
    "branch2": (
        Conv(192),
        Conv(192, COLUMN),
        Conv(224, ROW),
        Conv(224, COLUMN),
        Conv(256, ROW),
    ),
    "branch3_1": (AVERAGE, Conv(128)),
}
REDUCTION_B: Branches = {  # Figure 8
    "branch0": (Conv(192), Conv(192, 3, 2, VALID)),
    "branch1": (Conv(256), Conv(256, ROW), Conv(320, COLUMN), Conv(320, 3, 2, VALID)),
    "branch2": (SHRINK,),
}
INCEPTION_C: Branches = {  # Figure 6
    "branch0": (Conv(256),),
    "branch1": (Conv(384), (Conv(256, (1, 3)), Conv(256, (3, 1)))),
    "branch2": (
        Conv(384),
        Conv(448, (3, 1)),
        Conv(512, (1, 3)),
        (Conv(256, (1, 3)), Conv(256, (3, 1))),
    ),
    "branch3_1": (AVERAGE, Conv(256)),
}
MODULES = {
    **{f"mixed_5{letter}": INCEPTION_A for letter in "bcde"},  # 35 x 35 x 384
    "mixed_6a": REDUCTION_A,  # 17 x 17 x 1024
    **{f"mixed_6{letter}": INCEPTION_B for letter in "bcdefgh"},
    "mixed_7a": REDUCTION_B,  # 8 x 8 x 1536
    **{f"mixed_7{letter}": INCEPTION_C for letter in "bcd"},
}


def inception_v4(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """Figure 9: images (batch, h, w, c) -> logits (batch, classes)."""
    net = Blocks(choices, normalization="batch", dropout=0.2, momentum=0.99, epsilon=1e-3)
    x = _stem(net, images)  # 35 x 35 x 384
    for name, branches in MODULES.items():
        x = module(net, x, branches, first=0, name=name)
    x = layers.GlobalAveragePooling2D(name="gap")(x)  # 1536
    x = net.drop(x, name="drop")
    return net.logits(x, classes, name="fc")


def _stem(net: Blocks, x: Any) -> Any:
    """Figure 3; twice a convolution with stride 2 stands beside a pool."""
    for name, step in STEM.items():
        x = apply(net, x, step, name=name)
    pooled = apply(net, x, SHRINK, name="mixed_3a_pool")
    convolved = apply(net, x, Conv(96, 3, 2, VALID), name="mixed_3a_conv")
    x = layers.Concatenate(name="mixed_3a")([pooled, convolved])  # 73 x 73 x 160
    x = module(net, x, STEM_2, first=0, name="mixed_4a")  # 71 x 71 x 192
    convolved = apply(net, x, Conv(192, 3, 2, VALID), name="mixed_5a_conv")
    pooled = apply(net, x, SHRINK, name="mixed_5a_pool")
    return layers.Concatenate(name="mixed_5a")([convolved, pooled])
