"""Convolution -> batch normalisation -> activation, with a network's choices bound once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import initializers, layers


def he_normal() -> initializers.Initializer:
    """N(0, 2 / fan_in), not truncated: He et al. 2015 (arXiv:1502.01852), section 2.2."""
    return initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")


@dataclass(frozen=True)
class ConvBlock:
    """A convolution without bias, batch normalisation, activation.

    `initializer` is called for every layer: one shared initializer would draw equal weights for
    layers of equal shape.
    """

    initializer: Callable[[], initializers.Initializer] = he_normal
    activation: str = "relu"
    momentum: float = 0.9
    epsilon: float = 1e-5

    def __call__(
        self,
        x: Any,
        filters: int,
        kernel_size: int,
        *,
        strides: int = 1,
        activate: bool = True,
        name: str,
    ) -> Any:
        """x (batch, h, w, c) -> (batch, ceil(h/strides), ceil(w/strides), filters); odd kernels."""
        padding = "same"
        if strides > 1 and kernel_size > 1:
            # "same" pads an even side at its end only, which would move the samples off those of
            # the shortcut; the papers pad both ends.
            x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
            padding = "valid"
        x = layers.Conv2D(
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            use_bias=False,
            kernel_initializer=self.initializer(),
            name=f"{name}_conv",
        )(x)
        x = layers.BatchNormalization(
            momentum=self.momentum, epsilon=self.epsilon, name=f"{name}_bn"
        )(x)
        return layers.Activation(self.activation, name=f"{name}_act")(x) if activate else x
