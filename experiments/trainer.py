"""One compiled network, reset in place and fitted again for every job that shares its graph."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import models
from experiments import losses, optimizers
from experiments.config import Config
from experiments.errors import BadInput
from experiments.loop import Emit, History, Loop
from experiments.weights import copy_weights, draw, freeze, leaves
from models.layers import Normalise


class Trainer:
    """A network behind its Normalise layer, compiled once.

    What varies without a new trace (the learning rate and its schedule, initial weights,
    statistics, data, batch size, epochs) is given to `reset` and `fit`; the rest is fixed here and
    is what `graph_key` names.
    """

    def __init__(self, config: Config, input_shape: tuple[int, int, int], classes: int):
        keras.config.set_dtype_policy(config.train.precision)
        try:
            self.network = models.build(
                config.model.name,
                input_shape=input_shape,
                classes=classes,
                **config.model.options,
            )
        except ValueError as error:
            keras.config.set_dtype_policy("float32")
            raise BadInput(f"model: {error}") from None
        try:
            pixels = keras.Input(input_shape, name="pixels")
            self.normalise = Normalise(name="normalise")
            self.model = keras.Model(
                pixels, self.network(self.normalise(pixels)), name=self.network.name
            )
        finally:
            keras.config.set_dtype_policy("float32")
        self.leaves = list(leaves(self.model))
        self.normalise.trainable = False
        freeze(self.network, config.train.freeze)
        self.loss = losses.build(config.train.loss, classes)
        self.model.compile(
            optimizer=optimizers.build(config.train.optimizer, self.model),
            loss=self.loss,
            jit_compile=config.train.jit,
            auto_scale_loss=True,
        )
        self.model.optimizer.build(self.model.trainable_variables)
        self._fresh = optimizers.InitialState(self.model.optimizer)
        self.infer = inference_function(self.model, jit=config.train.jit)

    def reset(
        self, seed: int, mean: np.ndarray, scale: np.ndarray, weights_from: Path | None = None
    ) -> int:
        """Draw every weight anew from `seed`, and forget what the optimizer knew.

        Each weight has its own seed from its layer's name, so a fresh and a reset network are
        equal, and adding a layer leaves the others' draws alone.

        Args:
            seed: of the weights and of dropout.
            mean, scale: float [channels], for the Normalise layer.
            weights_from: a .keras file whose layers of equal name and shape are copied.

        Returns:
            Number of layers copied from `weights_from`.
        """
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002  (Keras falls back on the global state)
        for leaf in self.leaves:
            draw(leaf, seed)
        self.normalise.mean.assign(mean)
        self.normalise.scale.assign(scale)
        self._fresh.restore()
        return copy_weights(weights_from, self.leaves) if weights_from else 0

    def fit(
        self,
        dataset: Any,
        config: Config,
        steps_per_epoch: int,
        validate: Callable[[], dict[str, float]] | None,
        emit: Emit,
    ) -> History:
        """Train for the epochs of `config`, validating after each.

        Args:
            dataset: gives batches of (images [b, h, w, c], labels [b], optionally weights [b]),
                all epochs in order. Not called for a run of no epochs.
            validate: gives {val_loss, val_top1, ...}; None without validation images.
            emit: hears of epochs and of progress.

        Raises:
            FailedWork: the loss is no longer finite.
        """
        loop = Loop(self.model, config, steps_per_epoch, validate, emit)
        if config.train.epochs:
            self.model.fit(
                dataset(),
                epochs=config.train.epochs,
                steps_per_epoch=steps_per_epoch,
                callbacks=[loop],
                verbose=0,
                shuffle=False,
            )
        return loop.finish()

    def logits(self, dataset: Any) -> tuple[np.ndarray, np.ndarray]:
        """Scores float32 [images, classes] and labels int64 [images], every image once."""
        scores, labels = [], []
        for batch in dataset:
            scores.append(np.asarray(self.infer(batch[0])))
            labels.append(np.asarray(batch[1]))
        return np.concatenate(scores), np.concatenate(labels)

    def mean_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """Mean of the training loss over images, without class weights."""
        values = [
            keras.ops.convert_to_numpy(
                self.loss.call(labels[at : at + 1024], logits[at : at + 1024])
            )
            for at in range(0, len(labels), 1024)
        ]
        return float(np.concatenate(values).astype(np.float64).mean())

    def save(self, path: Path) -> None:
        """Write the network with its Normalise layer as .keras, without the optimizer."""
        keras.Model(self.model.input, self.model.output, name=self.model.name).save(path)


def inference_function(model: keras.Model, *, jit: bool) -> Callable[[Any], Any]:
    """Images [b, h, w, c] on 0..255 to logits [b, classes], compiled for any batch size."""
    if keras.backend.backend() != "tensorflow":
        return model.predict_on_batch
    import tensorflow as tf

    signature = [tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)]
    return tf.function(
        lambda images: model(images, training=False), input_signature=signature, jit_compile=jit
    )
