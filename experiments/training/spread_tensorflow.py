"""Updates and scoring of one network by a TensorFlow strategy, to the result of one device.

Each device has its part of every batch and its copy of the network. What would differ from one
device is put right here: a loss is a mean over the whole batch, not of the parts' means; batch
normalisation takes the statistics of the whole batch; the optimizer sees the summed gradient, so
that what bounds, averages, or looks for overflow acts as on one device; each device drops units of
its own.

XLA compiles what each device computes from its images to its gradient, as one program. Where batch
normalisation stops for the other devices on the way, it compiles what lies between the stops, for
TensorFlow has no exchange between processors that XLA takes. Exchanges and the optimizer stay
outside; a TPU has all of it in one program.

The update is not Keras's `fit`, which fails on several hosts (keras#20585) and bounds the gradient
of each device alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.optimization.objective import unit
from experiments.runtime.devices import Devices
from experiments.training.updates import executions
from models.layers.normalizations import DecorrelatedBatchNormalization


def check(config: Config, layers: Iterable[Any]) -> None:
    """Refuse what would train another network than one device trains.

    Raises:
        BadInput: with the setting that cannot be had.
    """
    reason = None
    if config.train.layer_statistics:
        reason = "train.layer_statistics: they are measured on one device; set false"
    elif any(isinstance(layer, DecorrelatedBatchNormalization) for layer in layers):
        reason = (
            "model.options.normalization: decorrelation would take each device's images alone; "
            "set batch"
        )
    if reason:
        raise BadInput(
            f"{reason}, train.devices=one, or KERAS_BACKEND=jax. Received: "
            f"train.devices={config.train.devices} on TensorFlow"
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
        here = tf.cast(tf.size(values) / tf.size(mean), tf.float32)
        count = context.all_reduce(total, here)
        mean = context.all_reduce(total, mean) / count
        squares = tf.reduce_sum(tf.square(values - mean), axes)
        variance = context.all_reduce(total, squares) / count
        return tf.cast(tf.squeeze(mean, axes), inputs.dtype), tf.cast(variance, inputs.dtype)

    layer._moments = moments


def _draw_apart(generator: Any) -> None:
    plain = generator.next

    def of_replica(ordered: bool = True) -> Any:
        seed = plain(ordered)
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return seed
        number = tf.cast(context.replica_id_in_sync_group, seed.dtype)
        return seed + tf.stack([number * 7919, tf.zeros_like(number)])  # the first keeps its draws

    generator.next = of_replica


def _compiles(devices: Devices, jit: bool) -> bool:
    """Is XLA to be asked for? A TPU has nothing else."""
    return jit and not isinstance(devices.strategy, tf.distribute.TPUStrategy)


class ReplicatedUpdates:
    """Updates of an `Objective` whose variables were made in the strategy's scope, but for its
    metrics.

    A batch in parts is that of `accumulated_step`: the devices share one part after the other, and
    exchange gradients after the last. Where a host reads fewer images of a batch than it should
    have parts, the batch has as many parts as that.
    """

    def __init__(self, model: Any, layers: Iterable[Any], devices: Devices, *, jit: bool):
        self._model, self._strategy, self._devices = model, devices.strategy, devices
        stops = any(
            isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
            for layer in layers
        )
        self._compute: Callable[..., Any] = self._gradients
        self._between_stops = _compiles(devices, jit) and stops
        if _compiles(devices, jit) and not stops:
            compiled = tf.function(self._gradients, autograph=False, jit_compile=True)
            # Given a tf.function, `Strategy.run` would make one program of all devices'.
            self._compute = lambda *given: compiled(*given)
        self._run: Callable[..., Any] | None = None

    def batches(self, data: tf.data.Dataset) -> Any:
        """An iterator over this process's ((images, labels[, weights]), size of the whole batch),
        dealt out to its devices ahead of time, part by part: what a device is shown, its share of
        the batch, the batch's size, and whether it has no more parts."""
        here, hosts = self._devices.replicas // self._devices.processes, self._devices.processes

        def dealt(batch: Any, size: Any) -> tf.data.Dataset:
            count = tf.shape(tf.nest.flatten(batch)[0], tf.int64)[0]
            parts = tf.minimum(tf.constant(self._model.accumulate, tf.int64), count)
            before = self._devices.process * count  # in the batch, on other hosts
            if hosts > 1:
                before = tf.where(
                    count == size, tf.zeros_like(count), before
                )  # each host has read all of it

            def one(number: Any) -> Any:
                part, device = number // here, number % here
                first = (part - before) % parts
                images = (count - first + parts - 1) // parts
                few = images < here  # all for each of them: no device is ever without images
                start = tf.where(few, tf.zeros_like(images), device * images // here)
                stop = tf.where(few, images, (device + 1) * images // here)
                counted = hosts * tf.where(few, here * count, count)
                share = tf.cast(stop - start, tf.float32) / tf.cast(counted, tf.float32)

                def shown(values: Any) -> Any:
                    picked = values[first::parts][start:stop]
                    return tf.ensure_shape(picked, [None, *values.shape[1:]])

                return tf.nest.map_structure(shown, batch), share, size, part + 1 == parts

            return tf.data.Dataset.range(parts * here).map(one)

        parts = data.flat_map(tf.autograph.experimental.do_not_convert(dealt))
        batches = iter(self._strategy.distribute_datasets_from_function(lambda context: parts))
        self._run = self._run or executions(self._model, self._update, batches)
        return batches

    def __call__(self, batches: Any, rates: np.ndarray) -> Any:
        """Make an update with each of these learning rates; the epoch's mean loss so far."""
        assert self._run
        return self._run(batches, rates)

    def _update(self, batches: Any) -> None:
        losses, gradients, size = self._of_a_batch(batches)
        total, variables = tf.distribute.ReduceOp.SUM, self._model.trainable_weights
        loss = self._strategy.reduce(total, losses, axis=None)
        reached = [at for at, gradient in enumerate(gradients) if gradient is not None]
        summed = self._strategy.extended.batch_reduce_to(
            total, [(gradients[at], variables[at].value) for at in reached]
        )
        whole: list[Any] = [None] * len(variables)
        for at, gradient in zip(reached, summed, strict=True):
            whole[at] = gradient
        [tracker] = (metric for metric in self._model.metrics if metric.name == "loss")
        tracker.update_state(loss, sample_weight=size)
        self._model.optimizer.apply(whole, variables)

    def _of_a_batch(self, batches: Any) -> tuple[Any, list[Any], Any]:
        """Of each device: its share of the loss, and the gradient of that; the batch's size."""
        run, local = self._strategy.run, self._strategy.experimental_local_results
        if self._model.accumulate == 1:
            given, share, size, _ = next(batches)
            return *self._by_each(given, share), local(size)[0]
        reached: list[bool] = []  # by the loss, of the variables: known once a part is traced

        def part(more: Any, size: Any, losses: Any, sums: list[Any]) -> Any:
            given, share, size, last = next(batches)
            part_losses, gradients = self._by_each(given, share)
            reached[:] = [gradient is not None for gradient in gradients]
            losses = run(tf.add, args=(losses, part_losses))
            sums = [
                before if gradient is None else run(tf.add, args=(before, gradient))
                for before, gradient in zip(sums, gradients, strict=True)
            ]
            return ~local(last)[0], local(size)[0], losses, sums

        _, size, losses, sums = tf.while_loop(
            lambda more, *rest: more,
            part,
            [True, tf.constant(0, tf.int64), *run(self._nothing)],
            parallel_iterations=1,
        )
        return losses, [s if there else None for s, there in zip(sums, reached, strict=True)], size

    def _by_each(self, given: Any, share: Any) -> tuple[Any, list[Any]]:
        scope: AbstractContextManager[Any] = nullcontext()
        if self._between_stops:
            scope = tf.xla.experimental.jit_scope()
        with scope:
            losses, gradients = self._strategy.run(self._compute, args=(given, share))
        return losses, gradients

    def _nothing(self) -> tuple[Any, list[Any]]:
        """A loss and gradients to add to."""
        return tf.constant(0.0), [tf.zeros_like(v.value) for v in self._model.trainable_weights]

    def _gradients(self, given: Any, share: Any) -> tuple[Any, list[Any]]:
        """Of one device: its share of the loss, and the gradient of that, scaled where halves of
        precision need it."""
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(given)
        # Keras's losses divide by the number of devices.
        count = tf.shape(tf.nest.flatten(images)[0])[0]
        factor = tf.fill([count], float(self._devices.replicas))
        with tf.GradientTape() as tape:
            loss = share * self._model.compute_loss(
                x=images,
                y=labels,
                y_pred=self._model(images, training=True),
                sample_weight=factor if weights is None else factor * weights,
                training=True,
            )
            scaled = self._model.optimizer.scale_loss(loss)
        variables = [variable.value for variable in self._model.trainable_weights]
        return loss, tape.gradient(scaled, variables)


def scoring(
    model: keras.Model,
    loss: keras.losses.Loss,
    devices: Devices,
    *,
    reconstructs: bool,
    jit: bool,
) -> Callable[[Any, Any], tuple[np.ndarray, np.ndarray]]:
    """(images [b, h, w, c], labels [b]) to the output and the loss of each image, in order.

    Each device has its part of the images.
    """
    strategy, replicas = devices.strategy, devices.replicas
    infer = tf.function(
        lambda images: model(images, training=False),
        autograph=False,
        jit_compile=_compiles(devices, jit) or None,
    )

    def one(images: Any, labels: Any) -> tuple[Any, Any]:
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        with tf.device("CPU:0"):
            count = tf.shape(labels)[0]
            each = -(-count // replicas)  # the last image stands in for those that lack
            rows = tf.minimum(tf.range(number * each, (number + 1) * each), count - 1)
            share, share_labels = tf.gather(images, rows), tf.gather(labels, rows)
        made = infer(share)
        return made, loss.call(unit(share) if reconstructs else share_labels, made)

    signature = [
        tf.TensorSpec([None, *model.input_shape[1:]], tf.float32),
        tf.TensorSpec([None], tf.int64),
    ]

    @tf.function(autograph=False, input_signature=signature)
    def run(images: Any, labels: Any) -> Any:
        scored = strategy.run(one, args=(images, labels))
        return [strategy.gather(of_each, axis=0) for of_each in scored]

    def whole(images: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
        made, losses = run(images, labels)
        count = len(labels)
        return np.asarray(made)[:count], np.asarray(losses)[:count]

    return whole
