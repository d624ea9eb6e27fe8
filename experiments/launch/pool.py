"""The loop that keeps workers busy, whatever they are: processes here, or Ray's on other machines.

A worker gets its next job before the outcome of the last one is handed on, so that it computes
while the coordinator writes journals and talks to the tracking server.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from experiments.errors import stop_if_asked
from experiments.jobs.job import Event, Job, OnEvent, Outcome


@dataclass(frozen=True)
class Lost:
    """The worker died before its job had an outcome."""

    cause: str


Message = Event | Outcome | Lost


class Worker(ABC):
    """One process somewhere and the job that it holds."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.graph: str | None = None
        self.footprints: set[str] = set()
        """Of the jobs that the process has had."""
        self.jobs = 0
        """Given to the process so far."""

    def forget(self) -> None:
        """A new process has seen nothing yet."""
        self.graph, self.footprints, self.jobs = None, set(), 0

    def spent(self, job: Job, limit: int | None) -> bool:
        """Must the process be replaced before it takes this job?

        A job whose cost is measured never runs where one of another footprint has run: a process
        gives no memory back, and its peak would be theirs. `limit` is the number of jobs of a
        process.
        """
        others = self.footprints - {job.footprint}
        return bool(job.measured and others) or (limit is not None and self.jobs >= limit)

    def give(self, job: Job) -> None:
        """Hand over a job; its messages come by `hear`."""
        self.job, self.graph = job, job.graph_key
        self.footprints.add(job.footprint)
        self.jobs += 1
        self.send(job)

    @abstractmethod
    def ready(self) -> bool:
        """Could it take a job now? Started if need be; raises FailedWork if it cannot start."""

    @abstractmethod
    def send(self, job: Job) -> None:
        """Pass the job on."""

    @abstractmethod
    def hear(self) -> list[Message]:
        """What the job has said since, in order; waits if that is nothing."""

    @abstractmethod
    def renew(self) -> None:
        """End the process, which has no job, and start another one."""

    @abstractmethod
    def ask(self) -> None:
        """Ask the process to end; one that trains takes a snapshot first."""

    @abstractmethod
    def stop(self, seconds: float = 5.0) -> None:
        """End the process, within these seconds."""


class Pool(ABC):
    """Runs jobs in workers.

    A worker keeps one compiled network: it takes jobs of its graph as long as there are any. Those
    that are at work when it ends have `grace` seconds together to take their snapshots.

    Args:
        workers: not yet started.
        grace: seconds.
        runs_per_worker: after which a process is replaced; None: never.
        retries: of a job whose worker died. Beyond them the job fails, and only that job.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        grace: float = 5.0,
        runs_per_worker: int | None = None,
        retries: int = 0,
    ):
        self.workers = workers
        self.grace, self.runs_per_worker, self.retries = grace, runs_per_worker, retries
        self._again: deque[Job] = deque()
        """Taken from the backlog, and to be given to the next worker that is free."""
        self._tries: dict[tuple[str | int, ...], int] = {}
        """Workers that were given the job, by its path; absent before it began."""
        self._told: dict[tuple[str | int, ...], int] = {}
        """Epochs passed on."""

    def __enter__(self) -> Self:
        for worker in self.workers:
            worker.ready()  # libraries load while the coordinator opens the data
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.workers:
            worker.ask()
        end = time.monotonic() + self.grace
        for worker in self.workers:
            worker.stop(max(0.0, end - time.monotonic()))

    def run(
        self, jobs: Iterable[Job] | Backlog, on_event: OnEvent
    ) -> Iterator[tuple[Job, Outcome]]:
        """Yield each job with its outcome as it ends; `on_event` hears of it meanwhile."""
        backlog = jobs if isinstance(jobs, Backlog) else Backlog(jobs)
        self._again.clear()
        self._tries.clear()
        self._told.clear()
        while True:
            held = {worker.graph for worker in self.workers if worker.graph}
            for worker in self.workers:
                if not self._employ(worker, backlog, held, on_event):
                    break  # nor for the others, who may be a thousand
            busy = [worker for worker in self.workers if worker.job]
            if not busy:
                waiting = self._again[0] if self._again else backlog.first()
                if waiting is None:
                    return
                if remark := self.remark():
                    on_event(waiting, {"kind": "note", "text": remark})
            heard = self.wait(busy, 1.0)
            stop_if_asked()
            for worker in heard:
                job = worker.job
                assert job is not None
                for message in worker.hear():
                    outcome = self._settle(job, message, on_event)
                    if not isinstance(message, dict):
                        worker.job = None
                    if outcome:
                        self._employ(worker, backlog, held, on_event)
                        yield job, outcome

    @abstractmethod
    def wait(self, busy: Sequence[Worker], seconds: float) -> Sequence[Worker]:
        """Those of the busy that have something to say, as soon as one has."""

    def remark(self) -> str | None:
        """What to tell people where no worker is ready; None for nothing new."""
        return None

    def _employ(self, worker: Worker, backlog: Backlog, held: set[str], on_event: OnEvent) -> bool:
        """Give a worker without a job its next one; False if there is none now."""
        if worker.job or not worker.ready():
            return True
        job = self._again.popleft() if self._again else backlog.take(worker.graph, held)
        if job is None:
            return False
        if worker.spent(job, self.runs_per_worker):
            worker.renew()
            if not worker.ready():
                self._again.appendleft(job)  # for this one or another, whichever is ready first
                return True
        if job.path not in self._tries:
            on_event(job, {"kind": "begin"})
        self._tries[job.path] = self._tries.get(job.path, 0) + 1
        worker.give(job)
        held.add(job.graph_key)
        return True

    def _settle(self, job: Job, message: Message, on_event: OnEvent) -> Outcome | None:
        """Pass an event on, or queue the job again, or give its outcome."""
        if isinstance(message, Outcome):
            return message
        if isinstance(message, Lost):
            tries = self._tries[job.path]
            if tries > self.retries:
                times = f" (tried {tries} times)" if tries > 1 else ""
                return Outcome(job.path, "failed", error=message.cause + times)
            text = f"{message.cause}; tried again, {tries} of {self.retries}"
            on_event(job, {"kind": "note", "text": text})
            self._again.append(job)
            return None
        if message["kind"] == "epoch":
            if message["epoch"] <= self._told.get(job.path, 0):
                return None  # of a second try, which goes through the epochs of the first again
            self._told[job.path] = message["epoch"]
        on_event(job, message)
        return None


AHEAD = 256  # jobs looked through for one of the graph that a worker holds


class Backlog:
    """Jobs that wait, in order. It may grow while an executor works it off.

    Args:
        jobs: made as they are needed, where it is a generator.
        wanted: asked before a job is handed out; one that is no longer wanted is dropped.
    """

    def __init__(self, jobs: Iterable[Job] = (), wanted: Callable[[Job], bool] | None = None):
        self._coming = deque([iter(jobs)])
        self._seen: list[Job] = []
        self._wanted = wanted or (lambda job: True)

    def add(self, jobs: Iterable[Job]) -> None:
        """Queue jobs behind the others."""
        self._coming.append(iter(jobs))

    def first(self) -> Job | None:
        """The job at the head, which stays; None if there is none now."""
        self._look_ahead(1)
        return self._seen[0] if self._seen else None

    def take(self, graph: str | None = None, elsewhere: Collection[str] = ()) -> Job | None:
        """The next job, None if there is none now.

        Preferred is one of `graph`, which the worker holds; then one that no other worker holds
        (`elsewhere`), so that two workers do not compile the same networks; then the first.
        """
        self._look_ahead(1 if graph is None and not elsewhere else AHEAD)
        graphs = [job.graph_key for job in self._seen]
        at = next((at for at, key in enumerate(graphs) if key == graph), None)
        if at is None:
            at = next((at for at, key in enumerate(graphs) if key not in elsewhere), 0)
        return self._seen.pop(at) if self._seen else None

    def _look_ahead(self, least: int) -> None:
        self._seen = [job for job in self._seen if self._wanted(job)]
        while self._coming and len(self._seen) < least:
            job = next(self._coming[0], None)
            if job is None:
                self._coming.popleft()
            elif self._wanted(job):
                self._seen.append(job)
