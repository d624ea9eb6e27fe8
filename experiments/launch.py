"""Executors: jobs in, events and outcomes back. A fault in one job fails that job only."""

from __future__ import annotations

import multiprocessing as mp
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from experiments.backlog import Backlog
from experiments.config import Launch
from experiments.errors import BadInput, FailedWork, Stopped, stop_if_asked
from experiments.jobs import Job, Outcome
from experiments.pool import Event, Lost, Message, OnEvent, Pool, Worker
from experiments.shares import Share, of_this_machine

HINTS = {
    "SIGKILL": "; out of memory? lower data.batch_size",
    "SIGABRT": "; of several hosts another may have gone, which JAX ends so",
}


def executor(launch: Launch) -> Inline | Pool:
    """The executor that the launch section names.

    Raises:
        BadInput: Ray is not installed.
    """
    if launch.executor == "inline":
        return Inline()
    if launch.executor == "ray":
        from experiments.ray_executor import Ray

        return Ray(launch)
    return Processes(
        launch.workers,
        launch.grace_seconds,
        launch.runs_per_worker,
        launch.retries or 0,
        of_this_machine(launch),
    )


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


class Processes(Pool):
    """Runs jobs in spawned workers of this machine, each with its share of cores and GPUs.

    A worker that is killed (out of memory) fails one job, after `retries` more tries.
    """

    def __init__(
        self,
        workers: int,
        grace: float = 5.0,
        runs_per_worker: int | None = None,
        retries: int = 0,
        shares: Sequence[Share] = (),
    ):
        own = shares or [Share()] * workers
        super().__init__([Child(share) for share in own], grace, runs_per_worker, retries)

    def wait(self, busy: Sequence[Worker], seconds: float) -> Sequence[Worker]:
        children: dict[Any, Worker] = {w.connection: w for w in busy if isinstance(w, Child)}
        return [children[ready] for ready in wait(list(children), timeout=seconds)]


class Child(Worker):
    """One spawned process of this machine."""

    def __init__(self, share: Share | None = None) -> None:
        super().__init__()
        self.share = share or Share()
        self.process: Any = None
        self.connection: Any = None

    def ready(self) -> bool:
        if self.process is None:
            self.start()
        return True

    def start(self) -> None:
        context = mp.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, self.share), daemon=True)
        self.process.start()
        theirs.close()
        self.forget()

    def renew(self) -> None:
        self.stop()
        self.start()

    def ask(self) -> None:
        if self.process is not None:
            self.process.terminate()

    def stop(self, seconds: float = 5.0) -> None:
        if self.process is None:
            return
        self.process.terminate()
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()
        self.process = None

    def send(self, job: Job) -> None:
        self.connection.send(job)

    def hear(self) -> list[Message]:
        try:
            return [self.connection.recv()]
        except (EOFError, OSError):
            self.process.join(5)
            code = self.process.exitcode
            self.stop()
            return [Lost(_cause_of_death(code))]


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


def serve(connection: Connection, share: Share) -> None:
    """A worker's life: take a job, send events, send its outcome, until the pipe closes."""
    # Ctrl-C reaches the whole process group; the coordinator decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    share.take()
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
        return f"the worker was ended by {name}{HINTS.get(name, '')}"
    return f"the worker ended with exit code {code}"
