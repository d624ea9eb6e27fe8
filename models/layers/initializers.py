"""How kernels are drawn: functions that make a fresh initializer for every layer.

One initializer shared by layers would draw equal kernels for layers of equal shape.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any, TypeAlias

import keras

Initializer: TypeAlias = keras.initializers.Initializer
Maker = Callable[[], Initializer]


@keras.saving.register_keras_serializable(package="ilsvrc")
class FanInUniform(Initializer):
    """Uniform on +-scale / fan_in, fan_in being the inputs of one unit."""

    def __init__(self, scale: float = 1.0, seed: int | None = None) -> None:
        self.scale = scale
        self.seed = random.randint(1, 10**9) if seed is None else seed  # nosec B311  # as Keras does

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        limit = self.scale / math.prod(shape[:-1])
        return keras.random.uniform(shape, -limit, limit, dtype=dtype, seed=self.seed)

    def get_config(self) -> dict[str, Any]:
        return {"scale": self.scale, "seed": self.seed}


def glorot_uniform() -> Initializer:
    """Uniform, variance 2 / (fan_in + fan_out): Glorot and Bengio 2010, section 4.2.1."""
    return keras.initializers.GlorotUniform()


def he_normal() -> Initializer:
    """N(0, 2 / fan_in), not truncated: He et al. 2015 (arXiv:1502.01852), section 2.2."""
    return keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")


def lecun_normal() -> Initializer:
    """N(0, 1 / fan_in), not truncated: LeCun et al. 1998, Efficient BackProp, section 4.6."""
    return keras.initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal")


def normal(stddev: float) -> Maker:
    """N(0, stddev^2)."""
    return lambda: keras.initializers.RandomNormal(0.0, stddev)


def truncated_normal(stddev: float) -> Maker:
    """N(0, stddev^2) cut off at two standard deviations."""
    return lambda: keras.initializers.TruncatedNormal(0.0, stddev)


def fan_in_uniform(scale: float = 1.0) -> Maker:
    """Uniform on +-scale / fan_in: 2.4 in LeCun et al. 1998, 1 in the lectures."""
    return lambda: FanInUniform(scale)


BY_NAME: dict[str, Maker] = {
    "glorot": glorot_uniform,
    "he": he_normal,
    "lecun": lecun_normal,
    "fan_in": fan_in_uniform(),
    "zeros": keras.initializers.Zeros,
}
"""The values of the option `initializer`."""
