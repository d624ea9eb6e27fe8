"""All layers that the historical networks need and Keras lacks.

Importing this module registers them, which loading a saved network needs. All take (batch, height,
width, channels), use keras.ops only, and save and load by name. A layer that owns weights keeps the
initializer of weight NAME in the attribute NAME_initializer, as Keras's own layers do; names in
`fixed_weights` are not parameters: training never moves them.
"""

from models.layers.activations import Dice, MonteCarloDropout, scaled_tanh
from models.layers.initializers import FanInUniform
from models.layers.lenet import Codes, PartialConv2D, RadialBasisOutput, Subsampling2D
from models.layers.normalizations import (
    DecorrelatedBatchNormalization,
    IdentityMatrices,
    LocalResponseNormalization,
    Normalise,
)
from models.layers.pooling import Pooling2D
from models.layers.shortcut import ZeroPadShortcut

__all__ = [
    "Codes",
    "DecorrelatedBatchNormalization",
    "Dice",
    "FanInUniform",
    "IdentityMatrices",
    "LocalResponseNormalization",
    "MonteCarloDropout",
    "Normalise",
    "PartialConv2D",
    "Pooling2D",
    "RadialBasisOutput",
    "Subsampling2D",
    "ZeroPadShortcut",
    "scaled_tanh",
]
