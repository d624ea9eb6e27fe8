"""Convolution, normalisation, activation, pooling, dense: a network's choices bound once.

A network makes one `Blocks` from what its paper used and from the `Choices` asked for, which come
first; after that it reads like the paper's table.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import constraints, initializers, layers, regularizers

from models.choices import Choices
from models.errors import InvalidOption
from models.layers.activations import Dice, MonteCarloDropout, scaled_tanh
from models.layers.initializers import BY_NAME, Maker, he_normal
from models.layers.normalizations import DecorrelatedBatchNormalization, LocalResponseNormalization
from models.layers.pooling import Pooling2D

# Elementwise and without state: part of the layer before, as one output in memory.
_FUSED: dict[str, Any] = {
    **{name: name for name in ("relu", "elu", "selu", "gelu", "mish", "tanh", "sigmoid")},
    "swish": "silu",
    "scaled_tanh": scaled_tanh,
}
_KERAS_POOLING = {
    "max": layers.MaxPooling2D,
    "average": layers.AveragePooling2D,
}


@dataclass(frozen=True)
class Blocks:
    """What the paper used: its activation, normalisation, initializer and dropout fraction.

    Where a layer differs, `dataclasses.replace` says in what.

    Attributes:
        bias: where biases start. None: at 0, and left out before a normalisation.
        use_bias: False leaves all biases out.
        convolution: called as Conv2D is.
        momentum, epsilon, scale: of batch normalisation; `scale` is a trained gamma.
        multiple: to which channel counts under `choices.width` are rounded.
    """

    choices: Choices
    activation: str = "relu"
    normalization: str = "none"
    initializer: Maker = he_normal
    bias: float | None = None
    use_bias: bool = True
    convolution: Callable[..., Any] = layers.Conv2D
    dropout: float | None = None
    momentum: float = 0.9
    epsilon: float = 1e-5
    scale: bool = True
    multiple: int = 1

    def conv(
        self,
        x: Any,
        filters: int,
        kernel_size: int | tuple[int, int],
        *,
        strides: int = 1,
        padding: str | int = "same",
        activate: bool = True,
        normalise: bool = True,
        exact: bool = False,
        name: str,
    ) -> Any:
        """Convolution, normalisation if any, activation: (b, h, w, c) -> (b, h', w', filters).

        padding "same" keeps the centres of a strided window where the papers' equal padding puts
        them (h' = ceil(h / strides), odd kernels); an integer pads so many zeros on each edge.
        `exact` keeps `filters` whatever the width, as for class maps.

        Layers are called `name`, and `name` without a last "_conv" plus "_pad", "_bn" (or "_norm")
        and "_act".
        """
        if padding == "same" and strides > 1 and kernel_size != 1:
            # Keras's "same" pads an even side at its end only, which moves every sample by one.
            assert isinstance(kernel_size, int)
            padding = kernel_size // 2
        if isinstance(padding, int):
            if padding:
                x = layers.ZeroPadding2D(padding, name=f"{name.removesuffix('_conv')}_pad")(x)
            padding = "valid"
        window = {"kernel_size": kernel_size, "strides": strides, "padding": padding}
        make = functools.partial(self.convolution, **window, **self._kernel(axes=(0, 1, 2)))
        return self._weighted(make, x, filters, activate, normalise, exact, name)

    def conv_transpose(
        self,
        x: Any,
        filters: int,
        kernel_size: int,
        *,
        strides: int,
        activate: bool = True,
        normalise: bool = True,
        exact: bool = False,
        name: str,
    ) -> Any:
        """Transposed convolution, then as `conv`; its windows reach over all four edges.

        (b, h, w, c) -> (b, strides * (h - 1) + kernel_size, ..., filters), kernel_size >= strides.
        Initializers take the window times `filters` for fan_in, as Keras does for this layer.
        """
        window = {"kernel_size": kernel_size, "strides": strides, "padding": "valid"}
        kernel = self._kernel(axes=(0, 1, 3))  # (h, w, filters, channels)
        make = functools.partial(layers.Conv2DTranspose, **window, **kernel)
        return self._weighted(make, x, filters, activate, normalise, exact, name)

    def dense(
        self,
        x: Any,
        units: int,
        *,
        activate: bool = True,
        normalise: bool = False,
        exact: bool = False,
        name: str,
    ) -> Any:
        """Hidden units: (b, n) -> (b, units). Normalised only where a network has nothing else."""
        make = functools.partial(layers.Dense, **self._kernel(axes=(0,)))
        return self._weighted(make, x, units, activate, normalise, exact, name)

    def logits(self, x: Any, classes: int, *, name: str) -> Any:
        """The last layer, linear, in float32 under every dtype policy: (b, n) -> (b, classes)."""
        return layers.Dense(classes, dtype="float32", name=name, **self._kernel(axes=(0,)))(x)

    def normalise(self, x: Any, *, name: str) -> Any:
        """Normalisation on its own; layer `name`_bn or `name`_norm."""
        return self._normalised(x, self._normalization(), name)

    def response_norm(self, x: Any, *, name: str, **constants: Any) -> Any:
        """The paper's own local response normalisation, unless another was chosen."""
        if self.choices.normalization is not None:
            return x
        return LocalResponseNormalization(name=name, **constants)(x)

    def activate(self, x: Any, *, name: str) -> Any:
        """The activation on its own."""
        activation = self.choices.activation or self.activation
        if activation in _FUSED:
            return layers.Activation(_FUSED[activation], name=name)(x)
        if activation == "leaky_relu":  # the slope of Maas et al. 2013
            return layers.LeakyReLU(0.01, name=name)(x)
        if activation == "dice":
            return Dice(name=name)(x)
        shared = list(range(1, len(x.shape) - 1))  # one slope a channel, from 0.25: He et al. 2015
        start = initializers.Constant(0.25)
        return layers.PReLU(start, shared_axes=shared or None, name=name)(x)

    def pool(
        self,
        x: Any,
        size: int,
        strides: int | None = None,
        *,
        mode: str = "max",
        padding: str | int = "valid",
        ceil: bool = False,
        name: str,
    ) -> Any:
        """Windows of `size`, every `strides` (as `size` if None): (b, h, w, c) -> (b, h', w', c).

        padding "same" is for windows at every position; cells outside the image take no part.
        """
        strides = strides or size
        mode = self.choices.pooling or mode
        if padding == "same":
            assert strides == 1
            assert size % 2 == 1
            padding = size // 2
        if mode in _KERAS_POOLING and padding in ("valid", 0) and not ceil:
            return _KERAS_POOLING[mode](size, strides, name=name)(x)
        edge = padding if isinstance(padding, int) else 0
        return Pooling2D(size, strides, mode, padding=edge, ceil=ceil, name=name)(x)

    def drop(self, x: Any, rate: float | None = None, *, name: str) -> Any:
        """Dropout at the chosen fraction, else at the paper's; nothing if neither names one."""
        chosen = self.choices.dropout
        rate = chosen if chosen is not None else (self.dropout if rate is None else rate)
        if not rate:
            return x
        kind = MonteCarloDropout if self.choices.monte_carlo else layers.Dropout
        return kind(rate, name=name)(x)

    def width(self, count: int) -> int:
        """Channels or units under the width factor, at least one `multiple`."""
        if self.choices.width == 1.0:
            return count
        return max(1, round(count * self.choices.width / self.multiple)) * self.multiple

    def _normalization(self) -> str:
        return self.choices.normalization or self.normalization

    def _weighted(
        self,
        make: Callable[..., Any],
        x: Any,
        units: int,
        activate: bool,
        normalise: bool,
        exact: bool,
        name: str,
    ) -> Any:
        """A layer with weights, its normalisation and its activation."""
        norm = self._normalization() if normalise else "none"
        unnormalised = norm in ("none", "local_response")  # responses are normalised last
        activation = self.choices.activation or self.activation
        fused = _FUSED.get(activation) if activate and unnormalised else None
        x = make(
            units if exact else self.width(units),
            activation=fused,
            use_bias=self.use_bias and (unnormalised or self.bias is not None),
            bias_initializer=initializers.Constant(self.bias or 0.0),
            name=name,
        )(x)
        stem = name.removesuffix("_conv")
        if norm != "local_response":
            x = self._normalised(x, norm, stem)
        if activate and fused is None:
            x = self.activate(x, name=f"{stem}_act")
        return self._normalised(x, norm, stem) if norm == "local_response" else x

    def _kernel(self, axes: tuple[int, ...]) -> dict[str, Any]:
        """The arguments that draw, penalise and bound a kernel; `axes` are those of one unit."""
        chosen, strengths = self.choices.initializer, self.choices.strengths()
        make = BY_NAME[chosen] if chosen else self.initializer
        kernel: dict[str, Any] = {"kernel_initializer": make()}
        if strengths:
            kernel["kernel_regularizer"] = regularizers.L1L2(**strengths)
        if self.choices.max_norm is not None:
            kernel["kernel_constraint"] = constraints.MaxNorm(self.choices.max_norm, axis=axes)
        return kernel

    def _normalised(self, x: Any, kind: str, stem: str) -> Any:
        name, epsilon = f"{stem}_norm", self.epsilon
        channels = x.shape[-1]
        if kind == "none":
            return x
        if kind == "batch":
            return layers.BatchNormalization(
                momentum=self.momentum, epsilon=epsilon, scale=self.scale, name=f"{stem}_bn"
            )(x)
        if kind == "decorrelated":
            return DecorrelatedBatchNormalization(momentum=self.momentum, name=name)(x)
        if kind == "local_response":
            return LocalResponseNormalization(name=name)(x)
        # Layer and instance norm are its two ends; 32 groups, or what divides the channels.
        groups = {"layer": 1, "instance": channels, "group": math.gcd(32, channels)}[kind]
        positions = math.prod(x.shape[1:-1])
        if kind == "instance" and positions == 1:  # less its own mean, every value would be 0
            raise InvalidOption(
                f"normalization instance is over the positions of a map, and {stem} has only one; "
                "choose another for this network, or larger images"
            )
        # Wu and He 2018 (arXiv:1803.08494) have 2 channels a group at least, and 16 numbers.
        while kind == "group" and groups > 1 and channels // groups < max(2, 16 / positions):
            groups //= 2
        return layers.GroupNormalization(groups, epsilon=epsilon, name=name)(x)
