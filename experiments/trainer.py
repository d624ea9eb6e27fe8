"""One compiled network, reset in place and fitted again for every job that shares its graph."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import models
from experiments import losses, optimizers, pretrained
from experiments.config import Config
from experiments.errors import BadInput
from experiments.loop import AfterEpoch, Emit, History, Loop
from experiments.objective import Objective, PixelError, deployable, head_weights, unit
from experiments.weights import Donors, copy_weights, draw, freeze, leaves, reseed, saved_donors
from models.layers import MonteCarloDropout, Normalise


class Trainer:
    """A network behind its Normalise layer, compiled once.

    What varies without a new trace (the learning rate and its schedule, initial weights,
    statistics, data, batch size, epochs) is given to `reset` and `fit`; the rest is fixed here and
    is what `graph_key` names.

    `built` is the network as asked for, `model` the same behind Normalise: what training updates,
    with every head. `network` is the bare network to its logits (or images) alone, `deployed` the
    same behind Normalise: what is scored, measured and saved.
    """

    def __init__(self, config: Config, input_shape: tuple[int, int, int], classes: int):
        self.classes = classes
        card = models.card(config.model.name)
        self.reconstructs = card.task == "reconstruction"
        keras.config.set_dtype_policy(config.train.precision)
        try:
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
        self.normalise.trainable = False
        freeze(self.built, config.train.freeze)
        self.loss = PixelError() if self.reconstructs else losses.build(config.train.loss, classes)
        self.model.set_up(
            self.loss,
            head_weights(self.built, card.auxiliary_loss_weights),
            reconstructs=self.reconstructs,
        )
        self.model.compile(
            optimizer=optimizers.build(config.train.optimizer, self.model),
            jit_compile=config.train.jit,
            auto_scale_loss=True,
        )
        self.model.optimizer.build(self.model.trainable_variables)
        self._fresh = optimizers.InitialState(self.model.optimizer)
        self.infer = inference_function(self.deployed, jit=config.train.jit)

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
        for leaf in self.leaves:
            draw(leaf, seed)
        if published:
            pretrained.load(published, self.network, self.classes)
        self.normalise.mean.assign(mean)
        self.normalise.scale.assign(scale)
        self._fresh.restore()
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
        dataset: Any,
        config: Config,
        steps_per_epoch: int,
        validate: Callable[[], dict[str, float]] | None,
        emit: Emit,
        after_epoch: AfterEpoch | None = None,
    ) -> History:
        """Train for the epochs of `config`, validating after each.

        Args:
            dataset: gives batches of (images [b, h, w, c], labels [b], optionally weights [b]),
                all epochs in order. Not called for a run of no epochs.
            validate: gives {val_loss, val_top1, ...}; None without validation images.
            emit: hears of epochs and of progress.
            after_epoch: called with the number of each epoch that has ended.

        Raises:
            FailedWork: the loss is no longer finite.
        """
        loop = Loop(self.model, config, steps_per_epoch, validate, emit, after_epoch)
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

    def pixel_errors(self, dataset: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean squared error of each reconstruction, float32 [images], and labels [images]."""
        errors, labels = [], []
        for batch in dataset:
            made = self.infer(batch[0])
            errors.append(keras.ops.convert_to_numpy(self.loss.call(unit(batch[0]), made)))
            labels.append(np.asarray(batch[1]))
        return np.concatenate(errors), np.concatenate(labels)

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


def inference_function(model: keras.Model, *, jit: bool) -> Callable[[Any], Any]:
    """Images [b, h, w, c] on 0..255 to the model's output, compiled for any batch size."""
    if keras.backend.backend() != "tensorflow":
        return model.predict_on_batch
    import tensorflow as tf

    signature = [tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)]
    return tf.function(
        lambda images: model(images, training=False), input_signature=signature, jit_compile=jit
    )
