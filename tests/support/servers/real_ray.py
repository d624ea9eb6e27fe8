"""A Ray cluster as users start one: `ray start` for each node, on loopback addresses of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
from real_server import free_port

ROOM = 128 * 2**20  # bytes of each node's object store
START_SECONDS = 120.0

# This process may have settled that its own Ray binds to 127.0.0.1, where nodes are not joined.
JOINED = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1", "RAY_ADDRESS": ""}


class Node:
    """One core, and as many processes as Ray likes.

    Args:
        address: 127.0.0.2 and so on; Ray takes 127.0.0.1 for the machine's outer address. Its
            servers then listen on every interface, which no option of it changes: set a token.
        folder: of the log.
        options: of `ray start`.
    """

    def __init__(self, address: str, folder: Path, *options: str):
        self.address = address
        self._log = folder / f"{address}.log"
        command = [
            str(Path(sys.executable).with_name("ray")), "start", *options, "--block",
            f"--node-ip-address={address}", "--num-cpus=1", f"--object-store-memory={ROOM}",
            "--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats",
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                env=os.environ | JOINED,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Until it is part of the cluster."""
        end = time.monotonic() + START_SECONDS
        while "Ray runtime started" not in (said := self._log.read_text()):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.address} did not start: {said}")
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL to all of it, workers included, as when the power fails."""
        if self.process.poll() is None:
            starter = psutil.Process(self.process.pid)
            for process in (starter, *starter.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.wait()


class Cluster(NamedTuple):
    """Where it answers, and its nodes."""

    address: str
    client_address: str
    head: Node
    second: Node


@contextlib.contextmanager
def two_nodes() -> Iterator[Cluster]:
    """A head and a second node of this machine, for as long as the context lasts."""
    folder = Path(tempfile.mkdtemp(prefix="ilsvrc-", dir="/tmp"))  # sockets: 107 characters
    port, client_port = free_port(), free_port()
    address, client_address = f"127.0.0.2:{port}", f"ray://127.0.0.2:{client_port}"
    lead = (
        "--head", f"--port={port}", f"--ray-client-server-port={client_port}",
        f"--temp-dir={folder}", "--include-dashboard=false",
    )  # fmt: skip
    try:
        with (
            _started("127.0.0.2", folder, *lead) as head,
            _started("127.0.0.3", folder, f"--address={address}") as second,
        ):
            yield Cluster(address, client_address, head, second)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _started(address: str, folder: Path, *options: str) -> Iterator[Node]:
    node = Node(address, folder, *options)
    try:
        node.wait()
        yield node
    finally:
        node.kill()
