"""To a Ray cluster and back: an existing one by its address, or one of this machine alone."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from experiments.config.launch import Launch
from experiments.errors import BadInput, first_line
from experiments.runtime.startup import keras_backend

ROOMS = ("models", "pipelines", "tuning", "experiments")
STORE_BYTES = 256 * 2**20  # of a Ray of this machine: jobs are index arrays, outcomes small
CONNECT_SECONDS = 10.0


class Cluster:
    """A connection to Ray for as long as an executor is open.

    Ray that this process is connected to already (as in a notebook) is used, and left as it is.
    """

    def __init__(self, launch: Launch):
        self.ray = load_ray(local=launch.address is None)
        self.launch = launch
        self.local = launch.address is None
        self._own = False
        self._temporary: str | None = None

    def open(self) -> None:
        """Connect.

        Raises:
            BadInput: nobody answers at launch.address, or it runs other versions.
        """
        if self.ray.is_initialized():
            return
        handlers = _handlers()
        try:
            self.ray.init(**(self._of_this_machine() if self.local else self._elsewhere()))
        except Exception as error:  # Ray raises all kinds, Exception itself among them
            self._remove()
            first = first_line(error)
            if self.local:
                raise BadInput(
                    f"launch.executor: ray does not start on this machine: {first}; "
                    "use launch.executor=processes"
                ) from None
            raise BadInput(
                f"launch.address: {self.launch.address} does not work: {first}; start it with "
                "`ray start --head`, set RAY_AUTH_MODE=token if it asks for one, or leave the "
                "address out for a Ray of this machine"
            ) from None
        finally:
            _restore(handlers)
        self._own = True

    def close(self) -> None:
        """Leave the cluster; one of this machine ends."""
        if self._own:
            self.ray.shutdown()
            self._own = False
        self._remove()

    def lacks(self, needs: dict[str, float]) -> str | None:
        """What no node has so much of, used or not; None where one has all of it."""
        nodes = [node for node in self.ray.nodes() if node["Alive"]]
        if any(
            all(node["Resources"].get(name, 0) >= count for name, count in needs.items())
            for node in nodes
        ):
            return None
        wanted = ", ".join(f"{name} {count:g}" for name, count in needs.items())
        return f"none of the cluster's {len(nodes)} nodes has {wanted}"

    def _of_this_machine(self) -> dict[str, Any]:
        from experiments.runtime.machine import cores

        each, workers = cores_of(self.launch, cores()), self.launch.workers
        # Ray's sockets lie in it, and their paths may have 107 characters
        home = "/tmp" if os.access("/tmp", os.W_OK) else None  # nosec B108  # mkdtemp makes it 0700
        self._temporary = tempfile.mkdtemp(prefix="ilsvrc-ray-", dir=home)
        return {
            "address": "local",
            "num_cpus": max(cores(), int(each * workers + 0.999)),
            "include_dashboard": False,
            "log_to_driver": False,
            "logging_level": logging.ERROR,
            "object_store_memory": STORE_BYTES,
            "_temp_dir": self._temporary,
        }

    def _elsewhere(self) -> dict[str, Any]:
        answers(str(self.launch.address))
        modules = [str(Path(str(import_module(name).__file__)).parent) for name in ROOMS]
        variables = {"KERAS_BACKEND": keras_backend()}  # another node may have another keras.json
        if level := os.environ.get("TF_CPP_MIN_LOG_LEVEL"):
            variables["TF_CPP_MIN_LOG_LEVEL"] = level
        return {
            "address": self.launch.address,
            "log_to_driver": False,
            "logging_level": logging.ERROR,
            "runtime_env": {"py_modules": modules, "env_vars": variables},
        }

    def _remove(self) -> None:
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None


def load_ray(*, local: bool) -> ModuleType:
    """Ray, told to report nothing to its makers, and to listen on this machine only where local.

    Raises:
        BadInput: it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else a warning about it
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # else calls after ray:// broke start one
    if local:  # its name is of the systems where this is the default: nodes on 127.0.0.1
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        os.environ.setdefault("RAY_worker_niceness", "0")  # as elsewhere, for cost is measured
    try:
        import ray
        from ray._private import worker
    except ImportError:
        raise BadInput(
            "launch.executor: ray needs the package ray; pip install 'ilsvrc-suite[ray]'"
        ) from None
    # A thread of Ray's prints each death of a worker on stdout, which --json has; the executor
    # says it on stderr, in a line.
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None
    return ray


def answers(address: str) -> None:
    """Look whether anybody listens there: Ray itself tries for minutes, and says so each second.

    Raises:
        OSError: nobody does.
        ValueError: it is no address.
    """
    if address == "auto":
        return
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.scheme not in ("", "ray") or not parts.hostname or not parts.port:
        raise ValueError("expected auto, ray://HOST:10001 or HOST:6379")
    socket.create_connection((parts.hostname, parts.port), CONNECT_SECONDS).close()


def cores_of(launch: Launch, cores: int) -> float:
    """CPUs that a worker asks Ray for: as set, else this machine's shared out, else 1."""
    if launch.cpus is not None:
        return launch.cpus
    return float(max(1, cores // launch.workers)) if launch.address is None else 1.0


def gpus_of(launch: Launch, gpus: int) -> float:
    """GPUs that a worker asks Ray for: as set, else this machine's shared out, else none."""
    if launch.gpus is not None:
        return launch.gpus
    if launch.address is not None or not gpus:
        return 0.0
    return min(1.0, int(10_000 * gpus / launch.workers) / 10_000)  # as finely as Ray divides them


def _handlers() -> dict[int, Any]:
    """Signal handlers that Ray would replace."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
