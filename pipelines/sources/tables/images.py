"""The image files that a table names, those that are missing, and those that it does not name."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pipelines.files.layout import EXTENSIONS, SCANNERS, SUSPECTS
from pipelines.files.verify import Files, stamps_of

AT_A_TIME = 4096  # files that one thread looks up before it gives way
MISSING = "does not exist"
SUFFIXES = ("", ".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".webp", ".bmp", ".gif", ".tif")
BESIDE = re.compile(
    r"((train|val|test)[_-]?)?(images?|imgs?|jpe?g(images)?|photos?|pictures?|data)|train|val|test",
    re.IGNORECASE,
)
MOST_FOLDERS = 200  # that are tried to find images that are not where they should be


def path_of(folder: str, suffix: str) -> Callable[[str], str]:
    """From a field of a table to the path of its image, which may leave out the suffix."""
    ending = suffix.lower()

    def path(field: str) -> str:
        name = field if field.lower().endswith(ending) else field + suffix
        return os.path.normpath(os.path.join(folder, name))

    return path


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
            except (OSError, ValueError) as error:  # ValueError: of a name with a NUL
                problems[i] = f"cannot be read ({getattr(error, 'strerror', None) or error})"
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


def unlisted(paths: Iterable[str], around: str) -> tuple[str, Counter[str]]:
    """The folder that was searched, and how many other images lie in each folder of it.

    That is the folder of all images that were named, or `around` where this holds them; of the
    root and of the user's own folder only those folders which hold such images are listed.
    """
    named = set(paths)
    folders = {os.path.dirname(path) for path in named}
    common = os.path.commonpath(folders)
    if os.path.commonpath([around, common]) == around:
        common = around
    everywhere = common in (os.path.sep, str(Path.home()))
    found: Counter[str] = Counter()
    for root in folders if everywhere else [common]:
        found.update(os.path.dirname(path) for path in _images(root, not everywhere) - named)
    tops: Counter[str] = Counter()
    for folder, count in found.items():
        tops[os.path.relpath(folder, common).partition(os.path.sep)[0]] += count
    return common, tops


def _images(root: str, deep: bool) -> set[str]:
    """Paths of image files below a folder, hidden ones left out; each folder once, links last."""
    paths: set[str] = set()
    waiting, seen = [root], set()
    while waiting:
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
                        waiting.insert(0 if entry.is_symlink() else len(waiting), entry.path)
        except OSError:  # what cannot be listed was not asked for
            continue
    return paths


def where_they_are(
    table: Path, columns: Sequence[tuple[str, list[str]]], folder: str, suffix: str
) -> str:
    """Settings by which the images of some rows would be there, "" where none are known.

    columns   (name, fields of some rows), the one of the images first
    folder, suffix   the settings now
    """
    now = path_of(os.path.join(table.parent, folder), suffix)
    if any(os.path.isfile(now(field)) for field in columns[0][1]):
        return ""
    near = _folders_near(table.parent, folder)
    for name, fields in columns:
        for where in near:
            for ending in dict.fromkeys((suffix, *SUFFIXES)):
                path = path_of(os.path.join(table.parent, where), ending)
                if all(field and os.path.isfile(path(field)) for field in fields):
                    settings = {"image": name if name != columns[0][0] else ""}
                    settings |= {"folder": where if where != folder else ""}
                    settings |= {"suffix": ending if ending != suffix else ""}
                    return ",".join(f"{key}={value}" for key, value in settings.items() if value)
    return ""


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
