"""Activations and a dropout that Keras lacks, and how layers here own weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="ilsvrc")
def scaled_tanh(x: Any) -> Any:
    """1.7159 tanh(2x/3): f(1) = 1 and f(-1) = -1 (LeCun et al. 1998, equation 6 and appendix A)."""
    return 1.7159 * ops.tanh(x * (2.0 / 3.0))


@keras.saving.register_keras_serializable(package="ilsvrc")
class Dice(keras.layers.Layer):
    """p(x) x + (1 - p(x)) alpha x with p = sigmoid((x - mean) / sqrt(variance + epsilon)).

    Zhou et al. 2018, Deep Interest Network (arXiv:1706.06978), section 4.3: mean and variance of
    each channel over the batch, the moving ones at inference; alpha is learned, one a channel.
    """

    fixed_weights = ("moving_mean", "moving_variance")

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon
        self.alpha_initializer = keras.initializers.Zeros()
        self.moving_mean_initializer = keras.initializers.Zeros()
        self.moving_variance_initializer = keras.initializers.Ones()

    def build(self, input_shape: Any) -> None:
        add_weights(self, dict.fromkeys(("alpha", *self.fixed_weights), (input_shape[-1],)))

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = ops.cast(inputs, "float32")
        if training and self.trainable:
            mean, variance = ops.moments(x, axes=list(range(len(x.shape) - 1)))
            keep = self.momentum
            self.moving_mean.assign(keep * self.moving_mean + (1 - keep) * mean)
            self.moving_variance.assign(keep * self.moving_variance + (1 - keep) * variance)
        else:
            mean = ops.convert_to_tensor(self.moving_mean)
            variance = ops.convert_to_tensor(self.moving_variance)
        p = ops.sigmoid((x - mean) / ops.sqrt(variance + self.epsilon))
        return ops.cast(p * x + (1.0 - p) * self.alpha * x, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        config = {"momentum": self.momentum, "epsilon": self.epsilon}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="ilsvrc")
class MonteCarloDropout(keras.layers.Dropout):
    """Dropout that also drops at inference: each prediction is one draw (arXiv:1506.02142)."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        return super().call(inputs, training=True)


def add_weights(layer: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Weights in float32 under every dtype policy, as attributes of the layer, by name.

    Each is drawn by the layer's NAME_initializer; those in its `fixed_weights` are not trained.
    """
    for name, shape in shapes.items():
        weight = layer.add_weight(
            name=name,
            shape=shape,
            initializer=getattr(layer, f"{name}_initializer"),
            dtype="float32",
            trainable=name not in layer.fixed_weights,
            autocast=False,
        )
        setattr(layer, name, weight)
