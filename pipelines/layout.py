"""What a directory of class folders holds: names, labels and official splits, no file opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.sources import SourceError

EXTENSIONS = (".jpg", ".jpeg", ".png")
SPLIT_NAMES = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


class Listing(NamedTuple):
    """What a directory holds, before any file is opened."""

    paths: list[str]
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
        paths, labels, names = _classes(root, folders)
        return Listing(paths, labels, names, np.zeros(len(paths), np.int64), [])
    if "train" not in official:
        raise SourceError(
            f"folder: {root} has {', '.join(sorted(official.values()))} but no train folder: add it"
        )
    return _official(root, official)


def _official(root: Path, official: dict[str, str]) -> Listing:
    parts: list[str] = []
    all_paths: list[str] = []
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
        paths, labels, here = _classes(folder, _scan(folder)[0])
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
        all_parts.append(np.full(len(paths), len(parts), np.int64))
        parts.append(SPLIT_NAMES[low])
        all_paths += paths
        all_labels.append(labels)
    return Listing(all_paths, np.concatenate(all_labels), names, np.concatenate(all_parts), parts)


def _scan(folder: Path) -> tuple[list[str], list[str]]:
    """Sorted names of folders and of image files; hidden and other files do not count."""
    folders, images = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(entry.name)
                elif entry.name.lower().endswith(EXTENSIONS):
                    images.append(entry.name)
    except OSError as error:
        raise SourceError(f"folder: {folder} cannot be read ({error.strerror})") from None
    return sorted(folders), sorted(images)


def _classes(folder: Path, names: list[str]) -> tuple[list[str], np.ndarray, list[str]]:
    if len(names) == 1:
        raise SourceError(
            f"folder: {folder} has one class only ({names[0]!r}): classification needs two or more"
        )
    paths: list[str] = []
    counts = []
    for name in names:
        images = _scan(folder / name)[1]
        if not images:
            raise SourceError(
                f"folder: class folder {folder / name} has no images "
                f"({', '.join(EXTENSIONS)}; folders inside it are not searched): "
                "add some or remove it"
            )
        paths += [os.path.join(folder, name, image) for image in images]
        counts.append(len(images))
    return paths, np.repeat(np.arange(len(names)), counts).astype(np.int64), names
