"""Executors: jobs in, events and outcomes back. A fault in one job fails that job only."""

from __future__ import annotations

import multiprocessing as mp
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from experiments.config import Launch
from experiments.errors import BadInput, FailedWork, stop_if_asked
from experiments.jobs import Job, Outcome

Event = dict[str, Any]
OnEvent = Callable[[Job, Event], None]


def executor(launch: Launch) -> Inline | Processes:
    """The executor that the launch section names."""
    return Inline() if launch.executor == "inline" else Processes(launch.workers)


class Inline:
    """Runs jobs in this process, one after the other."""

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def run(self, jobs: Iterable[Job], on_event: OnEvent) -> Iterator[tuple[Job, Outcome]]:
        for job in jobs:
            stop_if_asked()
            on_event(job, {"kind": "begin"})
            yield job, attempt(job, lambda event, job=job: on_event(job, event))  # type: ignore[misc]


class Processes:
    """Runs jobs in spawned workers.

    A worker keeps one compiled network: it takes jobs of its graph as long as there are any, and
    is replaced by a fresh process for another graph. So memory figures belong to one network, and
    a worker that is killed (out of memory) fails one job.
    """

    def __init__(self, workers: int):
        self.workers = [Worker() for _ in range(workers)]

    def __enter__(self) -> Processes:
        for worker in self.workers:
            worker.start()  # libraries load while the coordinator opens the data
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.workers:
            worker.stop()

    def run(self, jobs: Iterable[Job], on_event: OnEvent) -> Iterator[tuple[Job, Outcome]]:
        waiting = list(jobs)
        while waiting or any(worker.job for worker in self.workers):
            for worker in self.workers:
                if waiting and not worker.job:
                    job = worker.choose(waiting)
                    waiting.remove(job)
                    on_event(job, {"kind": "begin"})
                    worker.give(job)
            busy = {worker.connection: worker for worker in self.workers if worker.job}
            ready = wait(list(busy), timeout=1)
            stop_if_asked()
            for connection in ready:
                worker = busy[connection]
                job, message = worker.hear()
                if isinstance(message, Outcome):
                    yield job, message
                else:
                    on_event(job, message)


class Worker:
    """One child process and the job that it holds."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.graph: str | None = None
        self.process: Any = None
        self.connection: Any = None

    def start(self) -> None:
        context = mp.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.graph = None

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()
        self.process = None

    def choose(self, waiting: list[Job]) -> Job:
        """The first job of this worker's graph, else the first of all."""
        return next((job for job in waiting if job.graph_key == self.graph), waiting[0])

    def give(self, job: Job) -> None:
        if self.process is None or self.graph not in (None, job.graph_key):
            self.stop()
            self.start()
        self.job, self.graph = job, job.graph_key
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


def _cause_of_death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "; out of memory? lower data.batch_size" if name == "SIGKILL" else ""
        return f"the worker was ended by {name}{hint}"
    return f"the worker ended with exit code {code}"
