"""Tables of costs that papers print, to set beside what the networks count.

Szegedy et al.: Going Deeper with Convolutions, CVPR 2015 (arXiv:1409.4842), Table 1.
"""

from __future__ import annotations

from typing import NamedTuple


class PrintedCost(NamedTuple):
    """One row: weights without biases in units of 1024, and millions of multiply-accumulates.

    `layers` is what our names of the row's layers begin with.
    """

    row: str
    layers: str
    kilo_params: float
    mega_macs: float


GOOGLENET = (
    PrintedCost("convolution 7x7", "conv1", 2.7, 34),
    PrintedCost("convolution 3x3", "conv2", 112, 360),
    PrintedCost("inception (3a)", "inception_3a", 159, 128),
    PrintedCost("inception (3b)", "inception_3b", 380, 304),
    PrintedCost("inception (4a)", "inception_4a", 364, 73),
    PrintedCost("inception (4b)", "inception_4b", 437, 88),
    PrintedCost("inception (4c)", "inception_4c", 463, 100),
    PrintedCost("inception (4d)", "inception_4d", 580, 119),
    PrintedCost("inception (4e)", "inception_4e", 840, 170),
    PrintedCost("inception (5a)", "inception_5a", 1072, 54),
    PrintedCost("inception (5b)", "inception_5b", 1388, 71),
    PrintedCost("linear", "fc", 1000, 1),
)
# The first row as printed is what a separable 7x7 of channel multiplier 8 costs (2,712 weights and
# 34.0 M); the paper's text and every copy of the network have a plain 7x7 (9,408 and 118.0 M).

PRINTED_COSTS = {"googlenet": GOOGLENET}
