"""Servers as they are in real use, started and stopped by the tests: MLflow's own, PostgreSQL."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from experiments.tracking.store import answers

_reserved: list[socket.socket] = []


def free_port() -> int:
    """A port that nobody else is given as long as this process lives.

    It stays bound without anybody listening. On Linux a server that asks for SO_REUSEADDR, as they
    all do, may listen there all the same; elsewhere the port is let go, and somebody might be
    quicker.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("", 0))
    port = int(holder.getsockname()[1])
    if sys.platform == "linux":
        _reserved.append(holder)
    else:
        holder.close()
    return port


class Mlflow:
    """`mlflow server` on a database, with files for artifacts, at one address for good."""

    def __init__(self, store: str, folder: Path):
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._command = [
            sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store,
            "--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1",
            "--port", str(self.port),
        ]  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, workers: int = 1) -> None:
        """Start it, and return at once. Each worker costs seconds."""
        log = (self.folder / "server.log").open("ab")
        self.process = subprocess.Popen(
            [*self._command, "--workers", str(workers)],
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # its workers are killed with it
        )
        log.close()

    def wait(self) -> None:
        """Until it answers."""
        for _ in range(900):
            assert self.process
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            if answers(self.uri):
                return
            time.sleep(0.1)
        raise AssertionError((self.folder / "server.log").read_text())

    def kill(self) -> None:
        """As a power cut does."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def postgres_programs() -> Path | None:
    """The folder of initdb and postgres, None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += [Path(p).parent for p in sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))]
    return next((place for place in reversed(places) if (place / "postgres").exists()), None)


@contextlib.contextmanager
def postgres(programs: Path, password: str) -> Iterator[str]:
    """The URI of a fresh, empty database, with its password in it; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # a socket's path has 107 characters
    who: dict[str, object] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        who = {"user": "postgres", "group": "postgres", "extra_groups": []}
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "cwd": folder, **who}
    secret = folder / "password"
    secret.write_text(password)
    secret.chmod(0o644)
    port, data = free_port(), str(folder / "data")
    try:
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "suite", "--no-sync", "--auth", "scram-sha-256",
             "--pwfile", secret],
            check=True, **quiet,
        )  # type: ignore[call-overload] # fmt: skip
        command = [
            programs / "postgres", "-D", data, "-k", folder, "-h", "127.0.0.1", "-p", port,
            "-c", "fsync=off", "-c", "max_connections=50",
        ]  # fmt: skip
        server = subprocess.Popen([str(word) for word in command], **quiet)  # type: ignore[call-overload]
        try:
            while not _listens(port):
                assert server.poll() is None, server.communicate()[0]
                time.sleep(0.05)
            yield f"postgresql://suite:{password}@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGQUIT)
            server.communicate(timeout=20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
