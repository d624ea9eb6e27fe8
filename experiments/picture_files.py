"""Pictures that are named one by one, or as folders, as a source without labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.errors import BadInput


@dataclass(frozen=True)
class Pictures:
    """`source` holds the good ones, in order; `files` names all, and `problems` why some are not
    in it, by position in `files`."""

    source: Any
    files: list[str]
    problems: dict[int, str]


def open_pictures(
    names: Sequence[str], *, channels: int, max_pixels: int, on_corrupt: str
) -> Pictures:
    """Files as named, folders by all the JPEG and PNG files in and below them, by name.

    Photographs are turned upright as their EXIF orientation says.

    Raises:
        BadInput: nothing there, or a file that is no picture and `on_corrupt` is error.
    """
    from pipelines.file_source import FileSource, printable
    from pipelines.sources import SourceError
    from pipelines.verify import Files, examine

    try:
        files = _listed(names)
    except SourceError as error:
        raise BadInput(str(error)) from None
    found = [
        examine(path, -1, int(size), max_pixels)
        for path, size in zip(files.paths, files.sizes, strict=True)
    ]
    problems = {at: each.reason for at, each in enumerate(found) if each.reason} | files.problems
    if problems and (on_corrupt == "error" or len(problems) == len(found)):
        at = min(problems)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        fix = "" if on_corrupt == "skip" else "; set data.on_corrupt=skip to leave it out"
        raise BadInput(f"{printable(files.paths[at])} {problems[at]}{more}{fix}")
    good = [at for at in range(len(found)) if at not in problems]
    chosen = Files(
        [files.names[at] for at in good],
        [files.paths[at] for at in good],
        files.offsets[good],
        files.sizes[good],
        files.stamps[good],
    )
    source = FileSource(
        "pictures",
        chosen,
        np.array([found[at].orientation for at in good], np.int64),
        np.zeros(len(good), np.int64),
        ["unknown"],
        (None, None, channels),
        "",
        None,
        [],
    )
    return Pictures(source, [printable(path) for path in files.paths], problems)


def _listed(names: Sequence[str]) -> Any:
    from pipelines.layout import join, list_images
    from pipelines.verify import Files, stamps_of

    parts = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            below = [Path(folder) for folder, _, _ in sorted(os.walk(path))]
            files = join([list_images(path, folder) for folder in below])
            if not len(files):
                raise BadInput(f"{name}: no JPEG or PNG file in this folder")
            parts.append(files)
            continue
        try:
            status = path.stat()
        except OSError as error:
            raise BadInput(f"{name}: no such picture ({error.strerror})") from None
        if not path.is_file():
            raise BadInput(f"{name}: expected a picture or a folder")
        stamps = np.array([stamps_of(status)], np.int64)
        parts.append(Files([name], [name], np.array([-1]), np.array([status.st_size]), stamps))
    return join(parts)
