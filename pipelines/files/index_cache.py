"""What was found in image files, kept on disk: a file is decoded again only once it has changed.

Lives in `.ilsvrc/.cache` of the working folder, never beside the images. A cache that cannot be
written is done without; one that cannot be read is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

FOLDER = Path(".ilsvrc") / ".cache"
FORMAT = 3  # raise it when what is stored, or what a check finds, changes


@dataclass(frozen=True)
class Index:
    """Columns, one row an image.

    names        paths relative to the source
    offsets      first byte in an archive; -1 = a file of its own
    sizes        bytes
    stamps       [n, 2], times of the last change of contents and of metadata, nanoseconds
    shapes       [n, 2], height and width as stored
    orientations EXIF 1..8
    digests      [n, 32], sha256 of the bytes
    reasons      why an image cannot be used; "" = decoded whole
    changed      names that an earlier index had with other contents, or that are gone since; not
                 kept on disk
    """

    names: list[str]
    offsets: np.ndarray
    sizes: np.ndarray
    stamps: np.ndarray
    shapes: np.ndarray
    orientations: np.ndarray
    digests: np.ndarray
    reasons: list[str]
    changed: tuple[str, ...] = ()

    def rows(self, keep: np.ndarray) -> Index:
        """The rows at these positions."""
        return Index(
            [self.names[i] for i in keep],
            self.offsets[keep],
            self.sizes[keep],
            self.stamps[keep],
            self.shapes[keep],
            self.orientations[keep],
            self.digests[keep],
            [self.reasons[i] for i in keep],
        )

    def find(
        self, names: list[str], offsets: np.ndarray, sizes: np.ndarray, stamps: np.ndarray
    ) -> np.ndarray:
        """int64 [n]: the row of each image; -1 for one that is new or has changed."""
        if names == self.names:
            row = np.arange(len(names))
        else:
            rows = {name: i for i, name in enumerate(self.names)}
            row = np.array([rows.get(name, -1) for name in names], np.int64)
        if len(self.names) == 0:
            return np.full(len(names), -1)
        same = (row >= 0) & (self.offsets[row] == offsets) & (self.sizes[row] == sizes)
        same &= (self.stamps[row] == stamps).all(axis=1)
        return np.where(same, row, -1)


COLUMNS = [field.name for field in fields(Index) if field.name != "changed"]


def cache_file(kind: str, *parts: str) -> Path:
    """Where the cache of something lies, named after what it depends on."""
    key = hashlib.sha256("\0".join((kind, str(FORMAT), *parts)).encode("utf-8", "surrogateescape"))
    return FOLDER / f"{kind}-{key.hexdigest()[:24]}.npz"


def load_index(path: Path) -> Index | None:
    """An index saved before; None when there is none, or it is damaged."""
    columns = load_columns(path, COLUMNS)
    if columns is None:
        return None
    index = Index(**columns)  # type: ignore[arg-type]  # of the types that save_index was given
    return index if {len(column) for column in columns.values()} == {len(index.names)} else None


def save_index(path: Path, index: Index) -> None:
    """Atomic: a reader finds the old file or the new one."""
    save_columns(path, {name: getattr(index, name) for name in COLUMNS})


def load_columns(path: Path, names: list[str]) -> dict[str, np.ndarray | list[str]] | None:
    """Arrays and lists of texts from `save_columns`; None when missing or damaged."""
    try:
        # np.load checks every member's CRC, but leaves a file that is no archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            columns: dict[str, np.ndarray | list[str]] = {}
            for name in names:
                if name in stored:
                    columns[name] = stored[name]
                else:
                    text = stored[f"{name}.texts"].tobytes().decode("utf-8", "surrogateescape")
                    columns[name] = text.split("\0")[:-1]
            return columns
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def save_columns(path: Path, columns: Mapping[str, np.ndarray | list[str]]) -> None:
    """Atomic; does nothing where the folder cannot be written."""
    arrays = {}
    for name, column in columns.items():
        if isinstance(column, list):
            text = "".join(f"{value}\0" for value in column).encode("utf-8", "surrogateescape")
            arrays[f"{name}.texts"] = np.frombuffer(text, np.uint8)
        else:
            arrays[name] = column
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # the stubs read names as options
        os.replace(temporary, path)
    except OSError:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
