"""One compiled network, reset in place and fitted again for every job that shares its graph."""

from __future__ import annotations

import fnmatch
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

import models
from experiments import losses, optimizers
from experiments.config import Config
from experiments.errors import BadInput, FailedWork
from experiments.jobs import seed_for
from experiments.schedules import Plateau, learning_rate
from models.layers import Normalise

Emit = Callable[[dict[str, Any]], None]


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


@dataclass
class History:
    """What a fit went through."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """Time of each epoch's updates, without validation."""
    best_epoch: int | None = None
    best_weights: list[np.ndarray] | None = None
    stopped_early: bool = False


class Loop(keras.callbacks.Callback):
    """What happens between the updates: learning rate, validation, early stopping, progress."""

    def __init__(
        self,
        model: keras.Model,
        config: Config,
        steps_per_epoch: int,
        validate: Callable[[], dict[str, float]] | None,
        emit: Emit,
    ):
        super().__init__()
        self.network, self.config, self.emit = model, config, emit
        self.steps_per_epoch, self.validate = steps_per_epoch, validate
        self.history = History()
        self.plateau = Plateau(config.train.schedule)
        self.step = 0
        self._rate = float("nan")
        self._best = float("-inf")
        self._ticked = 0.0
        self._started = 0.0
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch, self._started = epoch, time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        train = self.config.train
        rate = self.plateau.scale * learning_rate(
            train.schedule,
            train.optimizer.learning_rate,
            self.step,
            self.steps_per_epoch,
            train.epochs,
        )
        if rate != self._rate:
            self.network.optimizer.learning_rate = rate
            self._rate = rate

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.step += 1
        now = time.perf_counter()
        if now - self._ticked > 0.2:
            self._ticked = now
            self._check(float((logs or {}).get("loss", 0.0)))
            total = self.steps_per_epoch * self.config.train.epochs
            self.emit({"kind": "progress", "step": self.step, "steps": total})

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        loss = float((logs or {})["loss"])
        self.history.seconds.append(time.perf_counter() - self._started)
        self._check(loss)
        values = {"train_loss": loss, "learning_rate": self._rate}
        if self.validate:
            values |= self.validate()
            self._check(values["val_loss"])
            self.plateau.update(values["val_loss"])
            self._keep_best(values)
        self.history.epochs.append(values)
        self.emit({"kind": "epoch", "epoch": epoch + 1, "values": values})

    def finish(self) -> History:
        """Restore the best epoch's weights where early stopping is on."""
        if self.config.train.early_stopping and self.history.best_weights is not None:
            self.network.set_weights(self.history.best_weights)
        return self.history

    def _keep_best(self, values: Mapping[str, float]) -> None:
        stopping = self.config.train.early_stopping
        if not stopping and self.config.tracking.save_model != "best":
            return
        monitor = stopping.monitor if stopping else "val_top1"
        score = -values[monitor] if monitor == "val_loss" else values[monitor]
        if score > self._best + (stopping.min_delta if stopping else 0.0):
            self._best = score
            self.history.best_epoch = self._epoch + 1
            self.history.best_weights = self.network.get_weights()
        elif stopping and self._epoch + 1 - (self.history.best_epoch or 0) >= stopping.patience:
            self.history.stopped_early = True
            self.network.stop_training = True

    def _check(self, loss: float) -> None:
        if not np.isfinite(loss):
            rate = self.config.train.optimizer.learning_rate
            word = "NaN" if np.isnan(loss) else "infinite"
            raise FailedWork(
                f"the loss became {word} in epoch {self._epoch + 1}, by update {self.step}; "
                f"lower train.optimizer.learning_rate ({rate:g}) or warm up longer"
            )


def leaves(layer: Any) -> Iterator[Any]:
    """The layers of a nested network that hold no layers themselves, in order."""
    inner = getattr(layer, "layers", None)
    if inner is None:
        yield layer
        return
    for child in inner:
        yield from leaves(child)


def draw(leaf: Any, seed: int) -> None:
    """Give a layer's weights and random states the values that `seed` and its name determine."""
    weights = {id(w) for w in leaf.weights}
    for variable in leaf.variables:
        own = seed_for(seed, leaf.name, variable.name)
        if id(variable) not in weights:
            variable.assign(np.array([own, 0], dtype="uint32"))  # the state of a SeedGenerator
            continue
        initializer = getattr(leaf, f"{variable.name}_initializer", None)
        if initializer is None:
            raise FailedWork(
                f"layer {leaf.name} has no {variable.name}_initializer to draw {variable.path} from"
            )
        if hasattr(initializer, "seed"):
            initializer.seed = own
        variable.assign(initializer(variable.shape, variable.dtype))


def freeze(network: keras.Model, patterns: tuple[str, ...]) -> None:
    """Make the layers whose names match a pattern untrainable.

    Raises:
        BadInput: a pattern matches no layer.
    """
    for pattern in patterns:
        matching = [x for x in leaves(network) if fnmatch.fnmatchcase(x.name, pattern)]
        if not matching:
            names = ", ".join(x.name for x in leaves(network) if x.weights)
            raise BadInput(f"train.freeze: {pattern!r} matches no layer of {network.name}: {names}")
        for layer in matching:
            layer.trainable = False


def copy_weights(path: Path, into: list[Any]) -> int:
    """Copy layers of equal name and equal shapes from a .keras file; the rest keep their draw.

    Raises:
        BadInput: the file is no Keras model, or no layer fits.
    """
    try:
        saved = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"train.initialize_from: {path}: no Keras model ({reason})") from None
    donors = {layer.name: layer for layer in leaves(saved)}
    copied = 0
    for layer in into:
        donor = donors.get(layer.name)
        # The statistics of the training part are this run's own.
        if donor is None or isinstance(layer, Normalise) or not layer.weights:
            continue
        if [w.shape for w in donor.weights] == [w.shape for w in layer.weights]:
            layer.set_weights(donor.get_weights())
            copied += 1
    if not copied:
        raise BadInput(f"train.initialize_from: no layer of {path} has the name and shape of ours")
    return copied


def inference_function(model: keras.Model, *, jit: bool) -> Callable[[Any], Any]:
    """Images [b, h, w, c] on 0..255 to logits [b, classes], compiled for any batch size."""
    if keras.backend.backend() != "tensorflow":
        return model.predict_on_batch
    import tensorflow as tf

    signature = [tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)]
    return tf.function(
        lambda images: model(images, training=False), input_signature=signature, jit_compile=jit
    )
