"""Fitting and scoring one compiled network, again for every job that shares its graph."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import keras
import numpy as np

from experiments.config.identity import graph_key
from experiments.config.schema import Config
from experiments.errors import FailedWork
from experiments.optimization import optimizers
from experiments.runtime.hosts import Accord
from experiments.runtime.measure import Clock
from experiments.training import epochs
from experiments.training.batches import Cache, Rows, TrainingData
from experiments.training.history import History
from experiments.training.loop import Hooks, Loop
from experiments.training.network import CompiledNetwork
from experiments.training.outputs import inference_function, score_batches, scoring_function


class Trainer(CompiledNetwork):
    """A compiled network with what fits it and what scores images by it.

    `clock` counts the seconds inside the calls that update and score; `infer` takes images
    [b, h, w, c] on 0..255 to the output of `deployed`.
    """

    def __init__(self, config: Config, input_shape: tuple[int, int, int], classes: int):
        super().__init__(config, input_shape, classes)
        self.clock = Clock()
        self.programs = Cache()
        self.infer = inference_function(self.deployed, jit=config.train.jit)
        if self.devices.distribution is not None:
            from experiments.training import spread_jax

            self.infer = spread_jax.inference(self.deployed, self.devices)
        self._score = scoring_function(self.infer, self.loss, input_shape, self.reconstructs)
        if self.devices.strategy is not None:
            from experiments.training import spread_tensorflow

            spread_tensorflow.check(config, self.leaves)
            spread_tensorflow.adapt(self.leaves)
            self.replicated = spread_tensorflow.ReplicatedUpdates(
                self.model, self.leaves, self.devices, jit=self.jit
            )
            self._score = spread_tensorflow.scoring(
                self.deployed, self.loss, self.devices, reconstructs=self.reconstructs,
                jit=self.jit,
            )  # fmt: skip

    def fit(self, config: Config, data: TrainingData, hooks: Hooks) -> History:
        """Train for the epochs of `config`, validating after each.

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
        loop = Loop(self, config, data.steps_per_epoch, hooks)
        with hooks.keeper.settling() if hooks.keeper else nullcontext():
            loop.resume()
            if not loop.ended:
                replicated = self.devices.strategy is not None
                if data.rows is not None and not replicated:
                    epochs.by_whole_epochs(self, data.rows, loop)
                elif replicated or self.jit or config.train.steps_per_execution > 1:
                    epochs.by_executions(self, data.dataset, loop)
                else:
                    epochs.by_batch(self, data.dataset, loop)
        return loop.finish()

    def score(self, images: Rows | Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every image once, of Rows or of a dataset of batches (images, labels).

        Returns:
            Outputs float32 [images, classes] (empty for a reconstruction), the loss of each image
            float32 [images] without class weights, other heads and penalties, and labels [images].
        """
        outputs = not self.reconstructs
        if not isinstance(images, Rows):
            accord = Accord(self.devices)
            return score_batches(self._score, images, self.clock, accord, outputs=outputs)
        from experiments.training.updates import Scoring

        resident = images.held
        scoring, _ = self.programs.get(
            "scoring",
            id(resident),
            # the source is kept beside it, or its id could become another's
            lambda: (Scoring(self._score, resident, outputs=outputs), resident),
        )
        made, losses = scoring(images, self.clock)
        labels = resident.source.labels[images.indices]
        return (np.empty(0) if made is None else made), losses, labels

    def mean_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """Mean of the loss over images: without class weights, other heads and penalties."""
        values = [
            keras.ops.convert_to_numpy(
                self.loss.call(labels[at : at + 1024], logits[at : at + 1024])
            )
            for at in range(0, len(labels), 1024)
        ]
        return float(np.concatenate(values).astype(np.float64).mean())
