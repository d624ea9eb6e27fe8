"""Snapshots of a fit on disk: written whole or not at all, and known to be whole when read.

A snapshot is one .npz, `SERIAL-CHECKSUM.npz`: arrays, and a JSON document that says what they are.
It is written under another name, synced and renamed, and the name holds its SHA-256, so that a torn
or damaged file is found out and the one before it is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from experiments.errors import FailedWork

FOLDER = "snapshots"
DOCUMENT = "document"  # the array that holds the JSON
DIGITS = 32  # of the checksum, in the name


@dataclass(frozen=True)
class Snapshot:
    """State of a fit: arrays by name, and everything else as JSON has it."""

    arrays: dict[str, np.ndarray]
    state: dict[str, Any]


class Snapshots:
    """The snapshots of one fit in its directory; the newest `keep` stay.

    Args:
        directory: of the fit.
        identity: what a snapshot must be of to be used: settings, data, versions.
        keep: number of them, besides the one that is being written.
    """

    def __init__(self, directory: Path, identity: Mapping[str, Any], keep: int):
        self.folder = directory / FOLDER
        self.identity = json.loads(json.dumps(identity))
        self.keep = keep
        self._kept: list[Path] = []
        """Those of this identity that are known to be whole, oldest first."""

    def newest(self, say: Callable[[str], None]) -> Snapshot | None:
        """The newest snapshot that is whole and of this fit; `say` hears of those passed over."""
        for torn in self.folder.glob("*.writing"):  # of a process that was killed while it wrote
            torn.unlink(missing_ok=True)
        for path in reversed(self._files()):
            try:
                snapshot = _read(path)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                say(f"{path}: damaged ({error}); the snapshot before it is used, if there is one")
                continue
            theirs = snapshot.state.pop("identity")
            if theirs != self.identity:
                say(f"{path}: not used, for it was taken with {_difference(theirs, self.identity)}")
                continue
            self._kept = [path]
            return snapshot
        return None

    @property
    def last(self) -> Path | None:
        """The newest that was written or read here."""
        return self._kept[-1] if self._kept else None

    def write(self, snapshot: Snapshot) -> Path:
        """Write a snapshot, and then delete those that are no longer kept.

        Raises:
            FailedWork: it cannot be written, such as on a full disk; the ones before it stay.
        """
        document = json.dumps(snapshot.state | {"identity": self.identity}, default=_plain)
        arrays = snapshot.arrays | {DOCUMENT: np.frombuffer(document.encode(), np.uint8)}
        unfinished = self.folder / f"{os.getpid()}.writing"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            serial = 1 + max((_serial(path) for path in self._files()), default=0)
            with unfinished.open("wb") as file:
                checked = _Checked(file)
                with zipfile.ZipFile(checked, "w") as archive:
                    for name, array in arrays.items():
                        with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                            np.lib.format.write_array(entry, array, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
            path = self.folder / f"{serial:06d}-{checked.checksum()}.npz"
            os.replace(unfinished, path)
            _sync(self.folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            last = f"the last snapshot, {self.last.name}, is whole" if self.last else "none yet"
            raise FailedWork(
                f"{self.folder}: no snapshot could be written ({error.strerror or error}); {last}; "
                "make room and run the same command to continue, or set "
                "train.checkpoint.every_seconds=0"
            ) from None
        self._kept.append(path)
        self._kept = self._kept[-self.keep :]
        for other in set(self.folder.iterdir()) - set(self._kept):
            with contextlib.suppress(OSError):
                other.unlink()
        return path

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*-*.npz"), key=lambda path: (_serial(path), path.name))


def clear(directory: Path) -> None:
    """Delete the snapshots of a fit that has ended."""
    shutil.rmtree(directory / FOLDER, ignore_errors=True)


def _read(path: Path) -> Snapshot:
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
    if checksum != path.stem.rpartition("-")[2]:
        raise ValueError("its checksum is not the one in its name")
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return Snapshot(arrays, json.loads(arrays.pop(DOCUMENT).tobytes()))


def _serial(path: Path) -> int:
    number = path.name.partition("-")[0]
    return int(number) if number.isdecimal() else 0


def _difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """What of two identities is not the same, in words."""
    names = [key for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)]
    return ", ".join(f"{key} {theirs.get(key)} (now {ours.get(key)})" for key in sorted(names))


class _Checked:
    """A file to write to from its beginning to its end, and the checksum of what was written."""

    def __init__(self, file: IO[bytes]):
        self._file, self._digest = file, hashlib.sha256()

    def write(self, data: Any) -> int:
        self._digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """Nothing: whoever opened the file closes it."""

    def checksum(self) -> str:
        return self._digest.hexdigest()[:DIGITS]


def _sync(folder: Path) -> None:
    """A rename is on the disk when its folder is."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written to a snapshot")
