"""How signals and gradients fare through the depth of a network, on one batch of training images.

Activations that shrink or grow from layer to layer, units that are always zero, gradients that
vanish: what initialisation, normalisation and shortcuts are about (Glorot and Bengio 2010; He et
al. 2015). Measuring moves nothing: a run gives the same numbers with and without it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from experiments.errors import BadInput
from experiments.jobs.job import draw_seed
from experiments.presentation import csv_text
from experiments.presentation.console import drawn
from experiments.training.batches import Batches

if TYPE_CHECKING:
    from experiments.training.trainer import Trainer

IMAGES = 128  # at most: a batch must be held with all of its activations
FIELDS = (
    "epoch", "depth", "layer", "kind", "activation_mean", "activation_std", "zero_fraction",
    "kernel_gradient_rms",
)  # fmt: skip


class LayerStatistics:
    """Measures the layers of a Trainer's network and keeps the rows.

    A row has the `depth` of its layer, the number of kernels up to and with it in order of
    computation. As in training, batch normalisation uses the batch and dropout drops. The gradient
    is that of the training loss, its penalties and auxiliary heads included, without weight decay,
    which the optimizer adds; its rms over the weights of the kernel is None where there is none.
    """

    def __init__(self, trainer: Trainer, batches: Batches):
        if keras.backend.backend() != "tensorflow":
            raise BadInput(
                "train.layer_statistics needs Keras's TensorFlow backend. Received: "
                f"{keras.backend.backend()}; set KERAS_BACKEND=tensorflow, or switch it off"
            )
        self.trainer, config = trainer, batches.config
        count = min(IMAGES, config.data.batch_size, len(batches.train))
        rng = np.random.default_rng(draw_seed(config, "layer_statistics"))
        chosen = np.sort(rng.choice(batches.train, count, replace=False))
        [(self.images, self.labels)] = batches.evaluation(chosen, batch_size=count)
        self.layers = [
            x for x in trainer.network.layers if not isinstance(x, keras.layers.InputLayer)
        ]
        self.rows: list[dict[str, Any]] = []
        self._probe = _probe(trainer, self.layers)

    def measure(self, epoch: int) -> None:
        """Add a row a layer; epoch 0 is before training."""
        moved = self.trainer.model.non_trainable_variables  # moving averages and random states
        before = [np.asarray(variable) for variable in moved]
        activations, gradients = self._probe(self.images, self.labels)
        for variable, value in zip(moved, before, strict=True):
            variable.assign(value)
        depth = 0
        for layer in self.layers:
            depth += _has_kernel(layer)
            mean, deviation, zeros = (float(x) for x in np.asarray(activations[layer.name]))
            gradient = gradients.get(layer.name)
            self.rows.append(
                {
                    "epoch": epoch,
                    "depth": depth,
                    "layer": layer.name,
                    "kind": type(layer).__name__,
                    "activation_mean": mean,
                    "activation_std": deviation,
                    "zero_fraction": zeros,
                    "kernel_gradient_rms": None if gradient is None else float(gradient),
                }
            )

    def write(self, directory: Path) -> list[str]:
        """layers.csv and layers.png, and their paths."""
        from experiments.fitting.pictures import draw_layers

        table, picture = directory / "layers.csv", directory / "layers.png"
        csv_text.write(table, FIELDS, self.rows)
        pictures = drawn(picture, draw_layers, self.rows, self.trainer.model.name)
        return list(map(str, [table, *pictures]))


def _has_kernel(layer: Any) -> bool:
    return hasattr(layer, "kernel")


def _probe(trainer: Trainer, layers: list[Any]) -> Callable[..., Any]:
    """(images, labels) -> {layer: [mean, std, zero fraction]}, {layer: rms of kernel gradient}."""
    import tensorflow as tf

    whole = trainer.model
    every = keras.Model(
        trainer.built.input,
        {"outputs": trainer.built.output, "layers": {x.name: x.output for x in layers}},
    )
    # float16 gradients below 6e-8 would be zeros; the optimizer's scale keeps them, as in training
    scale = getattr(whole.optimizer, "dynamic_scale", None)
    kernels = {x.name: x.kernel.value for x in layers if _has_kernel(x)}

    @tf.function(autograph=False)
    def probe(images: Any, labels: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(list(kernels.values()))
            given = every(trainer.normalise(images), training=True)
            loss = whole.compute_loss(images, labels, given["outputs"])
            factor = tf.constant(1.0) if scale is None else tf.convert_to_tensor(scale.value)
            loss = loss * factor
        of_kernels = tape.gradient(loss, list(kernels.values()))
        gradients = {
            name: tf.sqrt(tf.reduce_mean(tf.square(tf.cast(g, tf.float32) / factor)))
            for name, g in zip(kernels, of_kernels, strict=True)
            if g is not None
        }
        return {name: _moments(x) for name, x in given["layers"].items()}, gradients

    def _moments(values: Any) -> Any:
        values = tf.cast(values, tf.float32)
        zeros = tf.reduce_mean(tf.cast(tf.equal(values, 0.0), tf.float32))
        return tf.stack([tf.reduce_mean(values), tf.math.reduce_std(values), zeros])

    return probe
