"""A worker in a Ray cluster: what runs on its node. `launch.ray_executor` is its other end.

It is an actor, so that it keeps one compiled network. Its fits run in one thread of it, always the
same (Keras keeps state by thread); its methods answer from others, at once or within seconds.
"""

from __future__ import annotations

import hashlib
import os
import queue
import shutil
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.errors import Stopped, ask_to_stop
from experiments.jobs.job import Job, Outcome
from experiments.runtime.share import Share

HEAR_SECONDS = 5.0


@dataclass(frozen=True)
class Delivered:
    """An outcome with its files, from a node that does not see the coordinator's folder."""

    outcome: Outcome
    files: dict[str, bytes]
    """By the path that the outcome names."""


class Slot:
    """The actor.

    Args:
        share: threads, and whether other workers compute on its device.
        folder: the coordinator's.
        token: a file in it, by which the folder is known to be the same one here.
    """

    def __init__(self, share: Share, folder: str, token: str):
        share.take()
        self._inbox: queue.SimpleQueue[tuple[Job, dict[str, bytes]]] = queue.SimpleQueue()
        self._said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.shared = (Path(folder) / token).exists()
        # Beside the token, a node's workers share it: a job that is tried again on this node goes
        # on from its snapshot.
        self._root = Path(tempfile.gettempdir()) / Path(token).name
        if not self.shared:
            self._root.mkdir(parents=True, exist_ok=True)
        os.chdir(folder if self.shared else self._root)
        threading.Thread(target=self._live, daemon=True).start()

    def whereabouts(self) -> dict[str, Any]:
        """Where this is, and whether it sees the coordinator's folder."""
        import ray

        return {
            "node": ray.util.get_node_ip_address(),
            "node_id": ray.get_runtime_context().get_node_id(),
            "pid": os.getpid(),
            "shared": self.shared,
        }

    def begin(self, job: Job, files: dict[str, bytes]) -> list[Any]:
        """Take a job, and the files of its directory; nothing is said yet."""
        self._inbox.put((job, files))
        return []

    def hear(self) -> list[Any]:
        """Events and the outcome, as they come; nothing after some seconds of silence."""
        said = []
        try:
            said.append(self._said.get(timeout=HEAR_SECONDS))
            while True:
                said.append(self._said.get_nowait())
        except queue.Empty:
            return said

    def end(self) -> None:
        """Stop between two updates; a fit that has snapshots takes one."""
        ask_to_stop()

    def _live(self) -> None:
        try:
            from experiments.runtime.startup import load_tensorflow

            load_tensorflow()  # while the coordinator opens the data
            from experiments.training import trainer  # noqa: F401
        except Exception:  # nosec B110  # the first job says so
            pass
        while True:
            self._said.put(self._attempt(*self._inbox.get()))

    def _attempt(self, job: Job, files: dict[str, bytes]) -> Outcome | Delivered:
        from experiments.fitting import fit

        local = job
        if not self.shared:  # where no shorter fit has left a snapshot, or this one elsewhere
            local = replace(job, directory=str(self._directory(job)), row="", row_goes_on=False)
        try:
            for name, content in files.items():
                target = Path(local.directory) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            outcome = fit.attempt(local, self._said.put)
            return outcome if self.shared else deliver(job, local, outcome)
        except Stopped:
            return Outcome(job.path, "killed", error="stopped")
        except BaseException as error:  # else the coordinator would wait for ever
            return Outcome(job.path, "failed", error=f"{type(error).__name__}: {error}")

    def _directory(self, job: Job) -> Path:
        return self._root / hashlib.sha256(job.directory.encode()).hexdigest()[:16]


def deliver(job: Job, local: Job, outcome: Outcome) -> Delivered:
    """The outcome of `local` as if it were of `job`, in the coordinator's folder, and its files."""
    here, there = Path(local.directory), Path(job.directory)
    files = {}

    def carried(path: str | None) -> str | None:
        if path is None:
            return None
        named = str(there / Path(path).relative_to(here))
        files[named] = Path(path).read_bytes()
        return named

    outcome.predictions, outcome.model = carried(outcome.predictions), carried(outcome.model)
    outcome.files = [str(carried(path)) for path in outcome.files]
    if outcome.bad_input:
        outcome.error = f"{outcome.error} (on another machine, which needs the same paths)"
    if outcome.status == "finished":
        shutil.rmtree(here, ignore_errors=True)
    return Delivered(outcome, files)
