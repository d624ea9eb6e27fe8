"""ZFNet: AlexNet with smaller windows and strides in its first layers.

Zeiler, Fergus: Visualizing and Understanding Convolutional Networks, ECCV 2014 (arXiv:1311.2901),
Figure 3 and section 3; `wide` is the second network of Table 2; both options make those of Table 3.

Deviations (zfnet):
- One pixel of padding in conv1 and pooling rounded up: Figure 3's 110, 55 and 13 need them.
- Contrast normalisation is AlexNet's response normalisation and constants; the paper names none.
- Filters whose RMS exceeds 0.1 are not scaled back while training; max_norm bounds their length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import layers

from models import options
from models.architectures.blocks import Blocks
from models.choices import PAPER, Choices
from models.layers.initializers import normal

FILTERS = {False: (384, 384, 256), True: (512, 1024, 512)}
"""Of conv3, conv4 and conv5."""
HIDDEN = (4096, 4096)
"""Units of fc6 and fc7."""


def zfnet(
    images: Any,
    classes: int,
    *,
    choices: Choices = PAPER,
    wide: bool = False,
    hidden: Sequence[int] = HIDDEN,
) -> Any:
    """images (batch, h, w, c) -> logits (batch, classes); dropout after fc6 and fc7.

    `wide` has 512, 1024, 512 maps in conv3 to conv5: 107,627,624 parameters. `hidden`: units of the
    dense layers before the last.
    """
    net = Blocks(choices, initializer=normal(0.01), dropout=0.5)
    x = net.conv(images, 96, 7, strides=2, padding=1, name="conv1")  # 110 x 110 x 96
    x = net.pool(x, 3, 2, ceil=True, name="pool1")  # 55 x 55 x 96
    x = net.response_norm(x, name="norm1")  # after the pooling, unlike AlexNet
    x = net.conv(x, 256, 5, strides=2, padding="valid", name="conv2")  # 26 x 26 x 256
    x = net.pool(x, 3, 2, ceil=True, name="pool2")  # 13 x 13 x 256
    x = net.response_norm(x, name="norm2")
    for number, filters in enumerate(FILTERS[options.flag("wide", wide)], start=3):
        x = net.conv(x, filters, 3, name=f"conv{number}")  # 13 x 13 x 384, 384, 256
    x = net.pool(x, 3, 2, name="pool5")  # 6 x 6 x 256
    x = layers.Flatten(name="flatten")(x)  # 9216
    for number, units in enumerate(options.widths("hidden", hidden), start=6):
        x = net.dense(x, units, name=f"fc{number}")  # 4096
        x = net.drop(x, name=f"drop{number}")
    return net.logits(x, classes, name="fc8")
