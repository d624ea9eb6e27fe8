"""One tracked run on its way to the store: opened, streamed and completed in the background.

What a run begins with is an `Opening`, which the journal keeps; its `id` is a tag of the run. So a
run can be sent again, later, elsewhere, by `ilsvrc upload`, and nothing is there twice: the run is
found by its tag, and a metric of the same step and time stamp is the same row.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from experiments.jobs.job import Outcome
from experiments.tracking import run_log
from experiments.tracking.journal import Journal
from experiments.tracking.outbox import Outbox
from experiments.tracking.run_log import RunLog
from experiments.tracking.tracked_run import find_by_journal

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

ROOM = 20_000  # metrics of a run that wait for the server; beyond them its journal is replayed


@dataclass(frozen=True)
class Opening:
    """What a tracked run begins with."""

    name: str
    tags: dict[str, str]
    params: dict[str, Any]
    documents: dict[str, str]
    """Small texts by file name."""
    dataset: dict[str, Any] | list[dict[str, Any]] | None = None
    """MLflow's dataset inputs, as its `to_dictionary` gives them."""
    parent: str | None = None
    """Run id of the parent, in the store of then."""
    began: float = field(default_factory=time.time)
    """Seconds since 1970."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def of_event(cls, event: Mapping[str, Any] | None) -> Opening | None:
        """From a `started` event of a journal; None from none, or one that holds too little."""
        names = {item.name for item in fields(cls)}
        if event is None or not names <= event.keys():
            return None
        return cls(**{key: event[key] for key in names})


def open_run(
    client: MlflowClient, experiment: str, opening: Opening, *, look: bool = True
) -> RunLog:
    """The run of an opening, found in the store or made; `look` is False when it cannot be there.

    May be called again after it failed half-way.
    """
    if look and (earlier := find_by_journal(client, experiment, opening.id)):
        run = RunLog(client, earlier.id)
        client.update_run(run.id, status="RUNNING")
        run.params(opening.params)
    else:
        run = RunLog.start(
            client, experiment, opening.name, opening.tags | {run_log.JOURNAL_TAG: opening.id},
            opening.params, opening.parent, opening.began,
        )  # fmt: skip
    given = opening.dataset or []
    for dataset in [given] if isinstance(given, dict) else given:
        run.dataset(_dataset_input(dataset))
    for name, content in opening.documents.items():
        run.document(name, content)
    return run


def send(
    client: MlflowClient,
    experiment: str,
    journal: Journal,
    opening: Opening,
    store: str,
    run: RunLog | None = None,
) -> str:
    """Bring a fit that has ended to the store, from its journal, and note there that it is sent.

    Args:
        opening: its parent is a run of this store.
        store: key of the store.
        run: the run with all of its curve, where the store has it already.

    Returns:
        The run's id.
    """
    ended = journal.last("ended")
    assert ended
    outcome = Outcome.from_record(ended)
    closed = int(ended["time"] * 1000)
    whole = run is not None
    run = run or open_run(client, experiment, opening)
    run_log.complete(run, outcome, replay=not whole, stamps=ended.get("stamps", ()), closed=closed)
    journal.append("sent", id=opening.id, run_id=run.id, store=store)
    return run.id


class Delivery:
    """A run that is streamed while its fit goes on. Its methods return at once."""

    def __init__(
        self,
        client: MlflowClient,
        experiment: str,
        store: str,
        journal: Journal,
        opening: Opening,
        outbox: Outbox,
    ):
        self.client, self.experiment, self.store = client, experiment, store
        self.journal, self.opening, self.outbox = journal, opening, outbox
        self.stamps: list[int] = []
        """Milliseconds since 1970 of each epoch's end."""
        self.spilled = False
        """The store has not all of the curve; the journal will."""
        self._run: RunLog | None = None
        self._metrics: list[Any] = []
        self._queued = self._tried = False
        self._next = 0.0

    @property
    def id(self) -> str:
        """The run's id; empty as long as the store has not made it."""
        return self._run.id if self._run else ""

    def begin(self) -> None:
        orphan = Opening.of_event(self.journal.last("started"))
        if orphan and self.journal.is_under_way:
            self.outbox.put(lambda: self._bury(orphan))
        self.journal.append("started", **asdict(self.opening), **_whereabouts(self.store))
        self.outbox.put(self._open)

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        stamp = int(time.time() * 1000)
        self.stamps.append(stamp)
        if len(self._metrics) >= ROOM:
            self._spill()
        if self.spilled:
            return
        self._metrics += [Metric(key, float(v), stamp, number) for key, v in values.items()]
        if not self._queued and time.monotonic() > self._next:
            self._queued, self._next = True, time.monotonic() + run_log.EVERY_SECONDS
            self.outbox.put(self._stream)

    def aside(self, number: int, values: Mapping[str, float]) -> None:
        """Metrics that the journal does without; sent with those of the next epoch."""
        from mlflow.entities import Metric

        stamp = int(time.time() * 1000)
        if not self.spilled:
            self._metrics += [Metric(key, v, stamp, number) for key, v in values.items()]

    def end(self, outcome: Outcome, fingerprint: str) -> None:
        self.journal.ended(outcome, fingerprint, self.id, self.store, stamps=self.stamps)
        if self.outbox.down:
            self._spill()
        self.outbox.put(self._complete)

    def _spill(self) -> None:
        self.spilled, self._metrics = True, []

    def _bury(self, opening: Opening) -> None:
        """Close the run of a start that was killed before it could."""
        if run := find_by_journal(self.client, self.experiment, opening.id):
            self.client.set_terminated(run.id, run_log.STATUS["killed"])

    def _open(self) -> None:
        look, self._tried = self._tried, True
        self._run = open_run(self.client, self.experiment, self.opening, look=look)

    def _stream(self) -> None:
        waiting = self._metrics
        while waiting and self._run:
            batch = waiting[: run_log.METRIC_BATCH]
            self.client.log_batch(self._run.id, metrics=batch)
            del waiting[: len(batch)]
        self._queued = False

    def _complete(self) -> None:
        if self._run and not self.spilled:
            self._stream()
        whole = self._run if not self.spilled else None
        opening = self.opening
        done = send(self.client, self.experiment, self.journal, opening, self.store, whole)
        self._run = self._run or RunLog(self.client, done)


def under(opening: Opening, parent: str | None) -> Opening:
    """The same opening under a parent of another store."""
    return replace(opening, parent=parent)


def _dataset_input(document: Mapping[str, Any]) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    tags = [InputTag(key, value) for key, value in document["tags"].items()]
    return DatasetInput(Dataset(**document["dataset"]), tags)


def _whereabouts(store: str) -> dict[str, Any]:
    return {"run_id": "", "store": store, "pid": os.getpid()}
