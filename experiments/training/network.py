"""One compiled network, reset in place for every job that shares its graph."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

import models
from experiments.config.identity import graph_key, offsets_apart
from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.optimization import losses, optimizers
from experiments.optimization.objective import Objective, PixelError, head_weights
from experiments.runtime import devices
from experiments.runtime.machine import check_weights
from experiments.training import fused_batch_norm
from experiments.training.weights import (
    Donors,
    Drawing,
    copy_weights,
    freeze,
    leaves,
    load,
    named,
    reseed,
    saved_donors,
)
from models.layers.activations import MonteCarloDropout
from models.layers.normalizations import Normalise
from models.registry import deployable

LARGER = {"hidden", "width"}  # options that can make a network of any size


class CompiledNetwork:
    """A network behind its Normalise layer, with its loss and update rule, compiled once.

    What varies without a new trace (the learning rate and its schedule, how much weight decay and
    momentum are, initial weights, statistics, data, batch size, epochs) is given later; the rest
    is fixed here and is what `graph_key` names.

    `built` is the network as asked for, `model` the same behind Normalise: what training updates,
    with every head. `network` is the bare network to its logits (or images) alone, `deployed` the
    same behind Normalise: what is scored, measured and saved.

    Raises:
        BadInput: the network cannot be built or trained as the config says.
    """

    def __init__(self, config: Config, input_shape: tuple[int, int, int], classes: int):
        _check_backend(config)
        self.config, self.classes, self.input_shape = config, classes, input_shape
        self.devices = devices.chosen(config.train.devices)
        self.graph = graph_key(config, input_shape, classes)
        self.jit = config.train.jit and keras.backend.backend() == "tensorflow"
        card = models.card(config.model.name)
        self.reconstructs = card.task == "reconstruction"
        self._build()
        self.loss = PixelError() if self.reconstructs else losses.build(config.train.loss, classes)
        self.model.set_up(
            self.loss,
            head_weights(self.built, card.auxiliary_loss_weights),
            reconstructs=self.reconstructs,
            accumulate=config.train.accumulate,
        )
        self._compile()
        self._draw = Drawing(self.leaves, optimizers.InitialState(self.model.optimizer).restore)

    def _build(self) -> None:
        config = self.config
        shape: dict[str, Any] = {"input_shape": self.input_shape, "classes": self.classes}
        keras.config.set_dtype_policy(config.train.precision)
        try:
            if LARGER & config.model.options.keys():
                outline = models.outline(config.model.name, **shape, **config.model.options)
                check_weights(models.profile(outline).params)
            with self.devices.scope():
                self.built = models.build(config.model.name, **shape, **config.model.options)
                pixels = keras.Input(self.input_shape, name="pixels")
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

    def _compile(self) -> None:
        train = self.config.train
        with self.devices.scope():
            self.rule = optimizers.build(train.optimizer, self.model)
        with self.devices.metrics_scope():
            self.model.compile(
                optimizer=self.rule,
                # uncompiled, JAX would go operation by operation; see `epochs.by_executions` on
                # determinism
                jit_compile=keras.backend.backend() == "jax"
                or (train.jit and not (self.jit and train.deterministic)),
                auto_scale_loss=True,
            )
            self.model.optimizer.build(self.model.trainable_variables)
        self.averages = optimizers.Averages(self.rule, self.model.trainable_variables)

    def reset(
        self,
        seed: int,
        mean: np.ndarray,
        scale: np.ndarray,
        weights_from: Path | Donors | None = None,
        published: str | None = None,
        patterns: tuple[str, ...] = (),
    ) -> int:
        """Draw every weight anew from `seed`, and forget what the optimizer knew.

        Each weight has its own seed from its layer's name, so a fresh and a reset network are
        equal, and adding a layer leaves the others' draws alone.

        Args:
            seed: of the weights and of dropout.
            mean, scale: float [channels], for the Normalise layer.
            weights_from: a .keras file, or weights by layer name, whose layers of equal name and
                shape are copied.
            patterns: layer names of what is copied, such as conv*; none: all that fits.
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
        optimizers.assign_rate(self.normalise, "mean", mean)
        optimizers.assign_rate(self.normalise, "scale", scale)
        if weights_from is None:
            return 0
        from_file = isinstance(weights_from, Path)
        given = saved_donors(weights_from) if isinstance(weights_from, Path) else weights_from
        copied = copy_weights(named(given, patterns, self.leaves), self.leaves)
        if not copied:
            key, donor = "train.stages", "the network trained before"
            if from_file:
                key, donor = "train.initialize_from", str(weights_from)
            raise BadInput(
                f"{key}: no layer of {donor} has the name and shape of a layer of {self.model.name}"
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

    @cached_property
    def update(self) -> Callable[[Any, Any], Any]:
        """(images, labels) -> mean loss so far: one update, compiled as those of `fit` are."""
        if not self.jit:
            return self.model.train_on_batch
        import tensorflow as tf

        def step(images: Any, labels: Any) -> Any:
            return self.model.train_step((images, labels))["loss"]

        return tf.function(step, autograph=False, jit_compile=True)

    @cached_property
    def step(self) -> Callable[..., Any]:
        """One update from (images, labels[, weights]), traced once whatever loops around it.
        TensorFlow only."""
        import tensorflow as tf

        config = self.config
        pixels = tf.uint8 if config.data.transfer == "uint8" else tf.float32
        labels = tf.TensorSpec([None], tf.int64)
        if config.augment.mixes:
            labels = tf.TensorSpec([None, self.classes], tf.float32)
        images: Any = tf.TensorSpec([None, *self.input_shape], pixels)
        if offsets_apart(config):
            images = images, tf.TensorSpec([None, self.input_shape[-1]], tf.float32)
        signature = [images, labels]
        if config.train.class_weights is not None:
            signature.append(tf.TensorSpec([None], tf.float32))

        def step(*batch: Any) -> None:
            self.model.train_step(batch)

        jit = self.jit or None  # None: as what calls it
        return tf.function(step, input_signature=signature, autograph=False, jit_compile=jit)

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
