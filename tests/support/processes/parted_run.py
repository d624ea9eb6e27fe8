"""Updates from batches in parts, on the backend that KERAS_BACKEND names: a script.

    python parted_run.py FILE

Writes what `everything` gives to FILE, as JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from experiments.config import settings
from experiments.config.train import Loss, Optimizer
from experiments.jobs.plan import prepare
from experiments.optimization import optimizers
from experiments.optimization.losses import build
from experiments.optimization.objective import Objective
from experiments.training.batches import Batches
from experiments.training.loop import Hooks
from experiments.training.trainer import Trainer
from models.registry import LOGITS

SIZE, CLASSES, PARTS = 7, 3, 3
CASES = [(False, "float32"), (True, "mixed_float16")]
RULES = {
    "sgd": Optimizer(
        learning_rate=0.1, weight_decay=0.01, clip={"global_norm": 0.4}, ema={"momentum": 0.5}
    ),
    "rmsprop": Optimizer(
        name="rmsprop", learning_rate=0.1, weight_decay=0.01, epsilon=1.0, initial_square=1.0,
        factors={"*bias": {"rate": 2}, "hidden/*": {"rate": 0.5, "weight_decay": 3}},
        clip={"global_norm": 0.4}, ema={"momentum": 0.5},
    ),
}  # fmt: skip


@keras.saving.register_keras_serializable("test")
class Watch(keras.layers.Layer):
    """Lets everything through, and remembers in how many calls, and the most images in one."""

    def build(self, shape: Any) -> None:
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.most = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs: Any) -> Any:
        self.calls.assign_add(1.0)
        count = keras.ops.cast(keras.ops.shape(inputs)[0], "float32")
        self.most.assign(keras.ops.maximum(self.most, count))
        return inputs


def network(accumulate: int, precision: str, rule: str) -> tuple[Objective, Watch]:
    """Two heads, a penalty, and a layer that the loss does not reach; same weights everywhere."""
    keras.config.set_dtype_policy(precision)
    images = keras.Input((1, 2, 2))
    pixels = keras.layers.Flatten(dtype="float32")(images)
    watch = Watch(dtype="float32")
    hidden = keras.layers.Dense(
        5, activation="tanh", kernel_regularizer=keras.regularizers.L2(0.1), name="hidden"
    )(watch(pixels))
    outputs = {
        LOGITS: keras.layers.Dense(CLASSES, name="head", dtype="float32")(hidden),
        "aux": keras.layers.Dense(CLASSES, name="aux", dtype="float32")(pixels),
        "idle": keras.layers.Dense(CLASSES, name="idle", dtype="float32")(pixels),
    }
    model = Objective(images, outputs)
    keras.config.set_dtype_policy("float32")
    weights = {LOGITS: 1.0, "aux": 0.3}
    model.set_up(build(Loss(), CLASSES), weights, reconstructs=False, accumulate=accumulate)
    model.compile(
        optimizer=optimizers.build(RULES[rule], model),
        auto_scale_loss=True,
        jit_compile=keras.backend.backend() == "jax",
    )
    model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape, scale=0.3))
    return model, watch


def drawn(size: int, *, soft: bool) -> tuple[Any, ...]:
    """A pair of uint8 images and offsets of their colours, labels, and weights of images."""
    rng = np.random.default_rng(size)
    labels = rng.dirichlet(np.ones(CLASSES), size) if soft else rng.integers(0, CLASSES, size)
    images, offsets = rng.integers(0, 4, (size, 1, 2, 2)), rng.normal(size=(size, 2)) - 1.5
    return (
        (images.astype("uint8"), offsets.astype("float32")),
        labels.astype("float32" if soft else "int64"),
        rng.uniform(0.2, 3, size).astype("float32"),
    )


def updates(parts: int, soft: bool, precision: str, rule: str = "sgd") -> dict[str, Any]:
    """Weights, their averages and the losses of three updates, from batches of 7, 2 and 7."""
    model, watch = network(parts, precision, rule)
    losses = [model.train_on_batch(*drawn(size, soft=soft)) for size in (SIZE, 2, SIZE)]
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    return {
        "losses": [float(loss) for loss in losses],
        "weights": _lists([*model.trainable_variables, *optimizer.averages]),
        "updates": int(keras.ops.convert_to_numpy(model.optimizer.iterations)),
        "calls": float(keras.ops.convert_to_numpy(watch.calls)),
        "most": float(keras.ops.convert_to_numpy(watch.most)),
    }


def plan(*words: str) -> Any:
    base = {
        "data": {"source": "digits", "image_size": 8, "batch_size": 32, "train_fraction": 0.1},
        "model": {"name": "mlp", "options": {"hidden": [12]}},
        "augment": {"steps": [{"op": "mixup"}]},
        "train": {
            "epochs": 2,
            "class_weights": "balanced",
            "optimizer": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
            "schedule": {"name": "cosine", "warmup_epochs": 0.5},
        },
    }
    return prepare(settings.parse(settings.override(base, words)))


def fitted(*words: str) -> dict[str, Any]:
    """Weights and losses of a fit, by which a batch is mixed as a whole."""
    planned = plan(*words)
    assert len(planned.split.train) % 32
    batches = Batches(planned.config, planned.source, planned.split.train, None)
    trainer = Trainer(planned.config, planned.input_shape, planned.classes)
    trainer.reset(4, np.array([80.0], "float32"), np.array([60.0], "float32"))
    data = replace(batches.training(5), rows=batches.training_rows(7))
    history = trainer.fit(planned.config, data, Hooks(lambda event: None))
    return {
        "losses": [epoch["train_loss"] for epoch in history.epochs],
        "weights": _lists(trainer.model.weights),
        "updates": int(keras.ops.convert_to_numpy(trainer.rule.iterations)),
        "replicas": trainer.devices.replicas,
    }


def _lists(variables: Any) -> list[Any]:
    return [keras.ops.convert_to_numpy(variable).tolist() for variable in variables]


def everything() -> dict[str, Any]:
    found: dict[str, Any] = {
        f"{precision} {parts}": updates(parts, soft, precision)
        for soft, precision in CASES
        for parts in (1, PARTS)
    }
    found |= {f"rmsprop {n}": updates(n, False, "float32", "rmsprop") for n in (1, PARTS)}
    found |= {f"fit {parts}": fitted(f"train.accumulate={parts}") for parts in (1, 5)}
    if keras.backend.backend() == "jax":
        found["fit 5 on two devices"] = fitted("train.accumulate=5", "train.devices=all")
    return found


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(everything()))
