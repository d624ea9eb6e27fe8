"""Workers of this machine, and what each gets of it."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import Any

from experiments.config.launch import Launch
from experiments.errors import Stopped
from experiments.fitting import fit
from experiments.jobs.job import Job
from experiments.launch.pool import Lost, Message, Pool, Worker
from experiments.runtime.machine import cores
from experiments.runtime.parent import end_after
from experiments.runtime.share import Share, nvidia_devices, visible_gpus

HINTS = {
    "SIGKILL": "; out of memory? lower data.batch_size",
    "SIGABRT": "; of several hosts another may have gone, which JAX ends so",
}


def shares(launch: Launch, cores: int, gpus: Sequence[str]) -> list[Share]:
    """A share for each worker: cores divided, GPUs dealt out in turn.

    One worker has the whole machine, as a run in this process has. `launch.cpus` and `launch.gpus`
    overrule that; `launch.gpus` below one means that workers compute on the same device.

    Args:
        launch: workers, cpus, gpus.
        cores: of this machine.
        gpus: names of its visible GPUs, as CUDA_VISIBLE_DEVICES has them.
    """
    count = 0 if launch.workers == 1 else max(1, cores // launch.workers)
    if launch.cpus is not None:
        count = max(1, int(launch.cpus))
    if not gpus or (launch.gpus is None and launch.workers == 1):
        return [Share(count)] * launch.workers
    if launch.gpus == 0:
        return [Share(count, "")] * launch.workers
    each = max(1, int(launch.gpus or 1))
    together = each * launch.workers > len(gpus)
    dealt = []
    for number in range(launch.workers):
        names = [gpus[(number * each + at) % len(gpus)] for at in range(min(each, len(gpus)))]
        dealt.append(Share(count, ",".join(names), together))
    return dealt


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
        children = [Child(share) for share in shares or [Share()] * workers]
        super().__init__(children, grace, runs_per_worker, retries)

    def wait(self, busy: Sequence[Worker], seconds: float) -> Sequence[Worker]:
        children: dict[Any, Worker] = {w.connection: w for w in busy if isinstance(w, Child)}
        return [children[ready] for ready in wait(list(children), timeout=seconds)]


def of_this_machine(launch: Launch) -> list[Share]:
    """`shares` of the cores and GPUs that this process may use."""
    return shares(launch, cores(), visible_gpus(os.environ, nvidia_devices()))


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
        with _without_main():
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


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """A worker needs nothing of the caller's script, and would run it once more to have it."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def serve(connection: Connection, share: Share) -> None:
    """A worker's life: take a job, send events, send its outcome, until the pipe closes.

    It ends with its coordinator, in the middle of a job too.
    """
    if (coordinator := mp.parent_process()) is not None:
        end_after(lambda: wait([coordinator.sentinel]))
    # Ctrl-C reaches the whole process group; the coordinator decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    share.take()
    from experiments.runtime.startup import load_tensorflow

    load_tensorflow()  # while the coordinator opens the data
    from experiments.training import trainer  # noqa: F401

    while True:
        try:
            job = connection.recv()
            connection.send(fit.attempt(job, connection.send))
        except (EOFError, OSError):
            return
        except Stopped:  # by SIGTERM, while it trained; its snapshot is taken
            signal.raise_signal(signal.SIGTERM)


def _cause_of_death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"the worker was ended by {name}{HINTS.get(name, '')}"
    return f"the worker ended with exit code {code}"
