"""What happens between the updates: learning rate, validation, early stopping, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from experiments.config.schema import Config
from experiments.errors import FailedWork, Stopped, stop_if_asked
from experiments.jobs.job import Emit
from experiments.optimization.optimizers import Averages, assign_rate
from experiments.optimization.schedules import Plateau, base_rate, learning_rate
from experiments.runtime.devices import Devices
from experiments.runtime.hosts import Accord
from experiments.runtime.measure import Clock

if TYPE_CHECKING:
    from experiments.training.resume import Keeper

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
    `advanced` hears of them together. With a keeper, `resume` goes back to its snapshot, and
    snapshots are taken where it is time, or when somebody asks for the end.
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
        keeper: Keeper | None = None,
        averages: Averages | None = None,
        accord: Accord | None = None,
    ):
        super().__init__()
        self.accord = accord or Accord(Devices())
        self.averages = averages or Averages()
        self.clock = clock or Clock()
        self.network, self.config, self.emit = model, config, emit
        self.steps_per_epoch, self.validate = steps_per_epoch, validate
        self.after_epoch, self.keeper = after_epoch, keeper
        self.history = History()
        self.plateau = Plateau(config.train.schedule)
        self.step = 0
        self._rate = float("nan")
        self._best = float("-inf")
        self._ticked = 0.0
        self._started = 0.0
        self._epoch = 0
        self._elapsed = 0.0  # of this epoch, before it was stopped
        self._metrics_again: Callable[[], None] | None = None

    @property
    def epoch(self) -> int:
        """The epoch to go on with, from 0."""
        return len(self.history.epochs)

    @property
    def made(self) -> int:
        """Updates of that epoch that are done."""
        return self.step - self.epoch * self.steps_per_epoch

    @property
    def ended(self) -> bool:
        """Is there nothing left to train?"""
        return self.history.stopped_early or self.epoch >= self.config.train.epochs

    def resume(self) -> None:
        """Go back to the keeper's snapshot, if it has one, and tell of the epochs before it.

        An epoch whose updates are all done is ended.
        """
        found = self.keeper.restore(self.network) if self.keeper else None
        if found is None:
            return
        state, self.history.best_weights, metrics_again = found
        self.history.epochs, self.history.seconds = state["epochs"], state["seconds"]
        self.history.best_epoch = state["best_epoch"]
        self.history.stopped_early = state["stopped_early"]
        vars(self.plateau).update(state["plateau"])
        self.step, self._rate, self._best = state["step"], state["rate"], state["best"]
        self._elapsed, self.clock.seconds = state["elapsed"], state["clock"]
        self._metrics_again = metrics_again if self.made else None
        whole = f"after epoch {self.epoch} of {self.config.train.epochs}"
        part = f" and {self.made} of {self.steps_per_epoch} updates" if self.made else ""
        self.emit({"kind": "note", "text": f"goes on from its snapshot, {whole}{part}"})
        for number, values in enumerate(self.history.epochs, start=1):
            self.emit({"kind": "epoch", "epoch": number, "values": values, "earlier": True})
        if self.made == self.steps_per_epoch:
            self.on_epoch_begin(self.epoch)
            self.on_epoch_end(self.epoch, {"loss": self.network.get_metrics_result()["loss"]})

    def _state(self) -> dict[str, Any]:
        """Where the fit stands, as JSON has it; the weights are in the variables."""
        return {
            "step": self.step,
            "epochs": self.history.epochs,
            "seconds": self.history.seconds,
            "best_epoch": self.history.best_epoch,
            "stopped_early": self.history.stopped_early,
            "plateau": {k: v for k, v in vars(self.plateau).items() if k != "schedule"},
            "rate": self._rate,
            "best": self._best,
            "elapsed": time.perf_counter() - self._started if self.made else 0.0,
            "clock": self.clock.seconds,
        }

    def _keep(self) -> None:
        """Take a snapshot; the time that it takes is not the epoch's."""
        assert self.keeper
        began = time.perf_counter()
        self._catch_up()
        self.keeper.write(self.network, self._state(), self.history.best_weights)
        self._started += time.perf_counter() - began

    def _catch_up(self) -> None:
        """On JAX the variables stay behind the updates of an epoch; bring them up to date."""
        if sync := getattr(self.network, "jax_state_sync", None):
            sync()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch, self._started = epoch, time.perf_counter() - self._elapsed
        self._elapsed = 0.0
        if self._metrics_again:
            self._metrics_again()
            self._metrics_again = None

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        rate = self._learning_rate(self.step)
        if rate != self._rate:
            self._catch_up()  # or the next update would not see the rate
            assign_rate(self.network.optimizer, "learning_rate", rate)
            self._rate = rate
        self.clock.start()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.clock.stop()
        self.advanced(1, (logs or {}).get("loss", 0.0))

    def rates(self) -> np.ndarray:
        """Learning rate of each update of the epoch that begins, float32 [steps]."""
        first = self._epoch * self.steps_per_epoch
        rates = [self._learning_rate(first + i) for i in range(self.steps_per_epoch)]
        self._rate = rates[-1]
        return np.array(rates, np.float32)

    def advanced(self, updates: int, loss: Any) -> None:
        """Hear of updates that were made, and the epoch's loss so far.

        Raises:
            FailedWork: the loss is no longer finite. Stopped: someone asked for it.
        """
        self.step += updates
        if self.accord.due():
            self._check(float(loss))
            self.accord.settle()
        if self.keeper and self.keeper.due():
            self._check(float(loss))
            self._keep()
        stop_if_asked()
        now = time.perf_counter()
        if now - self._ticked > TICK_SECONDS:
            self._ticked = now
            if self.accord.alone:  # else it would fail at another update than on other hosts
                self._check(float(loss))
            total = self.steps_per_epoch * self.config.train.epochs
            self.emit({"kind": "progress", "step": self.step, "steps": total})

    def _learning_rate(self, step: int) -> float:
        train = self.config.train
        return self.plateau.scale * learning_rate(
            train.schedule, base_rate(self.config), step, self.steps_per_epoch, train.epochs
        )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        loss = float((logs or {})["loss"])
        seconds = time.perf_counter() - self._started
        self._check(loss)
        values = {"train_loss": loss, "learning_rate": self._rate}
        with self.averages.shown():
            if self.validate:
                values |= self._validated(self.validate, seconds)
                self._check(values["val_loss"])
                self.plateau.update(values["val_loss"])
                self._keep_best(values)
            self.history.epochs.append(values)
            self.history.seconds.append(seconds)
            if self.after_epoch:
                self.after_epoch(epoch + 1)
        self.emit({"kind": "epoch", "epoch": epoch + 1, "values": values})
        if self.keeper and self.keeper.due():
            self._keep()
            stop_if_asked()

    def _validated(
        self, validate: Callable[[], dict[str, float]], seconds: float
    ) -> dict[str, float]:
        """What validation gives; one that is stopped leaves a snapshot from before it."""
        if not self.keeper:
            return validate()
        weights = {id(v) for v in self.network.weights}
        random_states = [v for v in self.network.variables if id(v) not in weights]
        before = [keras.ops.convert_to_numpy(v.value) for v in random_states]
        try:
            return validate()
        except Stopped:
            for variable, value in zip(random_states, before, strict=True):
                variable.assign(value)
            self._started = time.perf_counter() - seconds
            with self.averages.shown():  # out again, for the weights themselves
                self._keep()
            raise

    def finish(self) -> History:
        """Leave the averages of the weights, and the best epoch's where early stopping is on."""
        self.averages.exchange()
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
            # copies, for a backend may lend memory that the next update writes to
            self.history.best_weights = [np.array(x) for x in self.network.get_weights()]
        elif stopping and self._epoch + 1 - (self.history.best_epoch or 0) >= stopping.patience:
            self.history.stopped_early = True
            self.network.stop_training = True

    def _check(self, loss: float) -> None:
        if not np.isfinite(loss):
            rate = base_rate(self.config)
            word = "NaN" if np.isnan(loss) else "infinite"
            raise FailedWork(
                f"the loss became {word} in epoch {self._epoch + 1}, by update {self.step}; "
                f"lower train.optimizer.learning_rate ({rate:g}) or warm up longer"
            )
