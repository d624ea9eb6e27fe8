"""Batch normalisation of training as one kernel, where TensorFlow computes on processors.

Keras writes it as some ten operations, each over the whole map, and its gradient as twice as many;
in mixed precision it casts the maps to float32 and back for them. oneDNN's kernel reads a map once
or twice, in the type that it has, and keeps its sums in float32.

Layers stay Keras's own, so that files and exports do not change, and results differ by rounding
alone: the moving variance is the biased one, as Keras has it. Scoring goes Keras's way: TensorFlow
2.21 joins a convolution, this kernel with moving statistics and tanh to one that it lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras


def install(layers: Iterable[Any]) -> int:
    """Let the batch normalisations among built layers use it; gives their number.

    To be called before anything is traced. On other backends, and beside accelerators, where it is
    not measured, nothing is done.
    """
    if keras.backend.backend() != "tensorflow":
        return 0
    import tensorflow as tf

    if any(tf.config.list_logical_devices(kind) for kind in ("GPU", "TPU")):
        return 0
    normalizations = [x for x in layers if type(x) is keras.layers.BatchNormalization]
    for layer in normalizations:
        layer.call = _call(layer)  # of this layer alone: files hold Keras's class
    return len(normalizations)


def _call(layer: Any) -> Callable[..., Any]:
    import tensorflow as tf

    plain = keras.layers.BatchNormalization.call

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not (training and layer.trainable and mask is None and _takes(layer, inputs)):
            return plain(layer, inputs, training=training, mask=mask)
        channels, nothing = inputs.shape[-1], tf.zeros([0])
        made = tf.raw_ops.FusedBatchNormV3(
            x=tf.cast(inputs, layer.compute_dtype),
            scale=layer.gamma.value if layer.scale else tf.ones([channels]),
            offset=layer.beta.value if layer.center else tf.zeros([channels]),
            mean=nothing,
            variance=nothing,
            epsilon=layer.epsilon,
            is_training=True,
        )
        values = tf.cast(tf.size(inputs) // channels, tf.float32)
        variance = made.batch_variance * ((values - 1.0) / values)  # the kernel's is unbiased
        for moving, new in (
            (layer.moving_mean, made.batch_mean),
            (layer.moving_variance, variance),
        ):
            moving.assign(moving * layer.momentum + new * (1.0 - layer.momentum))
        return made.y

    return call


def _takes(layer: Any, inputs: Any) -> bool:
    """Is it what the kernel is for? Asked at each trace: devices may be joined after the layers
    were built, and statistics are then of all their images."""
    return (
        len(inputs.shape) == 4
        and layer.axis in (-1, 3)
        and not (layer.synchronized or layer.renorm)
    )
