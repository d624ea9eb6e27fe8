"""What happens between the updates: learning rate, validation, early stopping, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from experiments import hot
from experiments.config import Config
from experiments.errors import FailedWork, stop_if_asked
from experiments.measure import Clock
from experiments.schedules import Plateau, learning_rate

Emit = Callable[[dict[str, Any]], None]
AfterEpoch = Callable[[int], None]

TICK_SECONDS = 0.2  # between looks at the loss, and words about progress


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
    """What drives one fit, as a Keras callback or called by `Trainer`; `finish` gives its History.

    Where several updates are one call, `rates` gives their learning rates beforehand and
    `advanced` hears of them together.
    """

    def __init__(
        self,
        model: keras.Model,
        config: Config,
        steps_per_epoch: int,
        validate: Callable[[], dict[str, float]] | None,
        emit: Emit,
        after_epoch: AfterEpoch | None = None,
        clock: Clock | None = None,
    ):
        super().__init__()
        self.clock = clock or Clock()
        self.network, self.config, self.emit = model, config, emit
        self.steps_per_epoch, self.validate = steps_per_epoch, validate
        self.after_epoch = after_epoch
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
        rate = self._learning_rate(self.step)
        if rate != self._rate:
            hot.assign(self.network.optimizer, "learning_rate", rate)
            self._rate = rate
        self.clock.start()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.clock.stop()
        self.advanced(1, (logs or {}).get("loss", 0.0))

    def rates(self) -> np.ndarray:
        """Learning rate of each update of the epoch that begins, float32 [steps]."""
        rates = [self._learning_rate(self.step + i) for i in range(self.steps_per_epoch)]
        self._rate = rates[-1]
        return np.array(rates, np.float32)

    def advanced(self, updates: int, loss: Any) -> None:
        """Hear of updates that were made, and the epoch's loss so far.

        Raises:
            FailedWork: the loss is no longer finite. Stopped: someone asked for it.
        """
        self.step += updates
        stop_if_asked()
        now = time.perf_counter()
        if now - self._ticked > TICK_SECONDS:
            self._ticked = now
            self._check(float(loss))
            total = self.steps_per_epoch * self.config.train.epochs
            self.emit({"kind": "progress", "step": self.step, "steps": total})

    def _learning_rate(self, step: int) -> float:
        train = self.config.train
        return self.plateau.scale * learning_rate(
            train.schedule,
            train.optimizer.learning_rate,
            step,
            self.steps_per_epoch,
            train.epochs,
        )

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
        if self.after_epoch:
            self.after_epoch(epoch + 1)
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
        if monitor not in values:  # a reconstruction has no labels to hit
            monitor = "val_loss"
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
