"""A set that is given out as arrays: its parts, read block by block into one array."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.errors import SourceError, first_line
from pipelines.files.verify import Files, files_of
from pipelines.sources.array_checks import check_count, in_channels
from pipelines.sources.array_source import ArraySource
from pipelines.sources.arrays.on_disk import converted, identity
from pipelines.sources.base import MEMORY_LIMIT_BYTES, Opening, Source

BLOCK_BYTES = 4 * 1024**2  # of images that are read at a time
MOST_PACKED = 200  # bytes of one on disk; deflate's most is 1,032, of digits 20


class Part(NamedTuple):
    """Images of one shape, in order, and their labels.

    name     train, validation or test; "" where the set has no parts
    labels   as stored, see `array_checks.classes_of`
    blocks   reads the images, uint8 [k, h, w, c] or [k, h, w], some at a time
    """

    name: str
    labels: np.ndarray
    blocks: Callable[[], Iterator[np.ndarray]]


def array_source(
    spec: str,
    parts: Sequence[Part],
    image_shape: tuple[int, int, int],
    files: Files,
    opening: Opening,
    *,
    class_names: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Source:
    """The parts as one source, whose images are read on first use.

    image_shape   as stored; `opening.channels` makes grey of colour, and three channels of one
    files         what the parts are read from, as it was before anything was read
    Raises SourceError where labels are wrong. More than may be held in memory is converted once.
    """
    height, width, stored = image_shape
    depth = opening.channels or stored
    if len({np.asarray(part.labels).ndim for part in parts}) > 1:
        raise SourceError(f"{spec}: labels of its parts have different shapes: store them alike")
    labels = np.concatenate([part.labels for part in parts])

    def blocks() -> Iterator[np.ndarray]:
        count = 0
        for part in parts:
            for block in part.blocks():
                count += len(block)
                yield in_channels(block.reshape(len(block), height, width, stored), depth)
        check_count(count, len(labels), f"{spec}: labels")

    def draw() -> np.ndarray:
        array = np.empty((len(labels), height, width, depth), np.uint8)
        at = 0
        for block in blocks():
            array[at : at + len(block)] = block
            at += len(block)
        return array

    ends = np.cumsum([0, *(len(part.labels) for part in parts)])
    splits = {
        part.name: np.arange(start, stop)
        for part, start, stop in zip(parts, ends[:-1], ends[1:], strict=True)
    }
    needed = len(labels) * height * width * depth
    held = needed <= held_bytes(opening)
    try:
        source = ArraySource(
            draw,
            labels,
            class_names,
            spec=spec,
            image_shape=(height, width, depth),
            official_splits=None if list(splits) in ([""], ["train"]) else splits,
            fingerprint=None if held else identity(spec, depth, files),
            files=files,
        )
    except SourceError as error:
        raise SourceError(f"{spec}: {error}") from None
    source.notes = (*notes, *source.notes)
    return source if held else converted(source, blocks, needed, opening)


def held_bytes(opening: Opening) -> int:
    """Up to how many bytes of images are held in memory."""
    # 0 asks for images that are read one by one where they lie; these have no files of their own
    return opening.memory_limit_bytes or MEMORY_LIMIT_BYTES


def check_packing(
    spec: str, images: int, shape: tuple[int, int, int], files: Files, opening: Opening
) -> None:
    """Raises SourceError where a small file says that it unpacks to more than fits into memory."""
    needed, stored = images * int(np.prod(shape, dtype=object)), int(files.sizes.sum())
    if needed > max(held_bytes(opening), MOST_PACKED * stored):
        raise SourceError(
            f"{spec}: {images} images of {shape[0]} x {shape[1]} x {shape[2]} need {needed:,} "
            f"bytes, from {stored:,} on disk, which is no packing of images: download it again, or "
            "store it unpacked"
        )


def block_ranges(count: int, each: int) -> Iterator[tuple[int, int]]:
    """[start, stop) of images of `each` bytes, so many that a block stays small."""
    step = max(1, BLOCK_BYTES // each)
    for start in range(0, count, step):
        yield start, min(start + step, count)


@contextlib.contextmanager
def reading(scheme: str, path: Path, form: str) -> Iterator[None]:
    """One line for whatever a damaged file raises; `form` says what it should be."""
    try:
        yield
    except SourceError:
        raise
    except MemoryError:
        raise SourceError(f"{scheme}: {path} needs more memory than there is") from None
    except (FileNotFoundError, NotADirectoryError, PermissionError, IsADirectoryError) as error:
        raise SourceError(
            f"{scheme}: {path} cannot be read ({error.strerror}): check the path"
        ) from None
    except Exception as error:  # a damaged file raises nearly anything
        raise SourceError(
            f"{scheme}: {path} is damaged, or no {form} ({first_line(error)[:200]}): download or "
            "write it again"
        ) from None


def stamped(scheme: str, paths: Sequence[Path]) -> Files:
    """The files as they are now. Raises SourceError for one that is not there, or is a pipe."""
    try:
        for path in paths:
            if not stat.S_ISREG(mode := os.stat(path).st_mode) and not stat.S_ISDIR(mode):
                raise SourceError(f"{scheme}: {path} is not a regular file")  # it may never end
        return files_of(paths)
    except OSError as error:
        raise SourceError(
            f"{scheme}: {error.filename} cannot be read ({error.strerror}): check the path"
        ) from None
