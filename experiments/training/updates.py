"""Many updates, or the scoring of many batches, as one call. TensorFlow only.

Keras's `fit` returns to Python after every batch, which costs more than a small network's update.
For images held in memory the loop over the batches is part of the program, and the images stay on
the device. A part of the data is a vector of indices, and batch size, learning rates, seed and
statistics are given to the program too, so that folds, sizes and settings share one trace. The
batches are made by the functions that the tf.data pipeline maps (`pipelines.build.batch_maker`),
and the update is Keras's own `train_step`: the same bits as from `fit`.

On batches that an input pipeline makes, `executions` does what Keras's `steps_per_execution` does,
but with the learning rate of each update, and with calls that end where an epoch does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

import pipelines.build
from experiments.errors import stop_if_asked
from experiments.training.batches import Rows, TrainingRows, weighted
from pipelines.augment.colour import Colours
from pipelines.augment.keys import epoch_order
from pipelines.augment.recipes import Recipe
from pipelines.in_memory import Resident
from pipelines.portions import edges

CALL_SECONDS = 0.5  # a call cannot be interrupted, and says nothing before it ends

Score = Callable[[Any, Any], tuple[Any, Any]]


class Pace:
    """How many batches one call takes, so that it lasts about CALL_SECONDS.

    Results do not depend on it.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}  # of one batch, by batch size

    def stretches(self, batches: int, batch_size: int, first: int = 0) -> Iterator[tuple[int, int]]:
        """(first, stop) of calls that together take all batches from `first` on; each is timed."""
        while first < batches:
            known = self._seconds.get(batch_size)
            # The first calls of all are traced: one batch until it is known what a batch takes.
            count = 1 if known is None else max(1, int(CALL_SECONDS / max(known, 1e-6)))
            stop = min(first + count, batches)
            started = time.perf_counter()
            yield first, stop
            self._seconds[batch_size] = (time.perf_counter() - started) / (stop - first)
            first = stop


class EpochUpdates:
    """Updates of a network by a recipe on the images of one source, by whole epochs."""

    def __init__(
        self, model: Any, step: Callable[..., Any], recipe: TrainingRows, *, weighs: bool
    ) -> None:
        """`step` makes one update from (images, labels[, weights of images])."""
        self.pace = Pace()
        self._call = _updates(model, step, recipe, weighs=weighs)

    def __call__(
        self, given: TrainingRows, epoch: int, rates: np.ndarray, made: int = 0
    ) -> Iterator[tuple[int, float]]:
        """Make the updates of an epoch: (updates, the epoch's mean loss so far) of each call.

        Args:
            given: as the recipe, but for what is not traced.
            epoch: from 0.
            rates: learning rate of each update.
            made: updates that were made before; the metrics must be as they left them.
        """
        table = np.ones(1, np.float32) if given.class_weights is None else given.class_weights
        bounds = edges(len(given.indices), given.batch_size)
        constant = (given.indices, bounds, rates, given.order, given.seed, epoch, table)
        for first, stop in self.pace.stretches(len(rates), given.batch_size, made):
            yield stop - first, float(self._call(first, stop, *constant, *given.colours))


class Scoring:
    """Outputs and losses of a network on the images of one source."""

    def __init__(self, score: Score, held: Resident, *, outputs: bool) -> None:
        """`outputs`: give them back, beside the losses."""
        self.pace = Pace()
        self._call = _scoring(score, held, outputs=outputs)

    def __call__(self, rows: Rows, clock: Any) -> tuple[np.ndarray | None, np.ndarray]:
        """(outputs [images, ...] or None, loss of each image [images]); `clock` times the calls."""
        batches = -(-len(rows.indices) // rows.batch_size)
        calls = []
        for first, stop in self.pace.stretches(batches, rows.batch_size):
            stop_if_asked()
            clock.start()
            scored = self._call(first, stop, rows.indices, rows.batch_size)
            calls.append([x.numpy() for x in scored])
            clock.stop()
        losses, *outputs = (np.concatenate(parts) for parts in zip(*calls, strict=True))
        return (outputs[0] if outputs else None), losses


def _updates(
    model: Any, step: Callable[..., Any], recipe: TrainingRows, *, weighs: bool
) -> Callable[..., Any]:
    """(first, stop, rows, edges, rates, seed of the order, seed, epoch, class weights, *colours)
    -> mean loss."""
    channels = recipe.held.views.shape[-1]
    signature = [
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([None], tf.int64),
        tf.TensorSpec([None], tf.int64),
        tf.TensorSpec([None], tf.float32),
        tf.TensorSpec([], tf.int64),
        tf.TensorSpec([], tf.int64),
        tf.TensorSpec([], tf.int64),
        tf.TensorSpec([None], tf.float32),
        tf.TensorSpec([channels], tf.float32),
        tf.TensorSpec([channels], tf.float32),
        tf.TensorSpec([channels, channels], tf.float32),
    ]

    def run(
        first: Any, stop: Any, rows: Any, bounds: Any, rates: Any, order_seed: Any, seed: Any,
        epoch: Any, table: Any, *colours: Any,
    ) -> Any:  # fmt: skip
        make = pipelines.build.batch_maker(
            recipe.held,
            Recipe(
                recipe.held.size,
                recipe.steps,
                Colours(*colours),
                seed,
                recipe.held.crop_fraction,
                recipe.transfer,
                recipe.antialias,
            ),
        )
        for variable in (v for metric in model.metrics for v in metric.variables):
            value = tf.convert_to_tensor(variable)
            variable.assign(tf.where(first == 0, tf.zeros_like(value), value))
        with tf.device("CPU:0"):
            order = epoch_order(rows, order_seed, epoch)

        def update(at: Any) -> Any:
            model.optimizer.learning_rate.assign(rates[at])
            images, labels = make(epoch, order[bounds[at] : bounds[at + 1]])
            step(images, *(weighted(labels, table) if weighs else (labels,)))
            return at + 1

        tf.while_loop(lambda at: at < stop, update, [first], parallel_iterations=1)
        return model.get_metrics_result()["loss"]

    return tf.function(run, input_signature=signature, autograph=False)


def _scoring(score: Score, held: Resident, *, outputs: bool) -> Callable[..., Any]:
    """(first, stop, rows, batch) -> (losses [images][, outputs [images, ...]])."""
    signature = [
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([None], tf.int64),
        tf.TensorSpec([], tf.int32),
    ]

    def run(first: Any, stop: Any, rows: Any, size: Any) -> Any:
        def one(at: Any, *kept: Any) -> Any:
            chosen = rows[at * size : (at + 1) * size]
            made, losses = score(held.images(chosen), tf.gather(held.labels, chosen))
            scored = (losses, made) if outputs else (losses,)
            return at + 1, *(x.write(at - first, y) for x, y in zip(kept, scored, strict=True))

        empty = [
            tf.TensorArray(tf.float32, stop - first, infer_shape=False)
            for _ in range(2 if outputs else 1)
        ]
        _, *kept = tf.while_loop(
            lambda at, *kept: at < stop, one, [first, *empty], parallel_iterations=1
        )
        return [x.concat() for x in kept]

    return tf.function(run, input_signature=signature, autograph=False)


def executions(
    model: Any, update_from: Callable[[Any], Any], batches: Any
) -> Callable[[Any, Any], Any]:
    """(iterator, learning rate of each update) -> the epoch's mean loss so far.

    Args:
        model: what `update_from` updates.
        update_from: makes one update from what the iterator gives next.
        batches: the iterator, for its type.
    """
    signature = [tf.type_spec_from_value(batches), tf.TensorSpec([None], tf.float32)]

    def run(batches: Any, rates: Any) -> Any:
        def update(at: Any) -> Any:
            model.optimizer.learning_rate.assign(rates[at])
            update_from(batches)
            return at + 1

        tf.while_loop(lambda at: at < tf.size(rates), update, [0], parallel_iterations=1)
        return model.get_metrics_result()["loss"]

    return tf.function(run, input_signature=signature, autograph=False)
