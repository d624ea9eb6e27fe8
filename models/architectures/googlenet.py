"""GoogLeNet, the first Inception network.

Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich: Going Deeper with
Convolutions, CVPR 2015 (arXiv:1409.4842), Table 1, Figures 2 and 3, section 5.

Deviations (googlenet):
- conv1 is the plain 7x7 of the text; Table 1's 2.7K parameters fit a separable one of 2,712.
- Constants of the local response normalisation are BVLC's (n 5, alpha 1e-4, k 1): none in print.
- Kernels are drawn as BVLC's, uniform with variance 1/fan_in, biases 0.2; the paper does not say.
- Pooling with stride 2 rounds up, from which Table 1's maps follow.
- Pooling by 7 x 7 is over the whole map, whatever its size.
- Dropout enlarges the kept units while training, by which testing needs no rescaling.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import initializers, layers

from models import options
from models.architectures.blocks import Blocks
from models.choices import PAPER, Choices
from models.errors import InputTooSmall


class Inception(NamedTuple):
    """The columns of Table 1."""

    conv1x1: int
    reduce3x3: int
    conv3x3: int
    reduce5x5: int
    conv5x5: int
    projection: int


MODULES = {
    "3a": Inception(64, 96, 128, 16, 32, 32),  # 28 x 28 x 256
    "3b": Inception(128, 128, 192, 32, 96, 64),  # 28 x 28 x 480
    "4a": Inception(192, 96, 208, 16, 48, 64),  # 14 x 14 x 512
    "4b": Inception(160, 112, 224, 24, 64, 64),
    "4c": Inception(128, 128, 256, 24, 64, 64),
    "4d": Inception(112, 144, 288, 32, 64, 64),  # 14 x 14 x 528
    "4e": Inception(256, 160, 320, 32, 128, 128),  # 14 x 14 x 832
    "5a": Inception(256, 160, 320, 32, 128, 128),  # 7 x 7 x 832
    "5b": Inception(384, 192, 384, 48, 128, 128),  # 7 x 7 x 1024
}
POOLED_AFTER = {"3b": "pool3", "4e": "pool4"}
AUXILIARY_ON = {"4a": "auxiliary_1", "4d": "auxiliary_2"}
KINDS = ("reduced", "naive")

# Caffe's 1 + alpha / n * sum, so that ours is without the n.
RESPONSE_NORM = {"depth_radius": 2, "bias": 1.0, "alpha": 1e-4 / 5, "beta": 0.75}


def googlenet(
    images: Any,
    classes: int,
    *,
    choices: Choices = PAPER,
    auxiliary: bool = False,
    inception: str = "reduced",
) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes).

    `inception` "naive" (Figure 2a) has no 1x1 convolutions before the large ones nor after the
    pool, whose channels all pass on. With `auxiliary`, a dict of logits: "logits", and
    "auxiliary_1" and "auxiliary_2" on modules 4a and 4d, whose losses the card weighs. Raises
    InputTooSmall where these have less than 5 x 5 positions to pool.
    """
    options.flag("auxiliary", auxiliary)
    kind = options.choice("inception", inception, KINDS)
    net = Blocks(choices, initializer=initializers.LecunUniform, bias=0.2, dropout=0.4)
    x = net.conv(images, 64, 7, strides=2, name="conv1")  # 112 x 112 x 64
    x = net.pool(x, 3, 2, ceil=True, name="pool1")  # 56 x 56 x 64
    x = net.response_norm(x, name="norm1", **RESPONSE_NORM)
    x = net.conv(x, 64, 1, name="conv2_reduce")  # 56 x 56 x 64
    x = net.conv(x, 192, 3, name="conv2")  # 56 x 56 x 192
    x = net.response_norm(x, name="norm2", **RESPONSE_NORM)
    x = net.pool(x, 3, 2, ceil=True, name="pool2")  # 28 x 28 x 192
    outputs = {}
    for number, row in MODULES.items():
        x = module(net, x, row, naive=kind == "naive", name=f"inception_{number}")
        if auxiliary and number in AUXILIARY_ON:
            name = AUXILIARY_ON[number]
            outputs[name] = _auxiliary(net, x, classes, name=name)
        if number in POOLED_AFTER:
            x = net.pool(x, 3, 2, ceil=True, name=POOLED_AFTER[number])
    x = layers.GlobalAveragePooling2D(name="gap")(x)  # 1024
    x = net.drop(x, name="drop")
    logits = net.logits(x, classes, name="fc")
    return {"logits": logits, **outputs} if auxiliary else logits


def module(net: Blocks, x: Any, row: Inception, *, naive: bool = False, name: str) -> Any:
    """Figure 2b, or 2a if naive: (b, h, w, c) -> (b, h, w, sum of filters), naive: and of c."""
    ones = net.conv(x, row.conv1x1, 1, name=f"{name}_1x1")
    threes = fives = x
    pooled = net.pool(x, 3, 1, padding="same", name=f"{name}_pool")
    if not naive:
        threes = net.conv(x, row.reduce3x3, 1, name=f"{name}_3x3_reduce")
        fives = net.conv(x, row.reduce5x5, 1, name=f"{name}_5x5_reduce")
        pooled = net.conv(pooled, row.projection, 1, name=f"{name}_pool_proj")
    threes = net.conv(threes, row.conv3x3, 3, name=f"{name}_3x3")
    fives = net.conv(fives, row.conv5x5, 5, name=f"{name}_5x5")
    return layers.Concatenate(name=name)([ones, threes, fives, pooled])


def _auxiliary(net: Blocks, x: Any, classes: int, name: str) -> Any:
    """Section 5: (b, 14, 14, c) -> (b, classes)."""
    if min(x.shape[1:3]) < 5:
        raise InputTooSmall(
            "the auxiliary classifiers pool 5x5, for which they need maps of 5x5 or larger. "
            f"Received: {x.shape[1]}x{x.shape[2]}; enlarge the images, or leave them out "
            "(auxiliary: false)"
        )
    x = net.pool(x, 5, 3, mode="average", name=f"{name}_pool")  # 4 x 4 x c
    x = net.conv(x, 128, 1, name=f"{name}_conv")  # 4 x 4 x 128
    x = layers.Flatten(name=f"{name}_flatten")(x)  # 2048
    x = net.dense(x, 1024, name=f"{name}_fc")
    x = net.drop(x, 0.7, name=f"{name}_drop")
    return net.logits(x, classes, name=f"{name}_logits")
