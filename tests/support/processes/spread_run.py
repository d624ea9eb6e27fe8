"""Trains a small network on the devices it is told to, in a process of its own: a script.

    python spread_run.py SETTING COUNTS WORDS FILE

SETTING is a value of train.devices. WORDS is a list of lists of overrides, COUNTS a list of the
numbers of virtual devices that each is trained on, one after the other (JAX has 1 and the largest).
Writes {"COUNT/PLACE IN WORDS": what `trained` gives}, all in JSON.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config import settings
from experiments.jobs.plan import prepare
from experiments.runtime import devices
from experiments.runtime.startup import prepare_process
from experiments.training.batches import Batches

SETTING, COUNTS, WORDS = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
LARGEST = max(max(counts) for counts in COUNTS)
JAX = os.environ.get("KERAS_BACKEND") == "jax"

if JAX and SETTING == "all":
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={LARGEST}"

BASE: dict[str, Any] = {
    "data": {"source": "digits", "image_size": 16, "batch_size": 60, "eval_batch_size": 50},
    "model": {"name": "mlp", "options": {"hidden": [12]}},
    "train": {"epochs": 2, "optimizer": {"learning_rate": 0.05}},
}
IMAGES, SCORED = (137, 121), 101  # for WORDS in turn; the last batches have 17 images, and 1
CHANNEL = np.array([80.0], "float32"), np.array([60.0], "float32")


def of_count(count: int) -> str:
    """Settle how many devices the next network is trained on; the setting that names them."""
    if SETTING != "all" or count == 1:
        return "one" if count == 1 else SETTING
    if not JAX:
        import tensorflow as tf

        names = tuple(f"CPU:{number}" for number in range(count))
        across = tf.distribute.ReductionToOneDevice()
        strategy = tf.distribute.MirroredStrategy(list(names), across)
        devices._chosen["all"] = devices.Devices(names, strategy)
    return "all"


def trained(words: list[str], images: int, count: int) -> dict[str, Any]:
    """Loss of each epoch, scores of held-out images, and weights; whether a second fit is the same;
    the loss scale and the number of updates after one that began with too large a scale."""
    import pipelines
    from experiments.training.loop import Hooks
    from experiments.training.trainer import Trainer

    setting = f"train.devices={of_count(count)}"
    plan = prepare(settings.parse(settings.override(BASE, [*words, setting])))
    train, scored = plan.split.train[:images], plan.split.test[:SCORED]
    statistics = pipelines.statistics.fit(plan.source, train, size=(16, 16), crop_fraction=1.0)
    batches = Batches(plan.config, plan.source, train, statistics)
    trainer = Trainer(plan.config, plan.input_shape, plan.classes)

    def fitted(scale: float | None = None) -> tuple[list[float], list[np.ndarray]]:
        trainer.reset(7, *CHANNEL)
        if scale:
            trainer.model.optimizer.dynamic_scale.assign(scale)
        losses: list[float] = []

        def hear(event: dict[str, Any]) -> None:
            if event["kind"] == "epoch":
                losses.append(event["values"]["train_loss"])

        trainer.fit(plan.config, replace(batches.training(5), rows=None), Hooks(hear))
        return losses, [np.array(weight) for weight in trainer.model.get_weights()]

    losses, weights = fitted()
    made, each, labels = trainer.score(batches.held_out(scored))
    trainer.save(Path(sys.argv[4]).with_suffix(".keras"))
    lowered = None
    if plan.config.train.precision == "mixed_float16":
        fitted(2.0**20)
        rule = trainer.model.optimizer
        lowered = [float(np.asarray(x)) for x in (rule.dynamic_scale, rule.iterations)]
    _, again = fitted()
    return {
        "replicas": trainer.devices.replicas,
        "losses": losses,
        "lowered": lowered,
        "compiled": compiled(trainer),
        "again": all(np.array_equal(*both) for both in zip(weights, again, strict=True)),
        "outputs": np.asarray(made, float).tolist(),
        "each": np.asarray(each, float).tolist(),
        "labels": np.asarray(labels).tolist(),
        "expected_labels": plan.source.labels[scored].tolist(),
        "weights": [weight.ravel()[:500].astype(float).tolist() for weight in weights],
    }


def compiled(trainer: Any) -> list[str]:
    """Kinds of operations in an update by TensorFlow devices that are marked for XLA."""
    if trainer.devices.strategy is None:
        return []
    graph = trainer.replicated._run.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(node for own in graph.library.function for node in own.node_def)]
    marks = ("_XlaCompile", "_XlaMustCompile")
    return sorted({node.op for node in nodes if any(node.attr[mark].b for mark in marks)})


def main() -> None:
    prepare_process(1, True)
    if not JAX and SETTING == "all":
        import tensorflow as tf

        [processor] = tf.config.list_physical_devices("CPU")
        parts = [tf.config.LogicalDeviceConfiguration()] * LARGEST
        tf.config.set_logical_device_configuration(processor, parts)
    if SETTING == "hosts":
        devices.chosen("hosts")
    found = {
        f"{count}/{at}": trained(words, IMAGES[at % 2], count)
        for at, (words, counts) in enumerate(zip(WORDS, COUNTS, strict=True))
        for count in counts
    }
    Path(sys.argv[4]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
