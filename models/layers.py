"""Layers that the historical networks need and Keras lacks.

All take (batch, height, width, channels), use keras.ops only, and save and load by name. A layer
that owns weights keeps the initializer of weight NAME in the attribute NAME_initializer, as Keras's
own layers do; names in `fixed_weights` are not parameters: training never moves them.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


def _pair(name: str, value: int | tuple[int, int] | list[int]) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(v, int) and v > 0 for v in pair):
        raise ValueError(f"{name} must be one or two positive integers. Received: {value!r}")
    return pair[0], pair[1]


@keras.saving.register_keras_serializable(package="ilsvrc")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each value by (bias + alpha * sum of squares over neighbouring channels) ** beta.

    The sum runs over 2 * depth_radius + 1 channels, cut off at both ends, and alpha multiplies the
    raw sum, as printed in Krizhevsky et al. 2012, section 3.3 (Caffe divides alpha by the number of
    channels). The defaults are that paper's: k=2, n=5, alpha=1e-4, beta=0.75.
    """

    def __init__(
        self,
        depth_radius: int = 2,
        bias: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if depth_radius < 0 or bias <= 0:
            raise ValueError(
                "depth_radius must be 0 or more and bias above 0. "
                f"Received: depth_radius={depth_radius}, bias={bias}"
            )
        self.depth_radius, self.bias = depth_radius, bias
        self.alpha, self.beta = alpha, beta

    def call(self, inputs: Any) -> Any:
        # In half precision 2 + 1e-4 * sum rounds to 2, and squares overflow.
        x = ops.cast(inputs, "float32")
        radius, channels = self.depth_radius, inputs.shape[-1]
        squares = ops.pad(ops.square(x), [[0, 0]] * (len(x.shape) - 1) + [[radius, radius]])
        total = squares[..., :channels]
        for offset in range(1, 2 * radius + 1):
            total = total + squares[..., offset : offset + channels]
        return ops.cast(x * ops.power(self.bias + self.alpha * total, -self.beta), inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("depth_radius", "bias", "alpha", "beta")}
        return {**super().get_config(), **own}


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
        for name in self.fixed_weights:
            weight = self.add_weight(
                name=name,
                shape=(input_shape[-1],),
                initializer=getattr(self, f"{name}_initializer"),
                dtype="float32",
                trainable=False,
                autocast=False,
            )
            setattr(self, name, weight)

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
        self.strides = _pair("strides", strides)

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


@keras.saving.register_keras_serializable(package="ilsvrc")
class CeilPooling2D(keras.layers.Layer):
    """Pooling whose last windows may reach over the bottom and right edge (Caffe's rounding up).

    Sides become ceil((side - pool_size) / strides) + 1. Cells over the edge take no part: the
    maximum ignores them and the average divides by the cells inside. Padding "same" agrees only
    where it happens to pad on one side. Needs fixed height and width.
    """

    def __init__(
        self,
        pool_size: int | tuple[int, int] = 3,
        strides: int | tuple[int, int] = 2,
        mode: str = "max",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if mode not in ("max", "average"):
            raise ValueError(f"mode must be 'max' or 'average'. Received: {mode!r}")
        self.pool_size, self.strides = _pair("pool_size", pool_size), _pair("strides", strides)
        if any(s > k for s, k in zip(self.strides, self.pool_size, strict=True)):
            raise ValueError(
                "strides above pool_size would leave windows outside the image. "
                f"Received: pool_size={self.pool_size}, strides={self.strides}"
            )
        self.mode = mode

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, *sides, channels = input_shape
        if None in sides:
            raise ValueError(f"CeilPooling2D needs fixed sides. Received shape: {input_shape}")
        pooled = [
            -(-(n - k) // s) + 1
            for n, k, s in zip(sides, self.pool_size, self.strides, strict=True)
        ]
        if min(pooled) < 1:
            raise ValueError(
                f"images are too small to pool by {self.pool_size}. Received shape: {input_shape}"
            )
        return (batch, *pooled, channels)

    def call(self, inputs: Any) -> Any:
        sides = inputs.shape[1:3]
        pooled = self.compute_output_shape(inputs.shape)[1:3]
        reach = zip(pooled, self.strides, self.pool_size, sides, strict=True)
        over = [[0, max(0, (p - 1) * s + k - n)] for p, s, k, n in reach]
        edges = [[0, 0], *over, [0, 0]]
        if self.mode == "max":
            x = ops.pad(inputs, edges, constant_values=float("-inf"))
            return ops.max_pool(x, self.pool_size, self.strides, padding="valid")
        x = ops.average_pool(ops.pad(inputs, edges), self.pool_size, self.strides, padding="valid")
        return x * ops.cast(self._full_over_inside(sides, pooled), inputs.dtype)

    def _full_over_inside(self, sides: Any, pooled: Any) -> np.ndarray:
        """Cells of a window over its cells inside the image, (1, height, width, 1)."""
        inside = [
            np.minimum(k, n - s * np.arange(p))
            for n, p, k, s in zip(sides, pooled, self.pool_size, self.strides, strict=True)
        ]
        full = self.pool_size[0] * self.pool_size[1]
        return (full / np.outer(*inside)).astype("float32")[None, :, :, None]

    def get_config(self) -> dict[str, Any]:
        own = {"pool_size": self.pool_size, "strides": self.strides, "mode": self.mode}
        return {**super().get_config(), **own}
