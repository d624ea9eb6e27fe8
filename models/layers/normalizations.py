"""Normalisations that Keras lacks: of pixels, across channels, with the channels decorrelated."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from models.layers.activations import add_weights


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
        config = {
            "mean_initializer": serialize(self.mean_initializer),
            "scale_initializer": serialize(self.scale_initializer),
        }
        return {**super().get_config(), **config}


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
        config = {name: getattr(self, name) for name in ("depth_radius", "bias", "alpha", "beta")}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="ilsvrc")
class DecorrelatedBatchNormalization(keras.layers.Layer):
    """Batch normalisation that also whitens: covariance (nearly) the identity, not only variance 1.

    Huang et al. 2018 (arXiv:1804.08450): x -> gamma * S^(-1/2) (x - mean) + beta with the batch's
    mean and covariance S over images and positions, the moving ones at inference. Channels are
    whitened in groups of up to `group_size` (section 3.3: 16 are estimated well from small
    batches); the root is the symmetric one (ZCA), so that axes do not swap between updates.

    The inverse root comes from Newton's iteration, which multiplies matrices only and has gradients
    where eigenvalues meet (Huang et al. 2019, arXiv:1904.03441), in its coupled form: the one
    printed there amplifies rounding, to infinity in these 14 `iterations`. They are enough for
    eigenvalues of a ten-thousandth of their sum. Computed in float32 under every dtype policy.
    """

    fixed_weights = ("moving_mean", "moving_covariance")

    def __init__(
        self,
        group_size: int = 16,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        iterations: int = 14,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if group_size < 1 or iterations < 1:
            raise ValueError(
                "group_size and iterations must be 1 or more. "
                f"Received: group_size={group_size}, iterations={iterations}"
            )
        self.group_size, self.momentum = group_size, momentum
        self.epsilon, self.iterations = epsilon, iterations
        self.gamma_initializer = keras.initializers.Ones()
        self.beta_initializer = keras.initializers.Zeros()
        self.moving_mean_initializer = keras.initializers.Zeros()
        self.moving_covariance_initializer = IdentityMatrices()

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        size = max(s for s in range(1, min(self.group_size, channels) + 1) if channels % s == 0)
        self.groups = channels // size
        shapes = {
            "gamma": (channels,),
            "beta": (channels,),
            "moving_mean": (channels,),
            "moving_covariance": (self.groups, size, size),
        }
        add_weights(self, shapes)

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = ops.cast(inputs, "float32")
        size = self.moving_covariance.shape[-1]
        if training and self.trainable:
            axes = list(range(len(x.shape) - 1))
            mean = ops.mean(x, axis=axes)
            rows = ops.reshape(x - mean, (-1, self.groups, size))
            count = ops.cast(ops.shape(rows)[0], "float32")
            rows = ops.transpose(rows, (1, 2, 0))  # (groups, size, positions)
            covariance = ops.matmul(rows, ops.transpose(rows, (0, 2, 1))) / count
            keep = self.momentum
            self.moving_mean.assign(keep * self.moving_mean + (1 - keep) * mean)
            self.moving_covariance.assign(keep * self.moving_covariance + (1 - keep) * covariance)
        else:
            mean = ops.convert_to_tensor(self.moving_mean)
            covariance = ops.convert_to_tensor(self.moving_covariance)
        root = self._inverse_root(covariance + self.epsilon * ops.eye(size))
        shape = ops.shape(x)
        rows = ops.transpose(ops.reshape(x - mean, (-1, self.groups, size)), (1, 0, 2))
        white = ops.reshape(ops.transpose(ops.matmul(rows, root), (1, 0, 2)), shape)
        return ops.cast(white * self.gamma + self.beta, self.compute_dtype)

    def _inverse_root(self, matrices: Any) -> Any:
        """S^(-1/2) of symmetric positive (groups, size, size): Newton-Schulz, Higham 2008."""
        size = matrices.shape[-1]
        identity = ops.eye(size)
        trace = ops.sum(matrices * identity, axis=(1, 2), keepdims=True)
        root = matrices / trace  # eigenvalues in (0, 1], where the iteration converges
        inverse = ops.broadcast_to(identity, matrices.shape)
        for _ in range(self.iterations):
            step = 0.5 * (3.0 * identity - _product(inverse, root))
            root, inverse = _product(root, step), _product(step, inverse)
        return inverse / ops.sqrt(trace)

    def count_macs(self, input_shape: Any, output_shape: Any) -> int:
        """Whitening is a 1x1 convolution in groups; the estimate of its matrix counts none."""
        positions = 1
        for side in output_shape[:-1]:
            positions *= side
        return positions * output_shape[-1] * self.moving_covariance.shape[-1]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        names = ("group_size", "momentum", "epsilon", "iterations")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _product(a: Any, b: Any) -> Any:
    """Matrix products of small matrices; in full float32 on every device, unlike `matmul`'s."""
    return ops.sum(ops.expand_dims(a, -1) * ops.expand_dims(b, -3), axis=-2)


@keras.saving.register_keras_serializable(package="ilsvrc")
class IdentityMatrices(keras.initializers.Initializer):
    """Identity matrices (..., n, n)."""

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return ops.broadcast_to(ops.eye(shape[-1], dtype=dtype or "float32"), shape)
