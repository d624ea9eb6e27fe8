"""Images of one colour, which is that of the file's name; and tables of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

from pipelines.errors import SourceError
from pipelines.sources.base import Source
from pipelines.sources.open import open_source


def colour(name: str) -> tuple[int, ...]:
    return tuple(hashlib.sha256(name.encode()).digest()[:3])


def draw(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), colour(path.name)).save(path, "PNG")


def write(path: Path, lines: Iterable[str], end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def files_of(source: Source) -> list[str]:
    """The files that the images show, in order."""
    names = source.read_from.files.names  # type: ignore[union-attr]
    assert source.array is not None
    shown = [tuple(pixels[0, 0].tolist()) for pixels in source.array]
    assert shown == [colour(os.path.basename(name)) for name in names]
    return names


def seen(source: Source) -> dict[str, str]:
    """Of each file, by what its image shows, the class."""
    names = files_of(source)
    return {
        name: source.class_names[label] for name, label in zip(names, source.labels, strict=True)
    }


def parts(source: Source) -> dict[str, list[str]]:
    """Of each official part the files."""
    names = files_of(source)
    splits = source.official_splits or {}
    return {part: [names[i] for i in indices] for part, indices in splits.items()}


def unused(source: Source) -> dict[str, int]:
    return {count.path: count.files for count in source.unused}


def refusal(spec: str, **settings: object) -> str:
    """The one line with which a source is refused."""
    with pytest.raises(SourceError) as refused:
        open_source(spec, **settings)
    message = str(refused.value)
    assert "\n" not in message
    return message
