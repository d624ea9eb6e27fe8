"""One process at a time on a folder, and nobody locked out by one that died."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import psutil

from experiments.errors import BadInput

LONGEST = 10_000  # bytes of a name
RETRIES, PAUSE = 5, 0.05  # at a lock that may only be looked at just now; seconds between them
WITHOUT_LOCKS = ("nolock", "local_lock=all", "local_lock=flock", "localflock", "nobrl")
"""Mount options by which other machines do not hear of a lock."""
SHARED = {"nfs", "nfs4", "ceph", "gpfs", "lustre", "ocfs2", "gfs2", "cifs", "smb3"}
"""File systems of several machines whose locks hold on all of them."""
UNSURE = {"9p", "virtiofs", "afs", "beegfs", "prl_fs", "vboxsf"}  # and fuse: some have, some not


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder, made if need be; the file `lock` in it names the holder.

    The kernel drops the lock with the process, kill -9 included. Where the file system has no
    locks, or they do not reach the holder's machine, the name decides.

    Raises:
        BadInput: another process holds it, or it cannot be written to.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((folder / "lock").open("a+b", buffering=0))
            _take(file, folder)
            file.truncate(0)
            file.write(json.dumps(_process_name()).encode())
        except OSError as error:
            raise BadInput(
                f"{folder}: cannot be written ({error.strerror}); "
                "run from a folder that you may write to, on a disk with room"
            ) from None
        try:
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
        with (folder / "lock").open("rb") as file:
            taken, name = _is_taken(file, fcntl.LOCK_SH), _name_in(file)
    except OSError:
        return None
    if taken:
        return name or {"pid": "?"}
    return name if taken is None and _lives(name) else None


def process(name: Mapping[str, Any]) -> str:
    """A holder in words."""
    return f"process {name.get('pid', '?')} on {name.get('host', 'this machine')}"


def _take(file: IO[bytes], folder: Path) -> None:
    for _ in range(RETRIES):
        taken = _is_taken(file, fcntl.LOCK_EX)
        if not taken:
            break
        time.sleep(PAUSE)
    name = _name_in(file)
    # A lock that was free is stale, even if its number now belongs to another process.
    if taken is False or (taken is None and not _lives(name)):
        return
    fix = "wait for it, or stop it"
    if taken is None and name.get("host") != socket.gethostname():
        fix = (
            "this file system does not show the locks of other machines: if it runs no longer, "
            f"delete {folder / 'lock'}"
        )
    raise BadInput(f"{folder}: in use by {process(name)}; {fix}")


def _is_taken(file: IO[bytes], kind: int) -> bool | None:
    """Does another process hold the lock? Else it is ours; None if that cannot be known."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    elsewhere = _name_in(file).get("host", socket.gethostname()) != socket.gethostname()
    return None if elsewhere and not _locks_reach(Path(file.name)) else False


def _locks_reach(file: Path) -> bool:
    """Would a lock of another machine be seen here? A disk of this one has none."""
    mounts = [m for m in psutil.disk_partitions(all=True) if _is_under(file, m.mountpoint)]
    if not mounts:
        return True
    mount = max(mounts, key=lambda m: len(m.mountpoint))
    if mount.fstype in SHARED:
        return not any(option in WITHOUT_LOCKS for option in mount.opts.split(","))
    return mount.fstype not in UNSURE and not mount.fstype.startswith("fuse")


def _is_under(file: Path, folder: str) -> bool:
    return file.resolve().is_relative_to(folder)


def _name_in(file: IO[bytes]) -> dict[str, Any]:
    """Who wrote its name last; empty if what is there is none."""
    file.seek(0)
    try:
        name = json.loads(file.read(LONGEST))
    except ValueError:
        return {}
    return name if isinstance(name, dict) else {}


def _process_name() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": psutil.Process().create_time(),
    }


def _lives(name: Mapping[str, Any]) -> bool:
    """As far as a name tells."""
    if not name:
        return False
    if name.get("host") != socket.gethostname():
        return True  # who knows
    try:
        return bool(psutil.Process(name["pid"]).create_time() == name["started"])
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False
