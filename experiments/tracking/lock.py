"""One process at a time on a folder, and nobody locked out by one that died."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import psutil

from experiments.errors import BadInput


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder, made if need be; the file `lock` in it names the holder.

    The kernel drops the lock with the process, kill -9 included. Where the file system has no
    locks, or the holder is on another machine, the name decides.

    Raises:
        BadInput: another process holds it, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / "lock").open("a+")
    except OSError as error:
        raise BadInput(
            f"{folder}: cannot be written ({error.strerror}); "
            "run from a folder that you may write to"
        ) from None
    with opened as file:
        _take(file, folder)
        try:
            file.truncate(0)
            file.write(json.dumps(_process_name()))
            file.flush()
            yield
        finally:
            file.truncate(0)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until nobody else is at this, in this folder; nothing stays there.

    For steps of seconds, such as making a database. Where the file system has no locks for
    folders, it does not wait.
    """
    number = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def check_free(folders: Iterable[Path]) -> None:
    """Refuse to start where another process is at work.

    Raises:
        BadInput: it holds one of the folders.
    """
    for folder in folders:
        if (folder / "lock").exists():
            with held(folder):
                pass


def holder(folder: Path) -> dict[str, Any] | None:
    """Who holds a folder now, None if nobody does."""
    try:
        name = json.loads((folder / "lock").read_text())
    except (OSError, ValueError):
        return None
    return name if _lives(name) else None


def _take(file: IO[str], folder: Path) -> None:
    supported = True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except BlockingIOError:
        free = False
    except OSError:
        free, supported = True, False
    file.seek(0)
    try:
        name = json.loads(file.read())
    except ValueError:
        name = {}
    elsewhere = name.get("host", socket.gethostname()) != socket.gethostname()
    # A lock of this machine that was free is stale, even if its number now belongs to another.
    if free and not elsewhere and (supported or not _lives(name)):
        return
    fix = "wait for it, or stop it"
    if elsewhere:
        fix = f"if it runs no longer, delete {folder / 'lock'}"
    who = f"process {name.get('pid', '?')} on {name.get('host', 'this machine')}"
    raise BadInput(f"{folder}: in use by {who}; {fix}")


def _process_name() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": psutil.Process().create_time(),
    }


def _lives(name: dict[str, Any]) -> bool:
    if not name:
        return False
    if name["host"] != socket.gethostname():
        return True  # who knows
    try:
        return bool(psutil.Process(name["pid"]).create_time() == name["started"])
    except psutil.Error:
        return False
