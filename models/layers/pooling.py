"""Pooling windows that Keras lacks: rounded up, padded evenly, and by root mean square."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

MODES = ("max", "average", "l2")


def pair(name: str, value: int | tuple[int, int] | list[int]) -> tuple[int, int]:
    """One or two positive integers as two; raises ValueError."""
    both = (value, value) if isinstance(value, int) else tuple(value)
    if len(both) != 2 or not all(isinstance(v, int) and v > 0 for v in both):
        raise ValueError(f"{name} must be one or two positive integers. Received: {value!r}")
    return both[0], both[1]


@keras.saving.register_keras_serializable(package="ilsvrc")
class Pooling2D(keras.layers.Layer):
    """Maximum, mean or root mean square over windows; cells outside the image take no part.

    Images (batch, height, width, channels) of fixed sides gain `padding` cells on each of their
    four edges; the maximum ignores these cells, and the means divide by the cells inside. The sides
    become floor((side + 2 * padding - pool_size) / strides) + 1, or with `ceil` the same rounded
    up, as Caffe does, in which case the last windows may reach over the bottom and right edge; no
    window starts outside the image and its padding.

    mode "l2" is sqrt(mean of x^2) over a window, as printed in the lectures.
    """

    def __init__(
        self,
        pool_size: int | tuple[int, int] = 3,
        strides: int | tuple[int, int] = 2,
        mode: str = "max",
        padding: int = 0,
        ceil: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}. Received: {mode!r}")
        self.pool_size, self.strides = pair("pool_size", pool_size), pair("strides", strides)
        if any(s > k for s, k in zip(self.strides, self.pool_size, strict=True)):
            raise ValueError(
                "strides above pool_size would leave windows outside the image. "
                f"Received: pool_size={self.pool_size}, strides={self.strides}"
            )
        if not 0 <= padding < min(self.pool_size):
            raise ValueError(
                "padding must be 0 or more and below pool_size. "
                f"Received: pool_size={self.pool_size}, padding={padding}"
            )
        self.mode, self.padding, self.ceil = mode, padding, ceil

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, *sides, channels = input_shape
        if None in sides:
            raise ValueError(f"Pooling2D needs fixed sides. Received shape: {input_shape}")
        pooled = [
            self._windows(n, k, s)
            for n, k, s in zip(sides, self.pool_size, self.strides, strict=True)
        ]
        if min(pooled) < 1:
            raise ValueError(
                f"images are too small to pool by {self.pool_size}. Received shape: {input_shape}"
            )
        return (batch, *pooled, channels)

    def _windows(self, side: int, size: int, stride: int) -> int:
        span = side + 2 * self.padding - size
        if not self.ceil:
            return span // stride + 1
        count = -(-span // stride) + 1
        starts_outside = (count - 1) * stride >= side + self.padding
        return count - 1 if starts_outside else count

    def call(self, inputs: Any) -> Any:
        sides = inputs.shape[1:3]
        pooled = self.compute_output_shape(inputs.shape)[1:3]
        reach = zip(pooled, self.strides, self.pool_size, sides, strict=True)
        over = [max(0, (p - 1) * s + k - n - self.padding) for p, s, k, n in reach]
        edges = [[0, 0], *([self.padding, end] for end in over), [0, 0]]
        if self.mode == "max":
            x = ops.pad(inputs, edges, constant_values=float("-inf"))
            return ops.max_pool(x, self.pool_size, self.strides, padding="valid")
        # float16 has no squares above 65504, and rounds the 1e-12 below to 0.
        x = ops.square(ops.cast(inputs, "float32")) if self.mode == "l2" else inputs
        x = ops.average_pool(ops.pad(x, edges), self.pool_size, self.strides, padding="valid")
        x = x * ops.cast(self._full_over_inside(sides, pooled), x.dtype)
        # The slope of a square root at 0 is infinite: dead windows would train to NaN.
        return ops.cast(ops.sqrt(x + 1e-12), inputs.dtype) if self.mode == "l2" else x

    def _full_over_inside(self, sides: Any, pooled: Any) -> np.ndarray:
        """Cells of a window over its cells inside the image, (1, height, width, 1)."""
        inside = []
        for side, windows, size, stride in zip(
            sides, pooled, self.pool_size, self.strides, strict=True
        ):
            start = stride * np.arange(windows) - self.padding
            inside.append(np.minimum(start + size, side) - np.maximum(start, 0))
        full = self.pool_size[0] * self.pool_size[1]
        return (full / np.outer(*inside)).astype("float32")[None, :, :, None]

    def get_config(self) -> dict[str, Any]:
        names = ("pool_size", "strides", "mode", "padding", "ceil")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
