"""What was found in image files, kept on disk: a file is read again only once it has changed.

Lives in `.ilsvrc/.cache` of the working folder, never beside the images. A cache that cannot be
written is done without; one that cannot be read is made anew. While many files are looked at, what
is new is kept in parts beside the index, so that saving never costs more than what is new.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(".ilsvrc") / ".cache"
FORMAT = 3  # raise it when what is stored, or what a check finds, changes
PART = ".part-"


QUICK_BYTES, SHA256_BYTES = 16, 32


@dataclass(frozen=True)
class Index:
    """Columns, one row an image.

    names        paths relative to the source
    offsets      first byte in an archive; -1 = a file of its own
    sizes        bytes
    stamps       [n, 2], times of the last change of contents and of metadata, nanoseconds
    shapes       [n, 2], height and width as stored
    orientations EXIF 1..8
    quick        [n, 16], digests of size, first and last bytes (`ends.quick_digest`)
    digests      [n, 32], sha256 of the bytes; zeros where they were not all read
    decoded      bool [n], decoded whole, or known to be no image that can be
    reasons      why an image cannot be used; "" = it can, as far as was looked
    changed      names that an earlier index had with other contents, or that are gone since; not
                 kept on disk
    root         names the source; not kept on disk
    """

    names: list[str]
    offsets: np.ndarray
    sizes: np.ndarray
    stamps: np.ndarray
    shapes: np.ndarray
    orientations: np.ndarray
    quick: np.ndarray
    digests: np.ndarray
    decoded: np.ndarray
    reasons: list[str]
    changed: tuple[str, ...] = ()
    root: str = ""

    @classmethod
    def blank(
        cls, names: list[str], offsets: np.ndarray, sizes: np.ndarray, stamps: np.ndarray
    ) -> Index:
        """Nothing seen yet."""
        n = len(names)
        return cls(
            names,
            offsets,
            sizes,
            stamps,
            np.zeros((n, 2), np.int32),
            np.ones(n, np.uint8),
            np.zeros((n, QUICK_BYTES), np.uint8),
            np.zeros((n, SHA256_BYTES), np.uint8),
            np.zeros(n, bool),
            [""] * n,
        )

    def rows(self, keep: np.ndarray) -> Index:
        """The rows at these positions."""
        if len(keep) == len(self.names) and (keep == np.arange(len(keep))).all():
            return self
        return Index(**{name: _rows(getattr(self, name), keep) for name in COLUMNS})

    def find(
        self, names: list[str], offsets: np.ndarray, sizes: np.ndarray, stamps: np.ndarray
    ) -> np.ndarray:
        """int64 [n]: the row of each image, the last of its name; -1 for one that is new or has
        changed."""
        if len(self.names) == 0:
            return np.full(len(names), -1)
        if names == self.names:
            row = np.arange(len(names))
        else:
            rows = {name: i for i, name in enumerate(self.names)}
            row = np.array([rows.get(name, -1) for name in names], np.int64)
        same = (row >= 0) & (self.offsets[row] == offsets) & (self.sizes[row] == sizes)
        same &= (self.stamps[row] == stamps).all(axis=1)
        return np.where(same, row, -1)

    def take(self, other: Index, at: np.ndarray, rows: np.ndarray) -> None:
        """What `other` found in its `rows` is so of the images at these positions."""
        for name in ("shapes", "orientations", "quick", "digests", "decoded"):
            getattr(self, name)[at] = getattr(other, name)[rows]
        bad = {row: reason for row, reason in enumerate(other.reasons) if reason}
        if bad:
            for position, row in zip(at.tolist(), rows.tolist(), strict=True):
                self.reasons[position] = bad.get(row, "")


COLUMNS = [field.name for field in fields(Index) if field.name not in ("changed", "root")]


def cache_file(kind: str, *parts: str) -> Path:
    """Where the cache of something lies, named after what it depends on."""
    key = hashlib.sha256("\0".join((kind, str(FORMAT), *parts)).encode("utf-8", "surrogateescape"))
    return FOLDER / f"{kind}-{key.hexdigest()[:24]}.npz"


def load_index(path: Path) -> Index | None:
    """An index saved before, with its parts; None when there is none, or it is damaged."""
    read = [load_columns(file, COLUMNS) for file in [path, *parts_of(path)]]
    stored = [columns for columns in read if columns is not None and _even(columns)]
    if not stored:
        return None
    if len(stored) == 1:
        return Index(**stored[0])
    return Index(**{name: _joined([columns[name] for columns in stored]) for name in COLUMNS})


def _rows(column: Any, keep: np.ndarray) -> Any:
    return [column[i] for i in keep.tolist()] if isinstance(column, list) else column[keep]


def _joined(columns: list[Any]) -> Any:
    if isinstance(columns[0], list):
        return [text for column in columns for text in column]
    return np.concatenate(columns)


def _even(columns: Mapping[str, Any]) -> bool:
    return len({len(column) for column in columns.values()}) == 1


def save_index(path: Path, index: Index, parts: Iterable[Path] = ()) -> None:
    """Instead of what was kept, these parts included. Atomic: a reader finds the old or the new."""
    if save_columns(path, {name: getattr(index, name) for name in COLUMNS}):
        for part in parts:
            part.unlink(missing_ok=True)


def save_part(path: Path, index: Index) -> Path:
    """Beside what is kept: these rows count where an image is there twice."""
    part = path.with_name(f"{path.stem}{PART}{time.time_ns():020}-{os.getpid()}.npz")
    save_columns(part, {name: getattr(index, name) for name in COLUMNS})
    return part


def parts_of(path: Path) -> list[Path]:
    """What was kept beside an index, the oldest first."""
    return sorted(path.parent.glob(f"{path.stem}{PART}*.npz"))


def load_columns(path: Path, names: list[str]) -> dict[str, Any] | None:
    """Arrays and lists of texts from `save_columns`; None when missing or damaged."""
    try:
        # np.load checks every member's CRC, but leaves a file that is no archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            columns: dict[str, Any] = {}
            for name in names:
                if name in stored:
                    columns[name] = stored[name]
                else:
                    text = stored[f"{name}.texts"].tobytes().decode("utf-8", "surrogateescape")
                    columns[name] = text.split("\0")[:-1]
            return columns
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def save_columns(path: Path, columns: Mapping[str, np.ndarray | list[str]]) -> bool:
    """Atomic; False where the folder cannot be written."""
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
        return False
    return True
