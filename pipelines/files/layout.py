"""What a directory holds: image files and the folders below, by name, no file opened.

Each directory is listed once and each file looked up once, several folders at a time.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.errors import SourceError
from pipelines.files.image_header import EXTENSIONS, SUSPECTS
from pipelines.files.verify import Files, stamps_of

SCANNERS = 16  # folders listed at a time: on a network drive each waits for the server

# What systems put beside files: previews and deleted files, no images of the set.
SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found")
EMPTY = np.zeros(0, np.int64)


class Scan(NamedTuple):
    """What is right in a directory.

    folders    names, sorted
    dangling   names of links to nothing, other than those named as images
    key        of the directory, whatever the links that lead there
    """

    images: Files
    folders: list[str]
    dangling: list[str]
    key: tuple[int, int]


@dataclass(eq=False)
class Folder:
    """A directory below the root of a set, with all that is below it.

    name      relative to the root; "." = the root
    path      to open it
    scan      what is right in it; nothing where it is a link to a folder above
    folders   by their own names, sorted
    above     the folder that it is in; None for the root
    leads_to  the folder above that it is a link to
    """

    name: str
    path: str
    scan: Scan
    above: Folder | None = None
    folders: dict[str, Folder] = field(default_factory=dict)
    leads_to: Folder | None = None

    @property
    def base(self) -> str:
        return os.path.basename(self.path)

    def walk(self) -> Iterator[Folder]:
        """This folder and those below it, each before those that it holds."""
        waiting = [self]
        while waiting:
            folder = waiting.pop()
            yield folder
            waiting += reversed(folder.folders.values())

    @cached_property
    def images(self) -> int:
        """Image files in it and below."""
        return sum(len(folder.scan.images) for folder in self.walk())


def read_tree(root: Path) -> Folder:
    """Everything below `root`, other than hidden folders and those of the system.

    Raises SourceError for a folder that cannot be listed.
    """
    top = Folder(".", os.fspath(root), scan(root, root))
    level = [top]
    with ThreadPoolExecutor(SCANNERS) as pool:
        while level:
            below = [(above, name) for above in level for name in above.scan.folders]
            paths = [os.path.join(above.path, name) for above, name in below]
            level = []
            for (above, name), path, listed in zip(
                below, paths, pool.map(lambda path: scan(root, path), paths), strict=True
            ):
                relative = name if above is top else os.path.join(above.name, name)
                folder = Folder(relative, path, listed, above)
                above.folders[name] = folder
                higher: Folder | None = above
                while higher is not None and higher.scan.key != listed.key:
                    higher = higher.above
                if higher is None:
                    level.append(folder)
                else:
                    folder.leads_to = higher
                    folder.scan = Scan(join([]), [], [], listed.key)
    return top


def join(parts: list[Files]) -> Files:
    """One after another."""
    problems: dict[int, str] = {}
    names: list[str] = []
    paths: list[str] = []
    for part in parts:
        problems |= {len(names) + i: why for i, why in part.problems.items()}
        names += part.names
        paths += part.paths
    return Files(
        names,
        paths,
        np.concatenate([EMPTY, *(part.offsets for part in parts)]),
        np.concatenate([EMPTY, *(part.sizes for part in parts)]),
        np.concatenate([EMPTY.reshape(0, 2), *(part.stamps for part in parts)]),
        problems,
    )


def list_images(root: Path, folder: Path) -> Files:
    """The image files right in `folder`, by name; other and hidden files do not count.

    Names are relative to `root`. Raises SourceError when the folder cannot be listed.
    """
    return scan(root, folder).images


def list_folders(root: Path, folders: list[Path]) -> list[Files]:
    """`list_images` of several folders at a time, in order."""
    with ThreadPoolExecutor(SCANNERS) as pool:
        return list(pool.map(lambda folder: list_images(root, folder), folders))


def is_image(name: str) -> bool:
    """Does a file of this name promise an image?"""
    return name.lower().endswith(EXTENSIONS + SUSPECTS)


def scan(root: Path, folder: str | Path) -> Scan:
    """One look at a directory: names of images are relative to `root`, what is hidden left out.

    Raises SourceError when the folder cannot be listed.
    """
    prefix = os.path.relpath(folder, root)
    prefix = "" if prefix == "." else prefix + os.sep
    images: list[tuple[str, int, tuple[int, int], str]] = []
    folders, dangling = [], []
    try:
        directory = os.stat(folder)
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(".") or name in SYSTEM_FOLDERS:
                    continue
                if not name.lower().endswith(EXTENSIONS + SUSPECTS):
                    if entry.is_dir():
                        folders.append(name)
                    elif entry.is_symlink() and not entry.is_file():
                        dangling.append(name)
                    continue
                try:
                    status = entry.stat()
                except OSError as error:  # such as a link to itself
                    images.append((name, 0, (0, 0), f"cannot be read ({error.strerror})"))
                    continue
                if stat.S_ISREG(status.st_mode):
                    images.append((name, status.st_size, stamps_of(status), ""))
                elif stat.S_ISDIR(status.st_mode):
                    folders.append(name)
                else:  # reading a pipe would wait for ever
                    images.append((name, 0, (0, 0), "is not a regular file"))
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else folder
        raise SourceError(f"folder: {where} cannot be read ({error.strerror})") from None
    images.sort()
    files = Files(
        [prefix + name for name, _, _, _ in images],
        [os.path.join(folder, name) for name, _, _, _ in images],
        np.full(len(images), -1, np.int64),
        np.array([size for _, size, _, _ in images], np.int64),
        np.array([stamps for _, _, stamps, _ in images], np.int64).reshape(-1, 2),
        {i: why for i, (_, _, _, why) in enumerate(images) if why},
    )
    return Scan(files, sorted(folders), sorted(dangling), (directory.st_dev, directory.st_ino))
