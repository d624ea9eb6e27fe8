"""What is measured after the epochs of a fit: predictions of some of them, layer statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.fitting.scoring import Scores, score_part
from experiments.jobs.job import Job
from experiments.jobs.predictions import PROBABILITIES, Evaluation, epoch_column
from experiments.training.batches import Batches

if TYPE_CHECKING:
    from experiments.training.trainer import Trainer


class Observations:
    """Probabilities of the held-out images at the `prediction_epochs` of a job, and rows of layer
    statistics. Measuring moves nothing in the network.

    Raises:
        BadInput: layer statistics cannot be had on this backend.
    """

    def __init__(self, job: Job, trainer: Trainer, batches: Batches):
        self._trainer, self._epochs = trainer, frozenset(job.prediction_epochs)
        parts = job.held_out if job.prediction_epochs else []
        self._parts = {part: batches.held_out(indices) for part, indices in parts}
        self._columns: dict[str, dict[str, np.ndarray]] = {part: {} for part in self._parts}
        self._layers = None
        if job.config.train.layer_statistics:
            from experiments.fitting.layer_statistics import LayerStatistics

            self._layers = LayerStatistics(trainer, batches)

    def before_training(self) -> None:
        if self._layers:
            self._layers.measure(0)

    def after_epoch(self, epoch: int) -> None:
        """Measure what is wanted of this epoch, counted from 1."""
        if epoch in self._epochs:
            for part, images in self._parts.items():
                result = score_part(self._trainer, images, part)
                self._columns[part][epoch_column(epoch)] = result.columns[PROBABILITIES]
        if self._layers:
            self._layers.measure(epoch)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All of it, for a snapshot."""
        arrays = {
            f"{part}/{column}": values
            for part, columns in self._columns.items()
            for column, values in columns.items()
        }
        return arrays, {"layers": self._layers.rows if self._layers else []}

    def restore(self, arrays: Mapping[str, np.ndarray], rest: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        for name, values in arrays.items():
            part, column = name.split("/")
            self._columns[part][column] = values
        if self._layers:
            self._layers.rows = list(rest["layers"])

    def beside(self, last: Scores) -> list[tuple[str, np.ndarray, Evaluation]]:
        """The last predictions of each part, with those of earlier epochs in columns beside."""
        return [
            (part, indices, replace(of, columns=of.columns | self._columns.get(part, {})))
            for part, indices, of in last.held_out
        ]

    def write(self, directory: Path) -> list[str]:
        """Tables and pictures, and their paths."""
        return self._layers.write(directory) if self._layers else []
