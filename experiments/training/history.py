"""What a fit went through, and which of its epochs was the best on the validation images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from experiments.config.schema import Config
from experiments.optimization.schedules import Patience

if TYPE_CHECKING:
    import keras


@dataclass
class History:
    """What a fit went through."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """Time of each epoch's updates, without validation."""
    best_epoch: int | None = None
    best_weights: list[np.ndarray] | None = None
    stopped_early: bool = False


class BestEpoch:
    """Writes the best epoch and its weights into a history, and ends the fit that waited for a
    better one as long as `train.early_stopping` says.

    Without early stopping, and where no best network is to be saved, it does nothing.
    """

    def __init__(self, config: Config, history: History):
        stopping = config.train.early_stopping
        self._wanted = stopping is not None or config.tracking.save_model == "best"
        self._monitor = stopping.monitor if stopping else "val_top1"
        self._patience = Patience(math.inf)
        if stopping:
            self._patience = Patience(stopping.patience, stopping.min_delta)
        self._history = history

    def update(self, epoch: int, values: Mapping[str, float], network: keras.Model) -> None:
        """Hear of what validation gave after an epoch, from 1."""
        if not self._wanted:
            return
        # a reconstruction has no labels to hit
        monitor = self._monitor if self._monitor in values else "val_loss"
        if self._patience.improves(-values[monitor] if monitor == "val_loss" else values[monitor]):
            self._history.best_epoch = epoch
            # copies, for a backend may lend memory that the next update writes to
            self._history.best_weights = [np.array(x) for x in network.get_weights()]
        elif self._patience.exhausted:
            self._history.stopped_early = True
            network.stop_training = True

    @property
    def score(self) -> float:
        """The best so far, of which more is better."""
        return self._patience.best

    def restore(self, score: float) -> None:
        """Go on with the history, once it is that of a snapshot."""
        self._patience.best = score
        self._patience.waited = len(self._history.epochs) - (self._history.best_epoch or 0)
