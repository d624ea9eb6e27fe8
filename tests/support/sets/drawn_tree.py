"""Folders of small pictures, each of a colour of its own: what was read tells which file it was."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from PIL import Image

STEP = 16  # grey levels between two colours: JPEG moves them a little
SUFFIXES = (".png", ".jpg", ".jpeg")
COLOURS = itertools.cycle(itertools.product(range(15), repeat=3))


def draw(root: Path, *names: str) -> None:
    """Pictures by their names below `root`; `cat/3*.png` stands for cat/0.png to cat/2.png."""
    for name in names:
        folder, _, file = name.rpartition("/")
        count, star, suffix = file.partition("*")
        (root / folder).mkdir(parents=True, exist_ok=True)
        for picture_name in [f"{i}{suffix}" for i in range(int(count))] if star else [file]:
            r, g, b = next(COLOURS)
            picture = Image.new("RGB", (4, 4), (STEP * r + 8, STEP * g + 8, STEP * b + 8))
            picture.save(root / folder / picture_name, quality=100, subsampling=0)


def read(root: Path, source: Any) -> dict[str, str]:
    """Of each picture that the source holds, found by its colour: its name -> "part class"."""
    names = {}
    for path in root.rglob("*.*"):
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith("."):
            with Image.open(path) as picture:
                names[tuple(level // STEP for level in picture.getpixel((1, 1)))] = path
    part = {i: name for name, rows in (source.official_splits or {}).items() for i in rows.tolist()}
    return {
        names[tuple((source.array[i, 1, 1] // STEP).tolist())].relative_to(root).as_posix(): (
            f"{part.get(i, '')} {source.class_names[source.labels[i]]}".strip()
        )
        for i in range(len(source))
    }
