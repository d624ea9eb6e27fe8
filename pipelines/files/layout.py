"""What a directory of class folders holds: names, labels and official splits, no file opened.

Each directory is listed once and each file looked up once, several folders at a time.
"""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.errors import SourceError
from pipelines.files.image_header import EXTENSIONS, SUSPECTS
from pipelines.files.verify import Files, stamps_of

SCANNERS = 16  # folders listed at a time: on a network drive each waits for the server
SPLIT_NAMES = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


class Listing(NamedTuple):
    """What a directory holds, before any file is opened."""

    files: Files
    labels: np.ndarray
    class_names: list[str]
    part: np.ndarray  # of each file: which official split, as a position in `parts`
    parts: list[str]  # empty without official splits


def list_directory(root: Path) -> Listing:
    """Classes and files by name. Raises SourceError when these are not images in class folders."""
    if not root.exists():
        raise SourceError(f"folder: {root} does not exist: check the path")
    if not root.is_dir():
        raise SourceError(f"folder: {root} is a file: expected a directory of class folders")
    folders, images = _scan(root)
    if not folders:
        if images:
            raise SourceError(
                f"folder: {root} has images but no class folders: put each class's images into a "
                "folder of its own, named after the class"
            )
        raise SourceError(f"folder: {root} has no images: expected class folders with images")
    named = {name.lower(): name for name in folders}
    official = {low: name for low, name in named.items() if low in SPLIT_NAMES}
    # A class may itself be called "train": a split is a folder that holds folders.
    official = {low: name for low, name in official.items() if _scan(root / name)[0]}
    if not official or ("train" not in official and len(official) < len(folders)):
        files, labels, names = _classes(root, root, folders)
        return Listing(files, labels, names, np.zeros(len(files), np.int64), [])
    if "train" not in official:
        raise SourceError(
            f"folder: {root} has {', '.join(sorted(official.values()))} but no train folder: add it"
        )
    return _official(root, official)


def _official(root: Path, official: dict[str, str]) -> Listing:
    parts: list[str] = []
    all_files: list[Files] = []
    all_labels, all_parts = [], []
    names: list[str] = []
    for low in SPLIT_NAMES:  # train comes first and sets the class names
        if low not in official:
            continue
        if SPLIT_NAMES[low] in parts:
            raise SourceError(
                f"folder: {root} has more than one validation folder: keep one of "
                f"{', '.join(name for key, name in official.items() if key.startswith('val'))}"
            )
        folder = root / official[low]
        files, labels, here = _classes(root, folder, _scan(folder)[0])
        names = names or here
        train = official["train"]
        for name in here:
            if name not in names:
                raise SourceError(
                    f"folder: class {name!r} of {official[low]} is missing from {train}: "
                    "add it there or remove it"
                )
        for name in names:
            if name not in here:
                raise SourceError(
                    f"folder: class {name!r} of {train} is missing from {official[low]}: "
                    "add it there or remove it"
                )
        all_parts.append(np.full(len(files), len(parts), np.int64))
        parts.append(SPLIT_NAMES[low])
        all_files.append(files)
        all_labels.append(labels)
    files = join(all_files)
    return Listing(files, np.concatenate(all_labels), names, np.concatenate(all_parts), parts)


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
        np.concatenate([part.offsets for part in parts]),
        np.concatenate([part.sizes for part in parts]),
        np.concatenate([part.stamps for part in parts]),
        problems,
    )


def list_images(root: Path, folder: Path) -> Files:
    """The image files right in `folder`, by name; other and hidden files do not count.

    Names are relative to `root`. Raises SourceError when the folder cannot be listed.
    """
    prefix = os.path.relpath(folder, root)
    prefix = "" if prefix == "." else prefix + os.sep
    images: list[tuple[str, int, tuple[int, int], str]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(".") or not name.lower().endswith(EXTENSIONS + SUSPECTS):
                    continue
                try:
                    status = entry.stat()
                except OSError as error:  # such as a link to itself
                    images.append((name, 0, (0, 0), f"cannot be read ({error.strerror})"))
                    continue
                if stat.S_ISREG(status.st_mode):
                    images.append((name, status.st_size, stamps_of(status), ""))
                elif not stat.S_ISDIR(status.st_mode):  # reading a pipe would wait for ever
                    images.append((name, 0, (0, 0), "is not a regular file"))
    except OSError as error:
        raise SourceError(f"folder: {folder} cannot be read ({error.strerror})") from None
    images.sort()
    return Files(
        [prefix + name for name, _, _, _ in images],
        [os.path.join(folder, name) for name, _, _, _ in images],
        np.full(len(images), -1, np.int64),
        np.array([size for _, size, _, _ in images], np.int64),
        np.array([stamps for _, _, stamps, _ in images], np.int64).reshape(-1, 2),
        {i: why for i, (_, _, _, why) in enumerate(images) if why},
    )


def list_folders(root: Path, folders: list[Path]) -> list[Files]:
    """`list_images` of several folders at a time, in order."""
    with ThreadPoolExecutor(SCANNERS) as pool:
        return list(pool.map(lambda folder: list_images(root, folder), folders))


def _scan(folder: Path) -> tuple[list[str], bool]:
    """Sorted names of folders, and whether there are image files; hidden ones do not count."""
    folders, images = [], False
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(entry.name)
                elif entry.name.lower().endswith(EXTENSIONS):
                    images = True
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else folder
        raise SourceError(f"folder: {where} cannot be read ({error.strerror})") from None
    return sorted(folders), images


def _classes(root: Path, folder: Path, names: list[str]) -> tuple[Files, np.ndarray, list[str]]:
    if len(names) == 1:
        raise SourceError(
            f"folder: {folder} has one class only ({names[0]!r}): classification needs two or more"
        )
    _check_names(folder, names)
    listed = list_folders(root, [folder / name for name in names])
    for name, files in zip(names, listed, strict=True):
        if not len(files):
            raise SourceError(
                f"folder: class folder {folder / name} has no images "
                f"({', '.join(EXTENSIONS)}; folders inside it are not searched): "
                "add some or remove it"
            )
    counts = [len(files) for files in listed]
    return join(listed), np.repeat(np.arange(len(names)), counts).astype(np.int64), names


def _check_names(folder: Path, names: list[str]) -> None:
    """Names can be printed, and no folder has two of them (a link to another, or to its root)."""
    names_of: dict[tuple[int, int], str] = {}
    status = os.stat(folder)
    names_of[status.st_dev, status.st_ino] = "."
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise SourceError(
                f"folder: class folder {os.fsencode(name)!r} of {folder} is not named in UTF-8: "
                "rename it"
            ) from None
        status = os.stat(folder / name)
        same = names_of.setdefault((status.st_dev, status.st_ino), name)
        if same != name:
            raise SourceError(
                f"folder: class folder {folder / name} is a link to "
                f"{'the folder that it is in' if same == '.' else repr(same)}: remove it"
            )
