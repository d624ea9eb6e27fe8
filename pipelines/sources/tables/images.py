"""The image files that a table names, those that are missing, and those that it does not name."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.files.image_header import EXTENSIONS, SUSPECTS
from pipelines.files.layout import SCANNERS
from pipelines.files.verify import Files, stamps_of

AT_A_TIME = 4096  # files that one thread looks up before it gives way
MISSING = "does not exist"
SUFFIXES = ("", ".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".webp", ".bmp", ".gif", ".tif")
BESIDE = re.compile(
    r"((train|val|test)[_-]?)?(images?|imgs?|jpe?g(images)?|photos?|pictures?|data)|train|val|test",
    re.IGNORECASE,
)
MOST_OTHERS = 300_000  # images beside the named ones that are counted
MOST_FOLDERS = 200  # that are tried to find images that are not where they should be


def path_of(
    folders: Sequence[str], suffix: str, clean: Callable[[str], str] = str
) -> Callable[[str], str]:
    """From a field of a table to the path of its image: in the first folder that has it.

    The field may leave out the suffix; `clean` is done to it first.
    """
    ending = suffix.lower()

    def path_in(folder: str, field: str) -> str:
        name = clean(field)
        name = name if name.lower().endswith(ending) else name + suffix
        return os.path.normpath(os.path.join(folder, name))

    def path(field: str) -> str:
        paths = [path_in(folder, field) for folder in folders]
        return next((path for path in paths if os.path.isfile(path)), paths[0])

    return partial(path_in, folders[0]) if len(folders) == 1 else path


def look_up(paths: Sequence[str], root: str) -> Files:
    """Each file as it is now, by its path relative to `root`; problems where it is none."""
    n = len(paths)
    sizes, stamps = np.zeros(n, np.int64), np.zeros((n, 2), np.int64)
    problems: dict[int, str] = {}

    def look(start: int) -> None:
        for i in range(start, min(start + AT_A_TIME, n)):
            try:
                status = os.stat(paths[i])
            except (FileNotFoundError, NotADirectoryError):
                problems[i] = MISSING
            except OSError as error:
                problems[i] = f"cannot be read ({error.strerror})"
            else:
                if stat.S_ISREG(status.st_mode):
                    sizes[i], stamps[i] = status.st_size, stamps_of(status)
                else:  # reading a pipe would wait for ever
                    problems[i] = "is not a regular file"

    with ThreadPoolExecutor(SCANNERS) as pool:
        list(pool.map(look, range(0, n, AT_A_TIME)))
    return Files(
        relative(paths, root),
        list(paths),
        np.full(n, -1, np.int64),
        sizes,
        stamps,
        dict(sorted(problems.items())),
    )


def relative(paths: Sequence[str], root: str) -> list[str]:
    """Relative to a folder, or as they are where they lie elsewhere."""
    prefixes: dict[str, str] = {}
    names = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in prefixes:
            prefix = os.path.relpath(folder, root)
            far = prefix.startswith(os.path.join("..", ".."))
            prefixes[folder] = folder if far else "" if prefix == "." else prefix
        names.append(os.path.join(prefixes[folder], name))
    return names


class LeftOver(NamedTuple):
    """folder   that was searched
    counts     of image files that were not named, for each folder in it
    whole      whether it was searched to the end
    """

    folder: str
    counts: Counter[str]
    whole: bool


def left_over(paths: Sequence[str], around: str) -> LeftOver:
    """The other images in the folder of those that were named, or in `around` where it holds them.

    Of the root and of the user's own folder only folders that hold such images are listed.
    """
    named = set(paths)
    folders = {os.path.dirname(path) for path in named}
    folder = os.path.commonpath(folders)
    if os.path.commonpath([around, folder]) == around:
        folder = around
    real = {path: os.path.realpath(path) for path in folders}
    if any(path != behind for path, behind in real.items()):  # a link is another way to them
        named |= {os.path.join(real[os.path.dirname(p)], os.path.basename(p)) for p in paths}
    deep = folder not in (os.path.sep, str(Path.home()))
    most = 2 * len(named) + MOST_OTHERS
    images = _images([folder] if deep else sorted(folders), deep, most)
    counts: Counter[str] = Counter()
    for path, count in Counter(os.path.dirname(path) for path in images - named).items():
        counts[os.path.relpath(path, folder).partition(os.path.sep)[0]] += count
    return LeftOver(folder, counts, len(images) < most)


def _images(roots: list[str], deep: bool, most: int) -> set[str]:
    """Paths of image files in folders, hidden ones left out; each folder once, links last."""
    paths: set[str] = set()
    waiting, seen = deque(roots), set()
    while waiting and len(paths) < most:
        folder = waiting.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.name.lower().endswith(EXTENSIONS + SUSPECTS):
                        if entry.is_file():
                            paths.add(entry.path)
                    elif deep and entry.is_dir():
                        (waiting.appendleft if entry.is_symlink() else waiting.append)(entry.path)
        except OSError:  # what cannot be listed was not asked for
            continue
    return paths


def where_they_are(
    table: Path, columns: Sequence[tuple[str, list[str]]], folder: str, suffix: str
) -> dict[str, str]:
    """Settings by which the images of some rows would be there, none where they are not known.

    columns   (name, fields of some rows), the one of the images first
    folder, suffix   the settings now
    """
    now = path_of([os.path.join(table.parent, folder)], suffix)
    if any(os.path.isfile(now(field)) for field in columns[0][1]):
        return {}
    near = _folders_near(table.parent, folder)
    for name, fields in columns:
        for where in near:
            for ending in dict.fromkeys((suffix, *SUFFIXES)):
                path = path_of([os.path.join(table.parent, where)], ending)
                if all(field and os.path.isfile(path(field)) for field in fields):
                    settings = {"image": name if name != columns[0][0] else ""}
                    settings |= {"folder": where if where != folder else ""}
                    settings |= {"suffix": ending if ending != suffix else ""}
                    return {key: value for key, value in settings.items() if value}
    return {}


def _folders_near(root: Path, folder: str) -> list[str]:
    """Relative to the folder of the table: as now, itself, those in it and in these, beside it."""
    inside = _inside(root, "")
    beside = [path for path in _inside(root, "..") if BESIDE.fullmatch(os.path.basename(path))]
    below = [path for top in inside for path in _inside(root, top)]
    return list(dict.fromkeys([folder, "", *inside, *beside, *below]))[:MOST_FOLDERS]


def _inside(root: Path, top: str) -> list[str]:
    try:
        with os.scandir(root / top) as entries:
            names = [entry.name for entry in entries if entry.name[0] != "." and entry.is_dir()]
    except OSError:
        return []
    return [os.path.join(top, name) for name in sorted(names)[:MOST_FOLDERS]]
