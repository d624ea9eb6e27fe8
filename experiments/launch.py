"""Executors: jobs in, events and outcomes back. A fault in one job fails that job only.

A worker gets its next job before the outcome of the last one is handed on, so that it computes
while the coordinator writes journals and talks to the tracking server.
"""

from __future__ import annotations

import multiprocessing as mp
import signal
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from experiments.config import Launch
from experiments.errors import BadInput, FailedWork, Stopped, stop_if_asked
from experiments.jobs import Job, Outcome

Event = dict[str, Any]
OnEvent = Callable[[Job, Event], None]
AHEAD = 256  # jobs looked through for one of the graph that a worker holds


def executor(launch: Launch) -> Inline | Processes:
    """The executor that the launch section names."""
    if launch.executor == "inline":
        return Inline()
    return Processes(launch.workers, launch.grace_seconds)


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

    def take(self, graph: str | None = None, elsewhere: Collection[str] = ()) -> Job | None:
        """The next job, None if there is none now.

        Preferred is one of `graph`, which the worker holds; then one that no other worker holds
        (`elsewhere`), so that two workers do not compile the same networks; then the first.
        """
        self._seen = [job for job in self._seen if self._wanted(job)]
        self._look_ahead(1 if graph is None and not elsewhere else AHEAD)
        graphs = [job.graph_key for job in self._seen]
        at = next((at for at, own in enumerate(graphs) if own == graph), None)
        if at is None:
            at = next((at for at, own in enumerate(graphs) if own not in elsewhere), 0)
        return self._seen.pop(at) if self._seen else None

    def _look_ahead(self, least: int) -> None:
        while self._coming and len(self._seen) < least:
            job = next(self._coming[0], None)
            if job is None:
                self._coming.popleft()
            elif self._wanted(job):
                self._seen.append(job)


class Inline:
    """Runs jobs in this process, one after the other."""

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def run(
        self, jobs: Iterable[Job] | Backlog, on_event: OnEvent
    ) -> Iterator[tuple[Job, Outcome]]:
        backlog = jobs if isinstance(jobs, Backlog) else Backlog(jobs)
        graph = None
        while job := backlog.take(graph):
            stop_if_asked()
            graph = job.graph_key
            on_event(job, {"kind": "begin"})
            yield job, attempt(job, lambda event, job=job: on_event(job, event))  # type: ignore[misc]


class Processes:
    """Runs jobs in spawned workers.

    A worker keeps one compiled network: it takes jobs of its graph as long as there are any. A job
    whose cost is measured never runs in a process that held another network, so that memory
    figures belong to one. A worker that is killed (out of memory) fails one job. Those that are at
    work when it ends have `grace` seconds together to take their snapshots.
    """

    def __init__(self, workers: int, grace: float = 5.0):
        self.workers = [Worker() for _ in range(workers)]
        self.grace = grace

    def __enter__(self) -> Processes:
        for worker in self.workers:
            worker.start()  # libraries load while the coordinator opens the data
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.workers:
            worker.terminate()
        end = time.monotonic() + self.grace
        for worker in self.workers:
            worker.stop(max(0.0, end - time.monotonic()))

    def run(
        self, jobs: Iterable[Job] | Backlog, on_event: OnEvent
    ) -> Iterator[tuple[Job, Outcome]]:
        backlog = jobs if isinstance(jobs, Backlog) else Backlog(jobs)
        while True:
            for worker in self.workers:
                self._employ(worker, backlog, on_event)
            busy = {worker.connection: worker for worker in self.workers if worker.job}
            if not busy:
                return
            ready = wait(list(busy), timeout=1)
            stop_if_asked()
            for connection in ready:
                worker = busy[connection]
                job, message = worker.hear()
                if isinstance(message, Outcome):
                    self._employ(worker, backlog, on_event)
                    yield job, message
                else:
                    on_event(job, message)

    def _employ(self, worker: Worker, backlog: Backlog, on_event: OnEvent) -> None:
        """Give a worker without a job its next one."""
        if worker.job:
            return
        elsewhere = {other.graph for other in self.workers if other is not worker and other.graph}
        job = backlog.take(worker.graph, elsewhere)
        if job:
            on_event(job, {"kind": "begin"})
            worker.give(job)


class Worker:
    """One child process and the job that it holds."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.graph: str | None = None
        self.graphs: set[str] = set()
        """Held by the process so far."""
        self.process: Any = None
        self.connection: Any = None

    def start(self) -> None:
        context = mp.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.graph, self.graphs = None, set()

    def terminate(self) -> None:
        """Ask the process to end; one that trains takes a snapshot first."""
        if self.process is not None:
            self.process.terminate()

    def stop(self, seconds: float = 5.0) -> None:
        """End the process, within these seconds."""
        if self.process is None:
            return
        self.process.terminate()
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()
        self.process = None

    def give(self, job: Job) -> None:
        others = self.graphs - {job.graph_key}
        if self.process is None or (job.measured and others):
            self.stop()
            self.start()
        self.job, self.graph = job, job.graph_key
        self.graphs.add(job.graph_key)
        self.connection.send(job)

    def hear(self) -> tuple[Job, Event | Outcome]:
        """The next message; a worker that died gives a failed outcome."""
        job = self.job
        assert job is not None
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(5)
            code = self.process.exitcode
            self.stop()
            message = Outcome(job.path, "failed", error=_cause_of_death(code))
        if isinstance(message, Outcome):
            self.job = None
        return job, message


def attempt(job: Job, emit: Callable[[Event], None]) -> Outcome:
    """Run a job; whatever goes wrong inside becomes a failed outcome that says why."""
    try:
        from experiments import fit

        return fit.run(job, emit)
    except (BadInput, FailedWork) as error:
        return Outcome(job.path, "failed", error=str(error), bad_input=isinstance(error, BadInput))
    except Exception as error:
        import traceback

        first = str(error).strip().splitlines() or [""]
        outcome = Outcome(job.path, "failed", error=f"{type(error).__name__}: {first[0]}")
        outcome.artifacts["traceback.json"] = traceback.format_exc().splitlines()
        return outcome


def serve(connection: Connection) -> None:
    """A worker's life: take a job, send events, send its outcome, until the pipe closes."""
    # Ctrl-C reaches the whole process group; the coordinator decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    from experiments.quiet import load_tensorflow

    load_tensorflow()  # while the coordinator opens the data
    from experiments import fit, trainer  # noqa: F401

    while True:
        try:
            job = connection.recv()
            connection.send(attempt(job, connection.send))
        except (EOFError, OSError):
            return
        except Stopped:  # by SIGTERM, while it trained; its snapshot is taken
            signal.raise_signal(signal.SIGTERM)


def _cause_of_death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "; out of memory? lower data.batch_size" if name == "SIGKILL" else ""
        return f"the worker was ended by {name}{hint}"
    return f"the worker ended with exit code {code}"
