"""What happens between the updates: learning rate, validation, early stopping, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from experiments.config.schema import Config
from experiments.errors import FailedWork, Stopped, stop_if_asked
from experiments.jobs.job import Emit
from experiments.jobs.length import all_updates
from experiments.optimization.optimizers import assign_rate
from experiments.optimization.schedules import LearningRate, base_rate
from experiments.runtime.hosts import Accord
from experiments.training.history import BestEpoch, History

if TYPE_CHECKING:
    from experiments.training.resume import Keeper
    from experiments.training.trainer import Trainer

TICK_SECONDS = 0.2  # between looks at the loss, and words about progress


@dataclass(frozen=True)
class Hooks:
    """Who takes part in a fit beside its updates."""

    emit: Emit
    """Hears of epochs and of progress."""
    validate: Callable[[], dict[str, float]] | None = None
    """Gives {val_loss, val_top1, ...}; None without validation images."""
    after_epoch: Callable[[int], None] | None = None
    """Called with the number of each epoch that has ended, from 1."""
    keeper: Keeper | None = None
    """Takes snapshots, and may have one of an earlier start to go on from."""
    train_error: Callable[[], float] | None = None
    """Gives the error on the training images; asked while a warm-up waits for it."""
    check_images: Callable[[], None] | None = None
    """Raises where the images are no longer those that the fit began with; asked before an epoch
    counts and before a snapshot."""


class Loop(keras.callbacks.Callback):
    """What drives one fit, as a Keras callback or called by `epochs`; `finish` gives its History.

    Where several updates are one call, `rates` gives their learning rates beforehand and
    `advanced` hears of them together. With a keeper, `resume` goes back to its snapshot, and
    snapshots are taken where it is time, or when somebody asks for the end.
    """

    def __init__(self, trainer: Trainer, config: Config, steps_per_epoch: int, hooks: Hooks):
        super().__init__()
        self.network, self.clock, self.averages = trainer.model, trainer.clock, trainer.averages
        self.accord = Accord(trainer.devices)
        self.config, self.steps_per_epoch = config, steps_per_epoch
        self.hooks, self.keeper, self.emit = hooks, hooks.keeper, hooks.emit
        self.history = History()
        self.best = BestEpoch(config, self.history)
        self.learning_rate = LearningRate(config, steps_per_epoch)
        self.updates = all_updates(config, steps_per_epoch)
        self.step = 0
        self._rate = float("nan")
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
        return max(0, self.step - self.epoch * self.steps_per_epoch)

    @property
    def whole_epochs(self) -> int:
        """Epochs of all images; the last one of the fit may have a part of them."""
        return self.updates // self.steps_per_epoch

    def updates_in(self, epoch: int) -> int:
        """Updates of an epoch, from 0."""
        return min(self.steps_per_epoch, self.updates - epoch * self.steps_per_epoch)

    @property
    def ended(self) -> bool:
        """Is there nothing left to train?"""
        return self.history.stopped_early or self.epoch >= self.config.train.epochs

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch, self._started = epoch, time.perf_counter() - self._elapsed
        self._elapsed = 0.0
        if self._metrics_again:
            self._metrics_again()
            self._metrics_again = None

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        rate = self.learning_rate.at(self.step)
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
        rates = self.learning_rate.of_epoch(self._epoch)[: self.updates_in(self._epoch)]
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
            self._take_snapshot(self.keeper)
        stop_if_asked()
        now = time.perf_counter()
        if now - self._ticked > TICK_SECONDS:
            self._ticked = now
            if self.accord.alone:  # else it would fail at another update than on other hosts
                self._check(float(loss))
            self.emit({"kind": "progress", "step": self.step, "steps": self.updates})

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        loss = float((logs or {})["loss"])
        seconds = time.perf_counter() - self._started
        self._check(loss)
        self._check_images()
        values = {"train_loss": loss, "learning_rate": self._rate}
        with self.averages.shown():
            if self.hooks.validate:
                values |= self._validated(self.hooks.validate, seconds)
                self._check(values["val_loss"])
                self.learning_rate.hear(values)
                self.best.update(epoch + 1, values, self.network)
            self.history.epochs.append(values)
            self.history.seconds.append(seconds)
            if self.hooks.after_epoch:
                self.hooks.after_epoch(epoch + 1)
        self._hear_train_error(epoch + 1)
        self.emit({"kind": "epoch", "epoch": epoch + 1, "values": values})
        if self.keeper and (self.keeper.due() or (self.keeper.at_end and self.ended)):
            self._take_snapshot(self.keeper)
            stop_if_asked()

    def _hear_train_error(self, epoch: int) -> None:
        if not (self.learning_rate.warms_up and self.hooks.train_error):
            return
        error = self.hooks.train_error()
        self.learning_rate.hear_train_error(error)
        if not self.learning_rate.warms_up:
            text = f"warm-up ends after epoch {epoch}, with a training error of {error:.2%}"
            self.emit({"kind": "note", "text": text})

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
                self._take_snapshot(self.keeper)
            raise

    def finish(self) -> History:
        """Leave the averages of the weights, and the best epoch's where early stopping is on."""
        self.averages.exchange()
        if self.config.train.early_stopping and self.history.best_weights is not None:
            self.network.set_weights(self.history.best_weights)
        return self.history

    def resume(self) -> None:
        """Go back to the keeper's snapshot, if it has one, and tell of the epochs before it.

        An epoch whose updates are all done is ended.
        """
        snapshot = self.keeper.restore(self.network) if self.keeper else None
        if snapshot is None:
            return
        state, self.history.best_weights, metrics_again = snapshot
        self.history.epochs, self.history.seconds = state["epochs"], state["seconds"]
        self.history.best_epoch = state["best_epoch"]
        self.history.stopped_early = state["stopped_early"]
        self.best.restore(state["best"])
        self.learning_rate.warms_up = state.get("warms_up", self.learning_rate.warms_up)
        plateau, patience = self.learning_rate.plateau, self.learning_rate.plateau.patience
        plateau.scale, patience.waited = state["plateau"]["scale"], state["plateau"]["_waited"]
        patience.best = -state["plateau"]["_best"]
        self.step, self._rate = state["step"], state["rate"]
        self._elapsed, self.clock.seconds = state["elapsed"], state["clock"]
        self._metrics_again = metrics_again if self.made else None
        whole = f"after epoch {self.epoch} of {self.config.train.epochs}"
        in_it = self.updates_in(self.epoch)
        part = f" and {self.made} of {in_it} updates" if self.made else ""
        self.emit({"kind": "note", "text": f"goes on from its snapshot, {whole}{part}"})
        for number, values in enumerate(self.history.epochs, start=1):
            self.emit({"kind": "epoch", "epoch": number, "values": values, "earlier": True})
        if self.made and self.made == in_it:
            self.on_epoch_begin(self.epoch)
            self.on_epoch_end(self.epoch, {"loss": self.network.get_metrics_result()["loss"]})

    def _state(self) -> dict[str, Any]:
        """Where the fit stands, as JSON has it; the weights are in the variables."""
        plateau = self.learning_rate.plateau
        return {
            "step": self.step,
            "epochs": self.history.epochs,
            "seconds": self.history.seconds,
            "best_epoch": self.history.best_epoch,
            "stopped_early": self.history.stopped_early,
            "plateau": {
                "scale": plateau.scale,
                "_best": -plateau.patience.best,
                "_waited": plateau.patience.waited,
            },
            "rate": self._rate,
            "warms_up": self.learning_rate.warms_up,
            "best": self.best.score,
            "elapsed": time.perf_counter() - self._started if self.made else 0.0,
            "clock": self.clock.seconds,
        }

    def _take_snapshot(self, keeper: Keeper) -> None:
        """The time that it takes is not the epoch's."""
        began = time.perf_counter()
        self._check_images()
        self._catch_up()
        keeper.write(self.network, self._state(), self.history.best_weights)
        self._started += time.perf_counter() - began

    def _check_images(self) -> None:
        if self.hooks.check_images:
            self.hooks.check_images()

    def _catch_up(self) -> None:
        """On JAX the variables stay behind the updates of an epoch; bring them up to date."""
        if sync := getattr(self.network, "jax_state_sync", None):
            sync()

    def _check(self, loss: float) -> None:
        if not np.isfinite(loss):
            rate = base_rate(self.config)
            word = "NaN" if np.isnan(loss) else "infinite"
            raise FailedWork(
                f"the loss became {word} in epoch {self._epoch + 1}, by update {self.step}; "
                f"lower train.optimizer.learning_rate ({rate:g}) or warm up longer"
            )
