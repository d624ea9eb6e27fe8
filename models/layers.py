"""All layers that the historical networks need and Keras lacks.

Importing this module registers them, which loading a saved network needs. All take (batch, height,
width, channels), use keras.ops only, and save and load by name. A layer that owns weights keeps the
initializer of weight NAME in the attribute NAME_initializer, as Keras's own layers do; names in
`fixed_weights` are not parameters: training never moves them.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from models.activations import Dice, MonteCarloDropout, scaled_tanh
from models.layer_weights import add_weights
from models.lenet_layers import Codes, PartialConv2D, RadialBasisOutput, Subsampling2D
from models.normalizations import (
    DecorrelatedBatchNormalization,
    IdentityMatrices,
    LocalResponseNormalization,
)
from models.pooling import Pooling2D, pair

__all__ = [
    "Codes",
    "DecorrelatedBatchNormalization",
    "Dice",
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


@keras.saving.register_keras_serializable(package="ilsvrc")
class Normalise(keras.layers.Layer):
    """(images - mean) / scale per channel; images of 0..255, float or uint8.

    `mean` and `scale` (channels,) are fixed weights, assigned from the training part of the data;
    until then the layer passes its input on. Computed in float32, whatever the dtype policy: in
    bfloat16 a mean of 123.68 would be 123.5.
    """

    fixed_weights = ("mean", "scale")

    def __init__(
        self, mean_initializer: Any = "zeros", scale_initializer: Any = "ones", **kwargs: Any
    ) -> None:
        kwargs["autocast"] = False  # the images must not lose bits before `call` sees them
        super().__init__(**kwargs)
        self.mean_initializer = keras.initializers.get(mean_initializer)
        self.scale_initializer = keras.initializers.get(scale_initializer)

    def build(self, input_shape: Any) -> None:
        add_weights(self, dict.fromkeys(self.fixed_weights, (input_shape[-1],)))

    def call(self, inputs: Any) -> Any:
        normalised = (ops.cast(inputs, "float32") - self.mean) / self.scale
        return ops.cast(normalised, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        serialize = keras.initializers.serialize
        own = {
            "mean_initializer": serialize(self.mean_initializer),
            "scale_initializer": serialize(self.scale_initializer),
        }
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="ilsvrc")
class ZeroPadShortcut(keras.layers.Layer):
    """The parameter-free shortcut: every `strides`-th position, zeros for the new channels.

    Option A of He et al. 2015, section 3.3. The zeros stand after the old channels.
    """

    def __init__(self, filters: int, strides: int | tuple[int, int] = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = pair("strides", strides)

    def build(self, input_shape: Any) -> None:
        if input_shape[-1] > self.filters:
            raise ValueError(
                f"ZeroPadShortcut adds channels: filters must be {input_shape[-1]} or more. "
                f"Received: filters={self.filters}"
            )

    def call(self, inputs: Any) -> Any:
        kept = inputs[:, :: self.strides[0], :: self.strides[1], :]
        return ops.pad(kept, [[0, 0]] * 3 + [[0, self.filters - inputs.shape[-1]]])

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, *sides, _ = input_shape
        kept = [None if n is None else -(-n // s) for n, s in zip(sides, self.strides, strict=True)]
        return (batch, *kept, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}
