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

from models.layers.pooling import pair


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
