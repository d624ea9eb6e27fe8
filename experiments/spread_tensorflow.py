"""Updates and scoring of one network by a TensorFlow strategy, to the result of one device.

Each device has its part of every batch and its copy of the network. What would differ from one
device is put right here: a loss is a mean over the whole batch, not of the parts' means; batch
normalisation takes the statistics of the whole batch; the optimizer sees the summed gradient, so
that what bounds or averages acts as on one device; each device drops units of its own.

The update is not Keras's `fit`, which fails on several hosts (keras#20585) and bounds the gradient
of each device alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiments.config import Config
from experiments.devices import Devices
from experiments.errors import BadInput
from experiments.objective import unit
from models.layers import DecorrelatedBatchNormalization


def check(config: Config, layers: Iterable[Any]) -> None:
    """Refuse what would train another network than one device trains.

    Raises:
        BadInput: with the setting that cannot be had.
    """
    train = config.train
    reason = None
    if train.jit:
        reason = "train.jit: XLA compiles no exchange between devices here; set train.jit=false"
    elif train.precision == "mixed_float16":
        reason = "train.precision: the loss is scaled for one device only; set mixed_bfloat16"
    elif train.layer_statistics:
        reason = "train.layer_statistics: they are measured on one device; set false"
    elif train.accumulate > 1:
        reason = "train.accumulate: a device has its part of the batch already; set 1"
    elif any(isinstance(layer, DecorrelatedBatchNormalization) for layer in layers):
        reason = (
            "model.options.normalization: decorrelation would take each device's images alone; "
            "set batch"
        )
    if reason:
        raise BadInput(
            f"{reason}, train.devices=one, or KERAS_BACKEND=jax. Received: "
            f"train.devices={train.devices} on TensorFlow"
        )


def adapt(layers: Iterable[Any]) -> None:
    """Statistics of the whole batch, and draws of each device's own, for a network that is built
    and not yet traced."""
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            _of_the_whole_batch(layer)
        if isinstance(getattr(layer, "seed_generator", None), keras.random.SeedGenerator):
            _draw_apart(layer.seed_generator)


def _of_the_whole_batch(layer: Any) -> None:
    """Mean and variance over all devices. What Keras does for `synchronized`, the mean square less
    the squared mean, loses digits where the mean is large."""
    layer.synchronized = True  # `fused_batch_norm` heeds it
    plain, total = layer._moments, tf.distribute.ReduceOp.SUM

    def moments(inputs: Any, mask: Any) -> tuple[Any, Any]:
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return plain(inputs, mask)
        axes = layer._reduction_axes
        values = tf.cast(inputs, tf.float32)
        mean = tf.reduce_sum(values, axes, keepdims=True)
        own = tf.cast(tf.size(values) / tf.size(mean), tf.float32)
        count = context.all_reduce(total, own)
        mean = context.all_reduce(total, mean) / count
        squares = tf.reduce_sum(tf.square(values - mean), axes)
        variance = context.all_reduce(total, squares) / count
        return tf.cast(tf.squeeze(mean, axes), inputs.dtype), tf.cast(variance, inputs.dtype)

    layer._moments = moments


def _draw_apart(generator: Any) -> None:
    plain = generator.next

    def own(ordered: bool = True) -> Any:
        seed = plain(ordered)
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return seed
        number = tf.cast(context.replica_id_in_sync_group, seed.dtype)
        return seed + tf.stack([number * 7919, tf.zeros_like(number)])  # the first keeps its draws

    generator.next = own


class Updates:
    """Updates of an `Objective` whose variables were made in the strategy's scope, but for its
    metrics."""

    def __init__(self, model: Any, devices: Devices):
        self._model, self._strategy, self._devices = model, devices.strategy, devices
        self._run = tf.function(self._update, autograph=False, reduce_retracing=True)

    def batches(self, data: tf.data.Dataset) -> Any:
        """An iterator over this process's ((images, labels[, weights]), size of the whole batch),
        dealt out to its devices ahead of time."""
        here = self._devices.replicas // self._devices.processes

        def dealt(batch: Any, size: Any) -> tf.data.Dataset:
            count = tf.shape(tf.nest.flatten(batch)[0])[0]
            few = count < here  # all for each of them: no device is ever without images

            def one(number: Any) -> Any:
                first = tf.where(few, 0, number * count // here)
                stop = tf.where(few, count, (number + 1) * count // here)
                return tf.nest.map_structure(lambda whole: whole[first:stop], batch), size

            return tf.data.Dataset.range(here, output_type=tf.int32).map(one)

        parts = data.flat_map(tf.autograph.experimental.do_not_convert(dealt))
        return iter(self._strategy.distribute_datasets_from_function(lambda context: parts))

    def __call__(self, batches: Any) -> Any:
        """Make one update; the epoch's mean loss so far."""
        return self._run(batches)

    def _update(self, batches: Any) -> Any:
        given, size = next(batches)
        losses, gradients = self._strategy.run(self._gradients, args=(given,))
        loss = self._strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)
        variables = self._model.trainable_weights
        reached = [at for at, gradient in enumerate(gradients) if gradient is not None]
        summed = self._strategy.extended.batch_reduce_to(
            tf.distribute.ReduceOp.SUM, [(gradients[at], variables[at].value) for at in reached]
        )
        whole: list[Any] = [None] * len(variables)
        for at, gradient in zip(reached, summed, strict=True):
            whole[at] = gradient
        [tracker] = (metric for metric in self._model.metrics if metric.name == "loss")
        [images, *_] = self._strategy.experimental_local_results(size)
        tracker.update_state(loss, sample_weight=images)
        self._model.optimizer.apply(whole, variables)
        return self._model.get_metrics_result()["loss"]

    def _gradients(self, given: Any) -> tuple[Any, list[Any]]:
        """Of one device: its share of the loss, and the gradient of that."""
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(given)
        count = tf.cast(tf.shape(tf.nest.flatten(images)[0])[0], tf.float32)
        context = tf.distribute.get_replica_context()
        share = count / context.all_reduce(tf.distribute.ReduceOp.SUM, count)
        # Keras's losses divide by the number of devices.
        factor = tf.fill([tf.cast(count, tf.int32)], float(self._devices.replicas))
        with tf.GradientTape() as tape:
            loss = share * self._model.compute_loss(
                x=images,
                y=labels,
                y_pred=self._model(images, training=True),
                sample_weight=factor if weights is None else factor * weights,
                training=True,
            )
        variables = [variable.value for variable in self._model.trainable_weights]
        return loss, tape.gradient(loss, variables)


def scoring(
    model: keras.Model, loss: keras.losses.Loss, devices: Devices, *, reconstructs: bool
) -> Callable[[Any, Any], tuple[np.ndarray, np.ndarray]]:
    """(images [b, h, w, c], labels [b]) to the output and the loss of each image, in order.

    Each device has its part of the images.
    """
    strategy, replicas = devices.strategy, devices.replicas

    def one(images: Any, labels: Any) -> tuple[Any, Any]:
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        with tf.device("CPU:0"):
            count = tf.shape(labels)[0]
            each = -(-count // replicas)  # the last image stands in for those that lack
            rows = tf.minimum(tf.range(number * each, (number + 1) * each), count - 1)
            own, own_labels = tf.gather(images, rows), tf.gather(labels, rows)
        made = model(own, training=False)
        return made, loss.call(unit(own) if reconstructs else own_labels, made)

    signature = [
        tf.TensorSpec([None, *model.input_shape[1:]], tf.float32),
        tf.TensorSpec([None], tf.int64),
    ]

    @tf.function(autograph=False, input_signature=signature)
    def run(images: Any, labels: Any) -> Any:
        return strategy.run(one, args=(images, labels))

    def whole(images: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
        made, losses = run(images, labels)
        count = len(labels)
        return (
            np.asarray(strategy.gather(made, axis=0))[:count],
            np.asarray(strategy.gather(losses, axis=0))[:count],
        )

    return whole
