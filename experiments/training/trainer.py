"""One compiled network, reset in place and fitted again for every job that shares its graph."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

import models
from experiments.config.identity import graph_key, offsets_apart
from experiments.config.schema import Config
from experiments.errors import BadInput, FailedWork, stop_if_asked
from experiments.jobs.job import Emit
from experiments.optimization import losses, optimizers
from experiments.optimization.objective import Objective, PixelError, head_weights
from experiments.optimization.optimizers import Averages, assign_rate
from experiments.runtime import devices
from experiments.runtime.hosts import Accord
from experiments.runtime.measure import Clock
from experiments.training import fused_batch_norm
from experiments.training.batches import Kept, Rows, TrainingRows
from experiments.training.loop import AfterEpoch, History, Loop
from experiments.training.outputs import inference_function, scoring_function
from experiments.training.prefetch import ahead
from experiments.training.weights import (
    Donors,
    Drawing,
    copy_weights,
    freeze,
    leaves,
    load,
    reseed,
    saved_donors,
)
from models.layers.activations import MonteCarloDropout
from models.layers.normalizations import Normalise
from models.registry import deployable

if TYPE_CHECKING:
    from experiments.training.resume import Keeper


class Trainer:
    """A network behind its Normalise layer, compiled once.

    What varies without a new trace (the learning rate and its schedule, how much weight decay and
    momentum are, initial weights, statistics, data, batch size, epochs) is given to `reset` and
    `fit`; the rest is fixed here and is what `graph_key` names.

    `built` is the network as asked for, `model` the same behind Normalise: what training updates,
    with every head. `network` is the bare network to its logits (or images) alone, `deployed` the
    same behind Normalise: what is scored, measured and saved.
    """

    def __init__(self, config: Config, input_shape: tuple[int, int, int], classes: int):
        _check_backend(config)
        self.devices = devices.found(config.train.devices)
        self.classes, self.input_shape = classes, input_shape
        self.graph = graph_key(config, input_shape, classes)
        self.clock = Clock()
        backend = keras.backend.backend()
        self._jit = config.train.jit and backend == "tensorflow"
        card = models.card(config.model.name)
        self.reconstructs = card.task == "reconstruction"
        keras.config.set_dtype_policy(config.train.precision)
        try:
            with self.devices.scope():
                self.built = models.build(
                    config.model.name,
                    input_shape=input_shape,
                    classes=classes,
                    **config.model.options,
                )
                pixels = keras.Input(input_shape, name="pixels")
                self.normalise = Normalise(name="normalise")
                normalised = self.normalise(pixels)
                self.model = Objective(pixels, self.built(normalised), name=self.built.name)
                self.network = deployable(self.built)
                self.deployed = keras.Model(pixels, self.network(normalised), name=self.built.name)
        except ValueError as error:
            raise BadInput(f"model: {error}") from None
        finally:
            keras.config.set_dtype_policy("float32")
        self.leaves = list(leaves(self.model))
        if not config.train.jit:  # XLA makes kernels of its own
            fused_batch_norm.install(self.leaves)
        self.normalise.trainable = False
        freeze(self.built, config.train.freeze)
        self.loss = PixelError() if self.reconstructs else losses.build(config.train.loss, classes)
        self.model.set_up(
            self.loss,
            head_weights(self.built, card.auxiliary_loss_weights),
            reconstructs=self.reconstructs,
            accumulate=config.train.accumulate,
        )
        with self.devices.scope():
            self.rule = optimizers.build(config.train.optimizer, self.model)
        with self.devices.metrics_scope():
            self.model.compile(
                optimizer=self.rule,
                # uncompiled, JAX would go operation by operation; see `_by_executions` on
                # determinism
                jit_compile=backend == "jax"
                or (config.train.jit and not (self._jit and config.train.deterministic)),
                auto_scale_loss=True,
            )
            self.model.optimizer.build(self.model.trainable_variables)
        self._averages = Averages(self.rule, self.model.trainable_variables)
        fresh = optimizers.InitialState(self.model.optimizer)
        self._draw = Drawing(self.leaves, fresh.restore)
        self._programs = Kept()
        self._weighs = config.train.class_weights is not None
        self._soft, self._transfer = config.augment.mixes, config.data.transfer
        self._offsets = offsets_apart(config)
        self.infer = inference_function(self.deployed, jit=config.train.jit)
        if self.devices.distribution is not None:
            from experiments.training import spread_jax

            self.infer = spread_jax.inference(self.deployed, self.devices)
        self._score = scoring_function(self.infer, self.loss, input_shape, self.reconstructs)
        if self.devices.strategy is not None:
            from experiments.training import spread_tensorflow

            spread_tensorflow.check(config, self.leaves)
            spread_tensorflow.adapt(self.leaves)
            self._spread = spread_tensorflow.Updates(
                self.model, self.leaves, self.devices, jit=self._jit
            )
            self._score = spread_tensorflow.scoring(
                self.deployed, self.loss, self.devices, reconstructs=self.reconstructs,
                jit=self._jit,
            )  # fmt: skip

    def reset(
        self,
        seed: int,
        mean: np.ndarray,
        scale: np.ndarray,
        weights_from: Path | Donors | None = None,
        published: str | None = None,
    ) -> int:
        """Draw every weight anew from `seed`, and forget what the optimizer knew.

        Each weight has its own seed from its layer's name, so a fresh and a reset network are
        equal, and adding a layer leaves the others' draws alone.

        Args:
            seed: of the weights and of dropout.
            mean, scale: float [channels], for the Normalise layer.
            weights_from: a .keras file, or weights by layer name, whose layers of equal name and
                shape are copied.
            published: "imagenet" or a file of published weights.

        Returns:
            Number of layers copied from `weights_from`.

        Raises:
            BadInput: a file is not what it should be, or no layer of `weights_from` fits.
        """
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002  (Keras falls back on the global state)
        self._draw(seed)
        if published:
            load(published, self.network, self.classes)
        assign_rate(self.normalise, "mean", mean)
        assign_rate(self.normalise, "scale", scale)
        if weights_from is None:
            return 0
        from_file = isinstance(weights_from, Path)
        given = saved_donors(weights_from) if isinstance(weights_from, Path) else weights_from
        copied = copy_weights(given, self.leaves)
        if not copied:
            key, what = "train.stages", "the network trained before"
            if from_file:
                key, what = "train.initialize_from", str(weights_from)
            raise BadInput(
                f"{key}: no layer of {what} has the name and shape of a layer of {self.model.name}"
            )
        return copied

    def seed_samples(self, seed: int) -> None:
        """Settle what the layers that draw at inference draw next, whatever went before."""
        for leaf in self.leaves:
            reseed(leaf, seed)

    @property
    def samples(self) -> bool:
        """Does any layer draw at inference?"""
        return any(isinstance(leaf, MonteCarloDropout) for leaf in self.leaves)

    def fit(
        self,
        dataset: Callable[..., Any],
        config: Config,
        steps_per_epoch: int,
        validate: Callable[[], dict[str, float]] | None,
        emit: Emit,
        after_epoch: AfterEpoch | None = None,
        rows: TrainingRows | None = None,
        keeper: Keeper | None = None,
    ) -> History:
        """Train for the epochs of `config`, validating after each.

        Args:
            dataset: gives batches of (images [b, h, w, c], labels [b], optionally weights [b]),
                all epochs in order. Not called for a run of no epochs; with the number of an epoch,
                from 0, it gives those from there on.
            validate: gives {val_loss, val_top1, ...}; None without validation images.
            emit: hears of epochs and of progress.
            after_epoch: called with the number of each epoch that has ended.
            rows: the same batches for whole epochs as one call, with the same result; `dataset`
                is then not called.
            keeper: takes snapshots, and may have one of an earlier start to go on from.

        Raises:
            Stopped: somebody asked for it.
            FailedWork: the loss is no longer finite, or `config` is for another traced program.
        """
        if graph_key(config, self.input_shape, self.classes) != self.graph:
            raise FailedWork(
                f"{self.model.name}: the config differs from what was traced in more than what may "
                "vary; build another Trainer"
            )
        self.devices.check_batch(config.data.batch_size)
        optimizers.assign(self.rule, config.train.optimizer)
        loop = Loop(
            self.model, config, steps_per_epoch, validate, emit, after_epoch, self.clock, keeper,
            self._averages, Accord(self.devices),
        )  # fmt: skip
        with keeper.settling() if keeper else nullcontext():
            loop.resume()
            if not loop.ended:
                spread_tensorflow = self.devices.strategy is not None
                if rows is not None and not spread_tensorflow:
                    self._by_whole_epochs(rows, config.train.epochs, loop)
                elif spread_tensorflow or self._jit or config.train.steps_per_execution > 1:
                    self._by_executions(dataset, config, loop)
                else:
                    self._by_batch(dataset, config.train.epochs, loop)
        return loop.finish()

    def _epochs(self, epochs: int, loop: Loop, updates: Callable[[int], Any]) -> None:
        """What Keras's `fit` does around the updates; `updates` makes those of an epoch that are
        left, and gives its mean loss."""
        self.model.stop_training = False
        for epoch in range(loop.epoch, epochs):
            self.model.reset_metrics()
            loop.on_epoch_begin(epoch)
            loop.on_epoch_end(epoch, {"loss": updates(epoch)})
            if self.model.stop_training:
                break

    def _by_batch(self, dataset: Callable[..., Any], epochs: int, loop: Loop) -> None:
        """By Keras's `fit`: first what is left of an epoch, if it was stopped in one."""

        def train(data: Any, epochs: int, steps: int) -> None:
            if self.devices.distribution is not None:
                from experiments.training import spread_jax

                data = spread_jax.placed(data, self.devices)
            else:
                data = ahead(data)
            self.model.fit(
                data,
                initial_epoch=loop.epoch,
                epochs=epochs,
                steps_per_epoch=steps,
                callbacks=[loop],
                verbose=0,
                shuffle=False,
            )

        if made := loop.made:
            left = loop.steps_per_epoch - made
            train(dataset(loop.epoch).skip(made).take(left), loop.epoch + 1, left)
        if not loop.ended:
            data = dataset(loop.epoch) if loop.epoch else dataset()
            train(data, epochs, loop.steps_per_epoch)

    def _by_executions(self, dataset: Callable[..., Any], config: Config, loop: Loop) -> None:
        """With several updates a call, whose learning rates go with it; on all devices of a
        TensorFlow strategy, where there is one.

        Compiled by XLA also where it is one: Keras's `fit` leaves XLA out, with a warning, where
        operations must be deterministic, though TensorFlow compiles deterministic ones then.
        """
        from experiments.training.updates import executions

        data = dataset(loop.epoch) if loop.epoch else dataset()
        batches: Any
        several: Callable[[Any, Any], Any]
        if self.devices.strategy is not None:
            batches, several = self._spread.batches(data.skip(loop.made)), self._spread
        else:
            batches = iter(ahead(data.skip(loop.made)))
            several = self._programs.get(
                "executions",
                data.element_spec,
                lambda: executions(self.model, self._step, data.element_spec),
            )

        def updates(epoch: int) -> float:
            rates, loss = loop.rates(), float("nan")
            while (made := loop.made) < loop.steps_per_epoch:
                own = rates[made : made + config.train.steps_per_execution]
                self.clock.start()
                loss = float(several(batches, own))
                self.clock.stop()
                loop.advanced(len(own), loss)
            return loss

        self._epochs(config.train.epochs, loop, updates)

    def _by_whole_epochs(self, rows: TrainingRows, epochs: int, loop: Loop) -> None:
        from experiments.training.updates import Updates

        if (rows.class_weights is not None) != self._weighs or rows.transfer != self._transfer:
            raise FailedWork("rows: not of the config that this network was compiled for")
        recipe = json.dumps([rows.steps, rows.transfer, rows.antialias], sort_keys=True)
        updates, _ = self._programs.get(
            "updates",
            (id(rows.held), recipe),
            # the source is kept beside it, or its id could become another's
            lambda: (Updates(self.model, self._step, rows, weighs=self._weighs), rows.held),
        )

        def made(epoch: int) -> float:
            loss = float("nan")
            self.clock.start()
            for count, loss in updates.epoch(rows, epoch, loop.rates(), loop.made):
                self.clock.stop()
                loop.advanced(count, loss)
                self.clock.start()
            return loss

        self._epochs(epochs, loop, made)

    @cached_property
    def update(self) -> Callable[[Any, Any], Any]:
        """(images, labels) -> mean loss so far: one update, compiled as those of `fit` are."""
        if not self._jit:
            return self.model.train_on_batch
        import tensorflow as tf

        def step(images: Any, labels: Any) -> Any:
            return self.model.train_step((images, labels))["loss"]

        return tf.function(step, autograph=False, jit_compile=True)

    @cached_property
    def _step(self) -> Callable[..., Any]:
        """One update from (images, labels[, weights]), traced once whatever loops around it."""
        import tensorflow as tf

        pixels = tf.uint8 if self._transfer == "uint8" else tf.float32
        labels = tf.TensorSpec([None], tf.int64)
        if self._soft:
            labels = tf.TensorSpec([None, self.classes], tf.float32)
        images: Any = tf.TensorSpec([None, *self.input_shape], pixels)
        if self._offsets:
            images = images, tf.TensorSpec([None, self.input_shape[-1]], tf.float32)
        signature = [images, labels]
        if self._weighs:
            signature.append(tf.TensorSpec([None], tf.float32))

        def step(*batch: Any) -> None:
            self.model.train_step(batch)

        jit = self._jit or None  # None: as what calls it
        return tf.function(step, input_signature=signature, autograph=False, jit_compile=jit)

    def score(self, images: Rows | Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every image once, of Rows or of a dataset of batches (images, labels).

        Returns:
            Outputs float32 [images, classes] (empty for a reconstruction), the loss of each image
            float32 [images] without class weights, other heads and penalties, and labels [images].
        """
        if isinstance(images, Rows):
            from experiments.training.updates import Scoring

            held = images.held
            scoring, _ = self._programs.get(
                "scoring",
                id(held),
                lambda: (Scoring(self._score, held, outputs=not self.reconstructs), held),
            )
            made, losses = scoring(images, self.clock)
            labels = held.source.labels[images.indices]
            return (np.empty(0) if made is None else made), losses, labels
        outputs, losses, labels = [], [], []
        accord = Accord(self.devices)
        for batch in images:
            if accord.due():
                accord.settle()
            stop_if_asked()
            self.clock.start()
            made, loss = self._score(batch[0], batch[1])
            if not self.reconstructs:
                outputs.append(keras.ops.convert_to_numpy(made))
            losses.append(keras.ops.convert_to_numpy(loss))
            self.clock.stop()
            labels.append(np.asarray(batch[1]))
        made = np.concatenate(outputs) if outputs else np.empty(0)
        return made, np.concatenate(losses), np.concatenate(labels)

    def mean_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """Mean of the loss over images: without class weights, other heads and penalties."""
        values = [
            keras.ops.convert_to_numpy(
                self.loss.call(labels[at : at + 1024], logits[at : at + 1024])
            )
            for at in range(0, len(labels), 1024)
        ]
        return float(np.concatenate(values).astype(np.float64).mean())

    def save(self, path: Path) -> None:
        """Write what users deploy as .keras: pixels to logits, Normalise included.

        Neither the optimizer nor the heads that only training needs go with it.
        """
        self.deployed.save(path)


def _check_backend(config: Config) -> None:
    backend = keras.backend.backend()
    updates = config.train.steps_per_execution
    if backend != "tensorflow" and updates > 1:
        raise BadInput(
            f"train.steps_per_execution: {updates} needs Keras's TensorFlow backend. Received: "
            f"{backend}; set KERAS_BACKEND=tensorflow, or train.steps_per_execution=1"
        )
