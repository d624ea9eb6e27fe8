"""The executor on Ray: the same jobs, on the nodes of a cluster or in a Ray of this machine.

Each worker is an actor that asks for cores and GPUs and is placed where there are any. A worker
that dies with its process or its node is replaced, and its job tried again; on a file system that
the nodes share, from its snapshot. Nothing is chosen or journaled out there.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.config.launch import Launch
from experiments.errors import FailedWork, stop_if_asked
from experiments.jobs.job import ROOT, Job, Outcome
from experiments.launch.pool import Lost, Message, Pool, Worker
from experiments.launch.ray_cluster import Cluster, cores_of, gpus_of
from experiments.launch.ray_slot import Delivered, Slot
from experiments.runtime import machine
from experiments.runtime.share import Share, visible_gpus

RETRIES = 2
STARTS = 3  # that may fail one after the other
REMARK_SECONDS = 30.0


class Ray(Pool):
    """Runs jobs in Ray actors, `launch.workers` of them at most, as many as find room.

    Raises:
        BadInput: Ray is not installed; on entering, the cluster does not answer.
    """

    def __init__(self, launch: Launch):
        self.cluster = Cluster(launch)
        cores = cores_of(launch, machine.cores())
        gpus = gpus_of(launch, len(visible_gpus(os.environ)))
        self.needs = {"CPU": cores, **({"GPU": gpus} if gpus else {}), **launch.resources}
        one = launch.workers == 1 and launch.address is None and launch.cpus is None
        share = Share(
            threads=0 if one else max(1, int(cores)),
            devices=None if gpus else "",  # Ray shows the GPUs asked for, and not always none
            together=0 < gpus < 1,
        )
        self._token = ROOT / f"ray-{uuid.uuid4().hex[:12]}"
        options = {
            "num_cpus": cores,
            "num_gpus": gpus,
            "resources": launch.resources or None,
            "max_restarts": 0,  # this end replaces it
            "max_concurrency": 4,
        }
        arguments = (share, str(Path.cwd()), str(self._token))
        super().__init__(
            [Remote(self.cluster.ray, options, arguments) for _ in range(launch.workers)],
            launch.grace_seconds,
            launch.runs_per_worker,
            RETRIES if launch.retries is None else launch.retries,
        )
        self._waits_since: float | None = None

    def __enter__(self) -> Ray:
        self.cluster.open()
        try:
            self._token.parent.mkdir(parents=True, exist_ok=True)
            self._token.touch()
            return super().__enter__()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        try:
            super().__exit__(*error)
        finally:
            self.cluster.close()
            self._token.unlink(missing_ok=True)

    def wait(self, busy: Sequence[Worker], seconds: float) -> Sequence[Worker]:
        if busy:
            self._waits_since = None
        talking = {w.hearing: w for w in busy if isinstance(w, Remote)}
        starting = [w.starting for w in self.workers if isinstance(w, Remote) and w.starting]
        refs = [*talking, *starting]
        if not refs:
            return []
        ray = self.cluster.ray
        with _calling():
            ray.wait(refs, num_returns=1, timeout=seconds)
            done, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        return [talking[ref] for ref in done if ref in talking]

    def remark(self) -> str | None:
        """After a while without a worker, what they wait for; once until there is one."""
        now = time.monotonic()
        if self._waits_since is None:
            self._waits_since = now
        if now - self._waits_since < REMARK_SECONDS:
            return None
        self._waits_since = float("inf")
        wanted = ", ".join(f"{name} {count:g}" for name, count in self.needs.items())
        return f"waits: {self.cluster.lacks(self.needs) or f'no node has {wanted} free'}"


class Remote(Worker):
    """One actor, wherever Ray places it.

    Args:
        ray: the module.
        options: of the actor.
        arguments: of `Slot`.
    """

    def __init__(self, ray: Any, options: dict[str, Any], arguments: tuple[Any, ...]):
        super().__init__()
        self.ray, self.arguments = ray, arguments
        self._slot = ray.remote(Slot).options(**options)
        self.hearing: Any = None
        """The answer that a busy worker owes."""
        self.starting: Any = None
        """The answer that one owes which is not placed yet."""
        self.where: dict[str, Any] = {}
        self._actor: Any = None
        self._failures = 0

    def ready(self) -> bool:
        if self._actor is None:
            self._start()
        if self.starting is None:
            return True
        try:
            with _calling():
                if not self.ray.wait([self.starting], timeout=0)[0]:
                    return False
                self.where = self.ray.get(self.starting)
        except self.ray.exceptions.RayError as error:
            self.stop(0)
            self._failures += 1
            if self._failures >= STARTS:
                raise FailedWork(
                    f"launch: no worker starts on Ray: {_line(error)}; do the nodes have Python, "
                    "TensorFlow and Keras as here?"
                ) from None
            self._start()
            return False
        self.starting, self._failures = None, 0
        return True

    def _start(self) -> None:
        self._actor = self._slot.remote(*self.arguments)
        self.starting = self._actor.whereabouts.remote()
        self.forget()

    def renew(self) -> None:
        self.stop(0)
        self._start()

    def send(self, job: Job) -> None:
        files = {}
        initial = Path(job.directory) / "initial.keras"
        if not self.where["shared"] and initial.exists():
            files[initial.name] = initial.read_bytes()
        self.hearing = self._actor.begin.remote(job, files)

    def hear(self) -> list[Message]:
        try:
            with _calling():
                said = self.ray.get(self.hearing)
        except self.ray.exceptions.RayError as error:
            self.stop(0)
            return [Lost(f"the worker on {self.where['node']} died: {_line(error)}")]
        said = [unpacked(one) if isinstance(one, Delivered) else one for one in said]
        ended = any(isinstance(one, Outcome) for one in said)
        self.hearing = None if ended else self._actor.hear.remote()
        return said

    def ask(self) -> None:
        if self.hearing is not None:
            with contextlib.suppress(Exception):  # the cluster may be gone
                self._actor.end.remote()

    def stop(self, seconds: float = 5.0) -> None:
        end = time.monotonic() + seconds
        while self.hearing is not None and (left := end - time.monotonic()) > 0:
            try:
                if not self.ray.wait([self.hearing], timeout=left)[0]:
                    break
                said = self.ray.get(self.hearing)
            except Exception:  # its death or, of a cluster that is gone, whatever Ray raises
                break
            ended = any(isinstance(one, Outcome | Delivered) for one in said)
            self.hearing = None if ended else self._actor.hear.remote()
        if self._actor is not None:
            with contextlib.suppress(Exception):  # the cluster may be gone
                self.ray.kill(self._actor, no_restart=True)
        self._actor = self.hearing = self.starting = None


def unpacked(delivered: Delivered) -> Outcome:
    """The outcome, its files written here."""
    for name, content in delivered.files.items():
        target = Path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f"{target.name}.writing")
        unfinished.write_bytes(content)
        os.replace(unfinished, target)
    return delivered.outcome


def _line(error: Exception) -> str:
    """What Ray has to say of a death, without its advice."""
    text = str(getattr(error, "cause", None) or error).strip()
    for mark in ("The actor is dead because ", "The actor died because "):
        if mark in text:
            text = text.partition(mark)[2]
    text = text.partition(" Some common causes")[0].strip().partition("\n")[0]
    return text.strip().rstrip(".") or type(error).__name__


@contextlib.contextmanager
def _calling() -> Iterator[None]:
    """What a signal's handler raises inside Ray's compiled code comes out as a SystemError, and a
    cluster at ray:// that went away as a ConnectionError."""
    try:
        yield
    except SystemError:
        stop_if_asked()
        raise
    except ConnectionError as error:
        stop_if_asked()
        raise FailedWork(
            f"launch.address: the cluster went away: {_line(error)}; start it again, and the same "
            "command continues"
        ) from None
