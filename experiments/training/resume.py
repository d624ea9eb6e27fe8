"""A fit that was stopped goes on from its last snapshot, with the bits of one that never stopped.

A snapshot is of the moment between two updates: every variable of network, optimizer and loss so
far, what the Loop knows, and which of the job's fits it is (its stages, then its own). The data
need nothing: their order and every random draw are keyed by seed, epoch and image, so that the
batches go on at any update of any epoch. So a longer fit of the same settings goes on, too, from
the last state of a shorter one (`Job.row`).

Of several hosts, whose variables are equal, the first takes the snapshots by itself. At the start
the others have its own copied to them, and see that it is whole and of their settings too.
"""

from __future__ import annotations

import contextlib
import copy
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from experiments.config.identity import config_hash
from experiments.config.settings import flatten
from experiments.errors import FailedWork, Stopped, ask_to_stop, asked_to_stop
from experiments.jobs.job import Job
from experiments.runtime import hosts
from experiments.runtime.devices import Devices
from experiments.training.batches import digest
from experiments.training.snapshots import Snapshot, Snapshots, clear

if TYPE_CHECKING:
    from experiments.jobs.job import Emit

PACKAGES = ("tensorflow", "keras", "numpy", "ilsvrc-suite")
BEST = "best"

Arrays = Mapping[str, np.ndarray]
Beside = Callable[[], tuple[Arrays, Mapping[str, Any]]]


def _nothing() -> tuple[Arrays, Mapping[str, Any]]:
    return {}, {}


@dataclass(frozen=True)
class Row:
    """Fits that differ in their epochs alone, of which this is one."""

    epochs: int
    """Of this fit."""
    goes_on: bool
    """May a longer one follow?"""

    def is_longer(self, snapshot: Snapshot) -> bool:
        """Is the snapshot of more epochs than this fit has?"""
        return len(snapshot.state["loop"]["epochs"]) > self.epochs


class Keeper:
    """Takes the snapshots of one job, and gives back the newest of an earlier start.

    Args:
        store: its snapshots on disk.
        every_seconds: from one snapshot to the next, at least.
        emit: hears of what is used and passed over.
        host: this one among several, all of which make the same keeper now.
        row: whose snapshots are these, if fits that differ in their epochs alone share them.

    Raises:
        FailedWork: not every host can read the snapshot of the first.
    """

    def __init__(
        self,
        store: Snapshots,
        every_seconds: float,
        emit: Emit,
        host: Devices | None = None,
        row: Row | None = None,
    ):
        self._store, self._every, self._row = store, every_seconds, row
        self._emit, self._host = emit, host or Devices()
        self.went_on_after = 0
        """Epochs that the snapshot had, once it is restored."""
        self._snapshot = self._newest(lambda text: emit({"kind": "note", "text": text}))
        self._entry: dict[str, Any] = {}
        self._beside: Beside = _nothing
        self._next = time.monotonic() + every_seconds
        self._writing: Writing | None = None

    def _newest(self, say: Callable[[str], None]) -> Snapshot | None:
        store, host = self._store, self._host
        if host.processes == 1:
            snapshot = store.newest(say)
            longer = snapshot and self._row and self._row.is_longer(snapshot)
            return None if longer else snapshot
        snapshot = store.newest(say) if host.process == 0 else None
        hosts.broadcast_file(host, store.last, store.folder)
        if host.process:
            snapshot = store.newest(say)
            clear(store.folder.parent)
        if hosts.agreed(host, snapshot is None) or hosts.agreed(host, snapshot is not None):
            return snapshot
        raise FailedWork(
            f"{store.folder}: the first host's snapshot cannot be read on every host; "
            "delete it to start anew"
        )

    @property
    def start(self) -> int:
        """The fit of the job to go on with: that of the snapshot, else the first."""
        return self.entry.get("position", 0)

    @property
    def entry(self) -> Mapping[str, Any]:
        """What `enter` was told before the snapshot was taken; empty without one."""
        return self._snapshot.state["place"] if self._snapshot else MappingProxyType({})

    def resumes(self, position: int) -> bool:
        """Is the snapshot of this fit of the job?"""
        return self._snapshot is not None and self.start == position

    def enter(self, position: int, beside: Beside = _nothing, **entry: Any) -> None:
        """Begin one of the job's fits.

        Args:
            position: of the fit, the job's own behind its stages.
            beside: arrays and JSON to be kept with each snapshot.
            entry: what is known when the fit begins, as JSON has it.
        """
        self._entry, self._beside = {"position": position, **entry}, beside

    def beside(self) -> tuple[Arrays, Mapping[str, Any]]:
        """What `enter`'s `beside` gave when the snapshot was taken, of which there must be one."""
        assert self._snapshot
        arrays = {
            name.removeprefix("beside/"): array
            for name, array in self._snapshot.arrays.items()
            if name.startswith("beside/")
        }
        return arrays, self._snapshot.state["beside"]

    def due(self) -> bool:
        """Is it time for the next snapshot, or has somebody asked for the end?

        Raises:
            FailedWork: the last one could not be written.
        """
        if self._writing and not self._writing.is_alive():
            self.settle()
        on_time = self._host.process == 0 and time.monotonic() >= self._next
        return asked_to_stop() or on_time

    @property
    def at_end(self) -> bool:
        """Is the state after the last epoch kept, for a longer fit to go on from?"""
        return self._row is not None and self._row.goes_on

    def write(
        self, model: keras.Model, state: Mapping[str, Any], best: list[np.ndarray] | None
    ) -> None:
        """Take a snapshot between two updates; it is written while the next ones are made.

        Raises:
            FailedWork: the one before could not be written.
        """
        self.settle()
        if self._host.process:  # the first host has the same
            return
        arrays = {name: _numpy(variable) for name, variable in _variables(model).items()}
        arrays |= {f"{BEST}/{at}": array for at, array in enumerate(best or ())}
        beside, words = self._beside()
        arrays |= {f"beside/{name}": array for name, array in beside.items()}
        document = {
            "place": self._entry,
            "loop": dict(state),
            "beside": dict(words),
            "best": None if best is None else len(best),
        }
        # The next updates append to the lists that the document is made of.
        self._writing = Writing(self._store, Snapshot(arrays, copy.deepcopy(document)))
        self._writing.start()
        self._next = time.monotonic() + self._every

    def settle(self) -> None:
        """Wait for the snapshot that is being written.

        Raises:
            FailedWork: it could not be written.
        """
        if self._writing:
            writing, self._writing = self._writing, None
            writing.join()
            if writing.error and self._row is None:
                raise writing.error
            if writing.error:  # the fit needs none: a longer one starts anew
                self._emit({"kind": "note", "text": str(writing.error)})

    @contextlib.contextmanager
    def settling(self) -> Iterator[None]:
        """Signals are heard between updates, and no writing outlasts the fit, however it ends."""
        with hearing(ask_to_stop if self._host.processes == 1 else hosts.wish_to_stop):
            try:
                yield
            except BaseException:
                with contextlib.suppress(FailedWork):  # what ended the fit is what is told
                    self.settle()
                raise
            self.settle()

    def restore(
        self, model: keras.Model
    ) -> tuple[dict[str, Any], list[np.ndarray] | None, Callable[[], None]] | None:
        """Set every variable as it was, if the snapshot is of the fit that was entered.

        Returns:
            The Loop's state, the best weights so far, and a function that sets the metrics of the
            epoch at hand once more, for Keras forgets them as an epoch begins.
        """
        snapshot = self._snapshot
        if snapshot is None or not self.resumes(self._entry["position"]):
            return None
        self._snapshot = None
        for name, variable in _variables(model).items():
            variable.assign(snapshot.arrays[name])
        metrics = [
            (variable, snapshot.arrays[name])
            for name, variable in _variables(model).items()
            if name.startswith("metrics/")
        ]

        def again() -> None:
            for variable, value in metrics:
                variable.assign(value)

        count, state = snapshot.state["best"], snapshot.state["loop"]
        self.went_on_after = len(state["epochs"])
        best = None if count is None else [snapshot.arrays[f"{BEST}/{at}"] for at in range(count)]
        return state, best, again


class Writing(threading.Thread):
    """One snapshot on its way to the disk."""

    def __init__(self, store: Snapshots, snapshot: Snapshot):
        super().__init__(name="snapshot")
        self.error: BaseException | None = None
        self._store, self._snapshot = store, snapshot

    def run(self) -> None:
        try:
            self._store.write(self._snapshot)
        except BaseException as error:  # raised where the fit is
            self.error = error


def keeper(job: Job, fingerprint: str, emit: Emit, host: Devices) -> Keeper | None:
    """What takes the snapshots of a job; None for a job that has none.

    Raises:
        BadInput: several hosts are not about to do the same.
    """
    if host.processes > 1:
        _check_hosts(job, fingerprint, host)
    settings, config = job.config.train.checkpoint, job.config
    if not (job.measured or job.row) or not settings.every_seconds:
        return None
    if job.row:
        config = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 0})})
    identity = {
        "config": config_hash(config),
        "data": fingerprint,
        "graph": job.graph_key,
        "parts": [
            None if part is None else digest(part) for part in (job.train, job.validation, job.test)
        ],
        "checkpoints": list(job.prediction_epochs),
        "backend": keras.backend.backend(),
    }
    identity |= {name: _version(name) for name in PACKAGES}
    if host.spread:  # of another number the sums have other bits
        identity["devices"] = host.replicas
    if job.row:
        row = Row(job.config.train.epochs, job.row_goes_on)
        return Keeper(Snapshots(Path(job.row), identity, 1), math.inf, emit, host, row)
    store = Snapshots(Path(job.directory), identity, settings.keep)
    return Keeper(store, settings.every_seconds, emit, host)


def _check_hosts(job: Job, fingerprint: str, host: Devices) -> None:
    """Raises BadInput where hosts differ in what decides what they compute together, and when."""
    config = job.config.model_dump(mode="json", exclude={"tracking": True, "launch": True})
    ours = flatten(config) | {"data": fingerprint, "backend": keras.backend.backend()}
    hosts.check_same(host, ours | {name: _version(name) for name in PACKAGES})


@contextlib.contextmanager
def hearing(ask: Callable[[], None] = ask_to_stop) -> Iterator[None]:
    """SIGTERM and Ctrl-C `ask` for the end, which comes between two updates.

    As an exception in the middle of one they would leave nothing to take a snapshot of. A second
    Ctrl-C is such an exception, for somebody who will not wait; SIGTERM may come more than once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def hear(number: int, frame: Any) -> None:
        if number == signal.SIGINT and (asked_to_stop() or hosts.wished()):
            raise Stopped
        ask()

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    try:
        for number in heard:
            signal.signal(number, hear)
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])


def _variables(model: Any) -> dict[str, Any]:
    """All that an update reads and writes, by a name that does not depend on the process."""
    kinds = {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
        "metrics": [variable for metric in model.metrics for variable in metric.variables],
    }
    return {
        f"{kind}/{at}": variable
        for kind, variables in kinds.items()
        for at, variable in enumerate(variables)
    }


def _numpy(variable: Any) -> np.ndarray:
    """A copy: backends may lend the memory that the next update writes to."""
    return np.array(keras.ops.convert_to_numpy(variable.value))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
