"""What `ilsvrc bench train|infer` times: networks that train or answer, and plain Keras."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

import models
from experiments.bench import device
from experiments.config import settings
from experiments.config.bench import POLICIES
from experiments.errors import FailedWork
from models.layers.normalizations import Normalise
from models.registry import deployable


class Inference:
    """Pixels to logits, as a run's network is deployed: without training-only heads."""

    def __init__(self, job: dict[str, Any]):
        from experiments.training.outputs import inference_function

        with _policy(job["precision"]):
            built = models.build(job["name"], input_shape=job["input_shape"], **job["options"])
            pixels = keras.Input(built.input_shape[1:], name="pixels")
            self.network = deployable(built)
            normalise = Normalise(name="normalise")
            self.model = keras.Model(pixels, self.network(normalise(pixels)))
        standardise(normalise)
        self.infer = inference_function(self.model, jit=job["jit"])
        self.threads = job["threads"]

    def step(self, images: Any, labels: Any) -> Any:
        return self.infer(images)

    def facts(self) -> dict[str, Any]:
        return device.facts(self.network, self.threads)


class Training(Inference):
    """One update: forward, backward, optimizer; loss and update rule as the config has them."""

    def __init__(self, job: dict[str, Any]):
        from experiments.training.trainer import Trainer

        trainer = Trainer(settings.parse(job["config"]), tuple(job["input_shape"]), job["classes"])
        standardise(trainer.normalise)
        self.model, self.network, self.update = trainer.model, trainer.network, trainer.update
        self.threads = job["threads"]

    def step(self, images: Any, labels: Any) -> Any:
        return self.update(images, labels)


def standardise(normalise: Any) -> None:
    """Pixels to about zero mean and unit variance, so that losses stay finite."""
    normalise.mean.assign(np.full(normalise.mean.shape, 127.5, np.float32))
    normalise.scale.assign(np.full(normalise.scale.shape, 73.6, np.float32))


@contextlib.contextmanager
def _policy(precision: str) -> Iterator[None]:
    """Within it, networks are built in this precision."""
    import keras

    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")


class PlainKeras:
    """The network of a job in the stock loop: `compile`, `train_on_batch`, `predict_on_batch`.

    Raises:
        FailedWork: a network or an update rule that the plain loop does not have here.
    """

    def __init__(self, job: dict[str, Any], policy: str) -> None:
        config = settings.parse(job["config"])
        rule = config.train.optimizer
        if rule.name != "sgd" or models.card(job["name"]).task == "reconstruction":
            raise FailedWork("plain Keras trains classifiers by sgd here")
        keras.config.set_dtype_policy(policy)
        self.network = models.build(
            job["name"], input_shape=job["input_shape"], classes=job["classes"], **job["options"]
        )
        if isinstance(self.network.output, dict):
            raise FailedWork("plain Keras trains networks of one head here")
        pixels = keras.Input(self.network.input_shape[1:], name="pixels")
        self.normalise = Normalise(name="normalise")
        self.model = keras.Model(pixels, self.network(self.normalise(pixels)))
        keras.config.set_dtype_policy("float32")
        self.normalise.trainable = False
        self.model.compile(
            optimizer=keras.optimizers.SGD(rule.learning_rate, momentum=rule.momentum),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        self.training, self.threads = job["mode"] == "train", job["threads"]

    def step(self, images: Any, labels: Any) -> Any:
        if self.training:
            return self.model.train_on_batch(images, labels)
        return self.model.predict_on_batch(images)

    def facts(self) -> dict[str, Any]:
        framework = f"keras {keras.__version__}, {device.framework()}"
        return device.facts(self.network, self.threads, framework)
