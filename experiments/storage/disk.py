"""Bytes of files: one that has several names is there once, and gone with the last of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from experiments.presentation.formatting import si


def files(path: Path) -> Iterator[Path]:
    """All files below a folder, or the file itself; links to elsewhere are not followed."""
    if path.is_symlink() or not path.is_dir():
        if path.is_symlink() or path.exists():
            yield path
        return
    for folder, folders, names in os.walk(path):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        yield from (Path(folder, name) for name in [*names, *links])


class Once:
    """Bytes of files, each of them counted where it is met first."""

    def __init__(self) -> None:
        self._met: set[tuple[int, int]] = set()

    def size(self, path: Path) -> int:
        """Of one file; 0 where it was met before, or is gone meanwhile."""
        try:
            status = path.lstat()
        except OSError:
            return 0
        identity = status.st_dev, status.st_ino
        if identity in self._met:
            return 0
        self._met.add(identity)
        return status.st_size

    def sizes(self, paths: Iterable[Path]) -> int:
        """Of all files below these."""
        return sum(self.size(file) for path in paths for file in files(path))


def in_words(size: int) -> str:
    """Bytes for people: 512 B, 34.2 MB."""
    return f"{size} B" if size < 1000 else f"{si(size)}B"


def freed(paths: Iterable[Path]) -> int:
    """Bytes that the disk has again once these are removed with all below them."""
    names: dict[tuple[int, int], int] = {}
    total = 0
    for file in (file for path in paths for file in files(path)):
        try:
            status = file.lstat()
        except OSError:
            continue
        identity = status.st_dev, status.st_ino
        names[identity] = names.get(identity, 0) + 1
        if names[identity] == status.st_nlink:
            total += status.st_size
    return total
