"""Keras as it is, beside the networks of `ilsvrc bench train|infer`."""

from __future__ import annotations

from typing import Any

import keras

import models
from experiments import bench_device, settings
from experiments.errors import FailedWork
from models.layers import Normalise


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
        framework = f"keras {keras.__version__}, {bench_device.framework()}"
        return bench_device.facts(self.network, self.threads, framework)
