"""Inception v2 and v3: large windows factorised into small and into one-sided ones.

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: Rethinking the Inception Architecture for Computer
Vision, CVPR 2016 (arXiv:1512.00567), Table 1 and Figures 5 to 8, 10. The widths inside the modules
are those of the released network: the paper prints none.

Deviations (inception_v2, inception_v3):
- Widths of the modules are those of the released v3; the paper prints the sums only.
- Modules at 35 x 35 keep a branch of 1x1 and 5x5 where Figure 5 draws 1x1 and 3x3, as released.
- Kernels are drawn from N(0, 2/fan_in); the paper does not say.
- Batch normalisation has momentum 0.99 and epsilon 1e-3 as in Keras (tf-slim 0.9997, 1e-3).
- Average pooling leaves the padding out, as TensorFlow does; torchvision counts its zeros.
- Pooling by 8 x 8 is over the whole map, whatever its size.
- Dropout of 0.2 before the last layer as in tf-slim (torchvision 0.5, Keras none).

Deviations (inception_v2):
- An interpretation: no such network was released. Table 1's stem before the modules of v3.
- Of Table 1's five modules at 17 x 17, one is the reduction of Figure 10 to that size.

Deviations (inception_v3):
- The stem is the released one (1x1 of 80, 3x3 of 192, pool); Table 1 is inception_v2's.
- The auxiliary classifier averages what its 5x5 convolution leaves, one position at 299 x 299.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keras import layers

from models import options
from models.architectures.blocks import Blocks
from models.architectures.branches import AVERAGE, SHRINK, VALID, Branch, Conv, Pool, apply, module
from models.choices import PAPER, Choices
from models.errors import InputTooSmall
from models.layers.initializers import truncated_normal

ROW, COLUMN = (1, 7), (7, 1)

Branches = dict[str, Branch]
Stem = dict[str, Conv | Pool]


def _figure5(projection: int) -> Branches:
    return {
        "branch1x1": (Conv(64),),
        "branch5x5": (Conv(48), Conv(64, 5)),
        "branch3x3dbl": (Conv(64), Conv(96, 3), Conv(96, 3)),
        "branch_pool": (AVERAGE, Conv(projection)),
    }


def _figure6(inner: int) -> Branches:
    return {
        "branch1x1": (Conv(192),),
        "branch7x7": (Conv(inner), Conv(inner, ROW), Conv(192, COLUMN)),
        "branch7x7dbl": (
            Conv(inner),
            Conv(inner, COLUMN),
            Conv(inner, ROW),
            Conv(inner, COLUMN),
            Conv(192, ROW),
        ),
        "branch_pool": (AVERAGE, Conv(192)),
    }


FIGURE_7: Branches = {
    "branch1x1": (Conv(320),),
    "branch3x3": (Conv(384), (Conv(384, (1, 3)), Conv(384, (3, 1)))),
    "branch3x3dbl": (Conv(448), Conv(384, 3), (Conv(384, (1, 3)), Conv(384, (3, 1)))),
    "branch_pool": (AVERAGE, Conv(192)),
}

# Figure 10: convolution and pooling with stride 2 side by side.
TO_17: Branches = {
    "branch3x3": (Conv(384, 3, 2, VALID),),
    "branch3x3dbl": (Conv(64), Conv(96, 3), Conv(96, 3, 2, VALID)),
    "branch_pool": (SHRINK,),
}
TO_8: Branches = {
    "branch3x3": (Conv(192), Conv(320, 3, 2, VALID)),
    "branch7x7x3": (Conv(192), Conv(192, ROW), Conv(192, COLUMN), Conv(192, 3, 2, VALID)),
    "branch_pool": (SHRINK,),
}

V2_STEM: Stem = {
    "conv2d_1a_3x3": Conv(32, 3, 2, VALID),  # 149 x 149 x 32
    "conv2d_2a_3x3": Conv(32, 3, 1, VALID),  # 147 x 147 x 32
    "conv2d_2b_3x3": Conv(64, 3),  # 147 x 147 x 64
    "pool1": SHRINK,  # 73 x 73 x 64
    "conv2d_3b_3x3": Conv(80, 3, 1, VALID),  # 71 x 71 x 80
    "conv2d_4a_3x3": Conv(192, 3, 2, VALID),  # 35 x 35 x 192
    "conv2d_4b_3x3": Conv(288, 3),  # 35 x 35 x 288
}
V3_STEM: Stem = {
    "conv2d_1a_3x3": Conv(32, 3, 2, VALID),  # 149 x 149 x 32
    "conv2d_2a_3x3": Conv(32, 3, 1, VALID),  # 147 x 147 x 32
    "conv2d_2b_3x3": Conv(64, 3),  # 147 x 147 x 64
    "pool1": SHRINK,  # 73 x 73 x 64
    "conv2d_3b_1x1": Conv(80),  # 73 x 73 x 80
    "conv2d_4a_3x3": Conv(192, 3, 1, VALID),  # 71 x 71 x 192
    "pool2": SHRINK,  # 35 x 35 x 192
}
V3_MODULES = {
    "mixed_5b": _figure5(32),  # 35 x 35 x 256
    "mixed_5c": _figure5(64),  # 35 x 35 x 288
    "mixed_5d": _figure5(64),
    "mixed_6a": TO_17,  # 17 x 17 x 768
    "mixed_6b": _figure6(128),
    "mixed_6c": _figure6(160),
    "mixed_6d": _figure6(160),
    "mixed_6e": _figure6(192),
    "mixed_7a": TO_8,  # 8 x 8 x 1280
    "mixed_7b": FIGURE_7,  # 8 x 8 x 2048
    "mixed_7c": FIGURE_7,
}
V2_MODULES = {**V3_MODULES, "mixed_5b": _figure5(64)}  # 35 x 35 x 288 in and out


def inception_v2(images: Any, classes: int, *, choices: Choices = PAPER) -> Any:
    """Table 1 as printed: images (batch, h, w, c) -> logits (batch, classes)."""
    return _network(images, classes, choices, V2_STEM, V2_MODULES)["logits"]


def inception_v3(
    images: Any, classes: int, *, choices: Choices = PAPER, auxiliary: bool = False
) -> Any:
    """The released network: images (batch, h, w, c) -> logits (batch, classes).

    With `auxiliary`, a dict of them, "logits" and "auxiliary_1" (section 4), whose loss the card
    weighs. Raises InputTooSmall where that classifier has less than 17 x 17 positions to see.
    """
    if options.flag("auxiliary", auxiliary):
        return _network(images, classes, choices, V3_STEM, V3_MODULES, auxiliary_on="mixed_6e")
    return _network(images, classes, choices, V3_STEM, V3_MODULES)["logits"]


def _network(
    images: Any,
    classes: int,
    choices: Choices,
    stem: Stem,
    modules: Mapping[str, Branches],
    auxiliary_on: str | None = None,
) -> dict[str, Any]:
    net = Blocks(choices, normalization="batch", dropout=0.2, momentum=0.99, epsilon=1e-3)
    x, outputs = images, {}
    for name, step in stem.items():
        x = apply(net, x, step, name=name)
    for name, branches in modules.items():
        x = module(net, x, branches, name=name)
        if name == auxiliary_on:
            outputs["auxiliary_1"] = _auxiliary(net, x, classes, name="auxiliary_1")
    x = layers.GlobalAveragePooling2D(name="gap")(x)  # 2048
    x = net.drop(x, name="drop")
    return {"logits": net.logits(x, classes, name="fc"), **outputs}


def _auxiliary(net: Blocks, x: Any, classes: int, name: str) -> Any:
    """Figure 8, with batch normalisation as in section 6: (b, 17, 17, 768) -> (b, classes)."""
    if min(x.shape[1:3]) < 17:
        raise InputTooSmall(
            "the auxiliary classifier pools 5x5 with stride 3 and convolves 5x5, so it needs a map "
            f"of 17x17 or larger. Received: {x.shape[1]}x{x.shape[2]}; enlarge the images, "
            "or leave it out (auxiliary: false)"
        )
    x = net.pool(x, 5, 3, mode="average", name=f"{name}_pool")  # 5 x 5 x 768
    x = net.conv(x, 128, 1, name=f"{name}_conv0_conv")  # 5 x 5 x 128
    narrow = replace(net, initializer=truncated_normal(0.01))  # tf-slim, as 0.001 below
    x = narrow.conv(x, 768, 5, padding="valid", name=f"{name}_conv1_conv")
    x = layers.GlobalAveragePooling2D(name=f"{name}_gap")(x)  # 768
    narrower = replace(net, initializer=truncated_normal(0.001))
    return narrower.logits(x, classes, name=f"{name}_fc")
