"""Inception-ResNet: Inception modules whose output is scaled and added to their input.

Szegedy, Ioffe, Vanhoucke, Alemi: Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning, AAAI 2017 (arXiv:1602.07261), Figures 3, 7 and 10 to 18, Table 1.

The paper's networks and those whose weights were released differ: v1 by its last unit (the release
is that of FaceNet), v2 also by its stem, its widths and the number of its units.

Deviations:
- Residuals are scaled by 0.17, 0.10 and 0.20, as released; the paper names 0.1 to 0.3.
- Normalisation trains a scale (gamma), which the released networks leave out.
- Moving averages keep 0.99 a step, epsilon is 1e-3, as in Keras; the paper gives neither.
- Kernels are drawn uniform (Glorot), the default of the released code; the paper does not say.

Deviations (inception_resnet_v1):
- By default as in the paper: the released network adds a sixth unit C, not scaled, not activated.

Deviations (inception_resnet_v2):
- By default as released: stem of Inception-v3, 10, 20 and 10 units, another 1x1 to 1536 channels.
- In layout "paper" sums of 1152 and 2144 channels stand where its figures print 1154 and 2048.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from keras import layers

from models import options
from models.architectures.blocks import Blocks
from models.architectures.branches import (
    AVERAGE,
    SHRINK,
    VALID,
    Branch,
    Conv,
    Pool,
    apply,
    module,
    stems,
)
from models.choices import PAPER, Choices
from models.layers.initializers import glorot_uniform

LAYOUTS = ("released", "paper")

Branches = Mapping[str, Branch]


class Residual(NamedTuple):
    """Units `numbers` of one kind: x + scale * (1x1 of all branches), then the activation."""

    name: str
    numbers: range
    branches: Branches
    scale: float
    activate: bool = True


Row = Conv | Pool | Branches
Layout = tuple[tuple[str, Row] | Residual, ...]

# Figures 3 and 14 begin like Inception-v3.
STEM: Layout = (
    ("conv2d_1a_3x3", Conv(32, 3, 2, VALID)),  # 149 x 149 x 32
    ("conv2d_2a_3x3", Conv(32, 3, 1, VALID)),  # 147 x 147 x 32
    ("conv2d_2b_3x3", Conv(64, 3)),  # 147 x 147 x 64
)
NARROW: Layout = (
    *STEM,
    ("pool1", SHRINK),  # 73 x 73 x 64
    ("conv2d_3b_1x1", Conv(80)),  # 73 x 73 x 80
    ("conv2d_4a_3x3", Conv(192, 3, 1, VALID)),  # 71 x 71 x 192
)


def _reduction_a(first: int, second: int, third: int, alone: int) -> Branches:
    """Figure 7, with k, l, m and n of Table 1: 35 x 35 -> 17 x 17."""
    return {
        "branch0": (Conv(alone, 3, 2, VALID),),
        "branch1": (Conv(first), Conv(second, 3), Conv(third, 3, 2, VALID)),
        "branch2": (SHRINK,),
    }


def _reduction_b(second: int, third: int, fourth: int) -> Branches:
    """Figures 12 and 18: 17 x 17 -> 8 x 8."""
    return {
        "branch0": (Conv(256), Conv(384, 3, 2, VALID)),
        "branch1": (Conv(256), Conv(second, 3, 2, VALID)),
        "branch2": (Conv(256), Conv(third, 3), Conv(fourth, 3, 2, VALID)),
        "branch3": (SHRINK,),
    }


# ------------------------------------------------------------------------------------------- v1

V1_A: Branches = {  # Figure 10
    "branch0": (Conv(32),),
    "branch1": (Conv(32), Conv(32, 3)),
    "branch2": (Conv(32), Conv(32, 3), Conv(32, 3)),
}
V1_B: Branches = {  # Figure 11
    "branch0": (Conv(128),),
    "branch1": (Conv(128), Conv(128, (1, 7)), Conv(128, (7, 1))),
}
V1_C: Branches = {  # Figure 13
    "branch0": (Conv(192),),
    "branch1": (Conv(192), Conv(192, (1, 3)), Conv(192, (3, 1))),
}
V1_PAPER: Layout = (
    *NARROW,
    ("conv2d_4b_3x3", Conv(256, 3, 2, VALID)),  # 35 x 35 x 256
    Residual("block35", range(1, 6), V1_A, 0.17),
    ("mixed_6a", _reduction_a(192, 192, 256, 384)),  # 17 x 17 x 896
    Residual("block17", range(1, 11), V1_B, 0.10),
    ("mixed_7a", _reduction_b(256, 256, 256)),  # 8 x 8 x 1792
    Residual("block8", range(1, 6), V1_C, 0.20),
)
V1_RELEASED: Layout = (*V1_PAPER, Residual("block8", range(6, 7), V1_C, 1.0, activate=False))
V1 = {"released": V1_RELEASED, "paper": V1_PAPER}

# ------------------------------------------------------------------------------------------- v2

V2_A: Branches = {  # Figure 16
    "branch0": (Conv(32),),
    "branch1": (Conv(32), Conv(32, 3)),
    "branch2": (Conv(32), Conv(48, 3), Conv(64, 3)),
}
V2_B: Branches = {  # Figure 17
    "branch0": (Conv(192),),
    "branch1": (Conv(128), Conv(160, (1, 7)), Conv(192, (7, 1))),
}
V2_C: Branches = {  # Figure 19
    "branch0": (Conv(192),),
    "branch1": (Conv(192), Conv(224, (1, 3)), Conv(256, (3, 1))),
}
MIXED_5B: Branches = {  # the first module of Inception-v3, wider
    "branch0": (Conv(96),),
    "branch1": (Conv(48), Conv(64, 5)),
    "branch2": (Conv(64), Conv(96, 3), Conv(96, 3)),
    "branch3": (AVERAGE, Conv(64)),
}
MIXED_3A: Branches = {"branch0": (SHRINK,), "branch1": (Conv(96, 3, 2, VALID),)}
MIXED_4A: Branches = {  # with 3a and 5a, the stem of Figure 3
    "branch0": (Conv(64), Conv(96, 3, 1, VALID)),
    "branch1": (Conv(64), Conv(64, (7, 1)), Conv(64, (1, 7)), Conv(96, 3, 1, VALID)),
}
MIXED_5A: Branches = {"branch0": (Conv(192, 3, 2, VALID),), "branch1": (SHRINK,)}
V2_RELEASED: Layout = (
    *NARROW,
    ("pool2", SHRINK),  # 35 x 35 x 192
    ("mixed_5b", MIXED_5B),  # 35 x 35 x 320
    Residual("block35", range(1, 11), V2_A, 0.17),
    ("mixed_6a", _reduction_a(256, 256, 384, 384)),  # 17 x 17 x 1088
    Residual("block17", range(1, 21), V2_B, 0.10),
    ("mixed_7a", _reduction_b(288, 288, 320)),  # 8 x 8 x 2080
    Residual("block8", range(1, 10), V2_C, 0.20),
    Residual("block8", range(10, 11), V2_C, 1.0, activate=False),
    ("conv2d_7b", Conv(1536)),  # 8 x 8 x 1536
)
V2_PAPER: Layout = (
    *STEM,  # Figure 3
    ("mixed_3a", MIXED_3A),  # 73 x 73 x 160
    ("mixed_4a", MIXED_4A),  # 71 x 71 x 192
    ("mixed_5a", MIXED_5A),  # 35 x 35 x 384
    Residual("block35", range(1, 6), V2_A, 0.17),
    ("mixed_6a", _reduction_a(256, 256, 384, 384)),  # 17 x 17 x 1152
    Residual("block17", range(1, 11), V2_B, 0.10),
    ("mixed_7a", _reduction_b(288, 288, 320)),  # 8 x 8 x 2144
    Residual("block8", range(1, 6), V2_C, 0.20),
)
V2 = {"released": V2_RELEASED, "paper": V2_PAPER}

# -------------------------------------------------------------------------------------- networks


def inception_resnet_v1(
    images: Any, classes: int, *, choices: Choices = PAPER, layout: str = "paper"
) -> Any:
    """Figure 15 with the modules of v1; layout "released" is FaceNet's, one more unit C."""
    return _network(images, classes, choices, V1[options.choice("layout", layout, LAYOUTS)])


def inception_resnet_v2(
    images: Any, classes: int, *, choices: Choices = PAPER, layout: str = "released"
) -> Any:
    """As released with weights (TensorFlow, Keras); layout "paper" is Figure 15's, -42% params."""
    return _network(images, classes, choices, V2[options.choice("layout", layout, LAYOUTS)])


def _network(images: Any, classes: int, choices: Choices, layout: Layout) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes); 20% dropped before the last layer."""
    net = Blocks(
        choices,
        normalization="batch",
        initializer=glorot_uniform,
        dropout=0.2,
        momentum=0.99,
        epsilon=1e-3,
    )
    x = images
    for row in layout:
        if isinstance(row, Residual):
            for number in row.numbers:
                x = _unit(net, x, row, f"{row.name}_{number}")
        elif isinstance(row[1], Mapping):
            x = module(net, x, row[1], first=0, name=row[0])
        else:
            x = apply(net, x, row[1], name=row[0])
    x = layers.GlobalAveragePooling2D(name="gap")(x)  # 1792; v2: 1536, paper 2144
    x = net.drop(x, name="drop")
    return net.logits(x, classes, name="fc")


def _unit(net: Blocks, x: Any, row: Residual, name: str) -> Any:
    y = module(net, x, row.branches, first=0, name=name)
    # Section 3.2, "filter expansion": linear, with a bias, not normalised.
    y = net.conv(
        y, x.shape[-1], 1, activate=False, normalise=False, exact=True, name=f"{name}_conv"
    )
    if row.scale != 1.0:  # section 3.3
        y = layers.Rescaling(row.scale, name=f"{name}_scale")(y)
    x = layers.Add(name=f"{name}_add")([x, y])
    return net.activate(x, name=f"{name}_out") if row.activate else x


def normalised_stems(layout: Layout) -> list[str]:
    """Names of all convolutions but the linear ones, without "_conv", from input to output."""
    names: list[str] = []
    for row in layout:
        if isinstance(row, Residual):
            for number in row.numbers:
                names += stems(row.branches, first=0, name=f"{row.name}_{number}")
        elif isinstance(row[1], Mapping):
            names += stems(row[1], first=0, name=row[0])
        elif isinstance(row[1], Conv):
            names.append(row[0])
    return names
