"""Every image file is read and decoded once; what was found is kept for the next time.

A damaged file is then found now and not in the tenth epoch, and a set that was opened before costs
one look at the times of its files.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.errors import printable
from pipelines.files.decode import decode
from pipelines.files.image_header import HeaderError, read_header
from pipelines.files.index_cache import Index, cache_file, load_index, save_index
from pipelines.lazy import tf
from pipelines.threads import workers

CHUNK = 64  # files a thread checks before it hands them over
SAVE_EVERY = 100_000  # files after which a stopped check would not start from the first again
SAY_SECONDS = 15.0  # between two lines of progress

# A file changed within this time of the check may change again without its times showing it.
SETTLED_NS = 100_000_000

# An image of n pixels has at most 6 n bytes before compression; beyond is something else.
BYTES_PER_PIXEL, SPARE_BYTES = 6, 64 * 1024**2


@dataclass
class Files:
    """Images to be read, one row each.

    names     for people and as keys of the cache: relative to the source, unique
    paths     the file that holds the bytes
    offsets   first byte in it; -1 = the whole file
    sizes, stamps   bytes [n]; times of change of the file, nanoseconds [n, 2]
    problems  position -> why it cannot even be opened
    """

    names: list[str]
    paths: list[str]
    offsets: np.ndarray
    sizes: np.ndarray
    stamps: np.ndarray
    problems: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)


class Examined(NamedTuple):
    """Of one file."""

    reason: str
    height: int = 0
    width: int = 0
    orientation: int = 1
    digest: bytes = bytes(32)
    lasting: bool = True  # would be found again


def read_range(path: str, offset: int, size: int) -> bytes:
    """The bytes of one image. Raises OSError; also when the file is shorter than it was."""
    with open(path, "rb", buffering=0) as file:
        if offset >= 0:
            file.seek(offset)
        contents = file.read(size)
        while len(contents) < size:
            more = file.read(size - len(contents))
            if not more:
                raise OSError(0, "shorter than when it was listed", path)
            contents += more
        return contents


def examine(path: str, offset: int, size: int, max_pixels: int) -> Examined:
    """Read, hash and decode one file: never raises for what is in it."""
    if size > BYTES_PER_PIXEL * max_pixels + SPARE_BYTES:
        return Examined(
            f"has {size} bytes, more than an image of data.max_pixels={max_pixels}", lasting=False
        )
    try:
        contents = read_range(path, offset, size)
    except OSError as error:
        return Examined(f"cannot be read ({error.strerror})", lasting=False)
    digest = hashlib.sha256(contents).digest()
    try:
        header = read_header(contents)
    except HeaderError as error:
        return Examined(str(error), digest=digest)
    kind, height, width, orientation = header
    if height * width > max_pixels:
        return Examined(too_large(height, width, max_pixels), height, width, lasting=False)
    try:
        with tf.device("CPU:0"):
            shape = decode(tf.constant(contents), 3).shape
    except tf.errors.ResourceExhaustedError:
        return Examined(
            f"needs more memory than there is, {height} x {width} pixels", lasting=False
        )
    except tf.errors.OpError:
        return Examined(f"is a truncated or damaged {kind} file", digest=digest)
    if tuple(shape) != (height, width, 3):
        return Examined(
            f"is a damaged {kind} file: its header does not fit its pixels", digest=digest
        )
    return Examined("", height, width, orientation, digest)


def too_large(height: int, width: int, max_pixels: int) -> str:
    """Why a header alone is enough to refuse an image."""
    return (
        f"has {height} x {width} pixels where data.max_pixels allows {max_pixels}: "
        "raise it if the image is meant"
    )


def verify(files: Files, *, root: str, max_pixels: int) -> Index:
    """What is in each file, in order; only new and changed ones are read.

    root    names the source, absolute: its cache goes by it
    """
    path = cache_file("images", root)
    index, todo, before = _known(files, path)
    settled = files.stamps.max(axis=1, initial=0) < time.time_ns() - SETTLED_NS
    lasting = settled & ~np.isin(np.arange(len(files)), todo)
    done, saved, said = 0, 0, time.monotonic()
    for position, examined in _examined(files, todo, max_pixels):
        index.reasons[position] = examined.reason
        index.shapes[position] = examined.height, examined.width
        index.orientations[position] = examined.orientation
        index.digests[position] = np.frombuffer(examined.digest, np.uint8)
        lasting[position] = settled[position] and examined.lasting
        done += 1
        if time.monotonic() - said > SAY_SECONDS:
            said = time.monotonic()
            print(f"{printable(root)}: {done} of {len(todo)} new images checked", file=sys.stderr)
        if done - saved >= SAVE_EVERY:
            saved = done
            save_index(path, index.rows(np.flatnonzero(lasting)))
    if done > saved:
        save_index(path, index.rows(np.flatnonzero(lasting)))
    for position, reason in files.problems.items():
        index.reasons[position] = reason
    if before is not None:
        index = replace(index, changed=_changed(before, index, todo))
    pixels = index.shapes.astype(np.int64).prod(axis=1)
    for position in np.flatnonzero(pixels > max_pixels).tolist():
        height, width = index.shapes[position].tolist()
        index.reasons[position] = too_large(height, width, max_pixels)
    return index


def _changed(before: Index, now: Index, looked_at: np.ndarray) -> tuple[str, ...]:
    """Names that the earlier index had with other contents, and those that are gone."""
    digests = dict(zip(before.names, before.digests, strict=True))
    new = {now.names[i]: now.digests[i] for i in looked_at.tolist()}
    other = [name for name in new if name in digests and (new[name] != digests[name]).any()]
    return (*other, *sorted(digests.keys() - set(now.names)))


def _known(files: Files, path: Path) -> tuple[Index, np.ndarray, Index | None]:
    """The rows that are still true filled in, positions of the others, and the index of before."""
    n = len(files)
    index = Index(
        files.names,
        files.offsets,
        files.sizes,
        files.stamps,
        np.zeros((n, 2), np.int32),
        np.ones(n, np.uint8),
        np.zeros((n, 32), np.uint8),
        [""] * n,
    )
    before = load_index(path)
    row = np.full(n, -1)
    if before is not None:
        row = before.find(files.names, files.offsets, files.sizes, files.stamps)
        have = np.flatnonzero(row >= 0)
        for column in ("shapes", "orientations", "digests"):
            getattr(index, column)[have] = getattr(before, column)[row[have]]
        for position in have.tolist():
            index.reasons[position] = before.reasons[row[position]]
    todo = row < 0
    todo[list(files.problems)] = False
    return index, np.flatnonzero(todo), before


def _examined(files: Files, todo: np.ndarray, max_pixels: int) -> Iterator[tuple[int, Examined]]:
    """In order, by one thread a core: reading, hashing and decoding all let others run."""

    def check(part: list[int]) -> list[Examined]:
        return [
            examine(files.paths[i], int(files.offsets[i]), int(files.sizes[i]), max_pixels)
            for i in part
        ]

    waiting: deque[tuple[list[int], Future[list[Examined]]]] = deque()
    pool = ThreadPoolExecutor(workers())
    try:
        for start in range(0, len(todo), CHUNK):
            part = todo[start : start + CHUNK].tolist()
            waiting.append((part, pool.submit(check, part)))
            if len(waiting) > 2 * workers():
                part, future = waiting.popleft()
                yield from zip(part, future.result(), strict=True)
        for part, future in waiting:
            yield from zip(part, future.result(), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def files_of(paths: Sequence[Path]) -> Files:
    """Whole files as they are now, by their names. Raises OSError."""
    statuses = [os.stat(path) for path in paths]
    return Files(
        [path.name for path in paths],
        [str(path) for path in paths],
        np.full(len(paths), -1, np.int64),
        np.array([status.st_size for status in statuses], np.int64),
        np.array([stamps_of(status) for status in statuses], np.int64).reshape(-1, 2),
    )


def stamps_of(status: os.stat_result) -> tuple[int, int]:
    """Times that change with a file's contents: copying with `cp -p` keeps the first only."""
    return status.st_mtime_ns, status.st_ctime_ns
