"""Every image file is looked at once; what was found is kept for the next time.

The first and last bytes of a file tell its size and whether it is whole, so that an opening of
millions of files takes minutes; a file that looks damaged is decoded. Files can also all be decoded
at once. A set that was opened before costs one look at the times of its files.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.errors import printable
from pipelines.files.decode import decode
from pipelines.files.ends import quick_digest_of, read_ends, reader
from pipelines.files.image_header import HeaderError, read_header
from pipelines.files.index_cache import (
    QUICK_BYTES,
    SHA256_BYTES,
    Index,
    cache_file,
    load_index,
    parts_of,
    save_index,
    save_part,
)
from pipelines.lazy import tf
from pipelines.progress import Progress
from pipelines.threads import workers

CHUNK = 64  # files a thread checks before it hands them over
SAVE_SECONDS = 30.0  # a check that is stopped goes on from what it had found so long ago

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
    """Of one file; the columns of an Index."""

    reason: str
    height: int = 0
    width: int = 0
    orientation: int = 1
    quick: bytes = bytes(QUICK_BYTES)
    digest: bytes = bytes(SHA256_BYTES)
    decoded: bool = True
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


def look(path: str, offset: int, size: int, max_pixels: int) -> Examined:
    """Read the ends of one file, and decode it only in doubt: never raises for what is in it."""
    if size > _most_bytes(max_pixels):
        return _far_too_large(size, max_pixels)
    try:
        read, close = reader(path, offset)
        try:
            ends = read_ends(read, size)
        finally:
            close()
    except OSError as error:
        return _unreadable(error)
    quick, digest = ends.quick, ends.digest or bytes(SHA256_BYTES)
    if ends.header is None:
        return Examined(ends.reason, quick=quick, digest=digest)
    _, height, width, orientation = ends.header
    if height * width > max_pixels:
        return Examined(too_large(height, width, max_pixels), height, width, lasting=False)
    if not ends.whole:
        return examine(path, offset, size, max_pixels)
    return Examined("", height, width, orientation, quick, digest, decoded=False)


def examine(path: str, offset: int, size: int, max_pixels: int) -> Examined:
    """Read, hash and decode one file: never raises for what is in it."""
    if size > _most_bytes(max_pixels):
        return _far_too_large(size, max_pixels)
    try:
        contents = read_range(path, offset, size)
    except OSError as error:
        return _unreadable(error)
    quick, digest = quick_digest_of(contents), hashlib.sha256(contents).digest()
    try:
        header = read_header(contents)
    except HeaderError as error:
        return Examined(str(error), quick=quick, digest=digest)
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
        return Examined(f"is a truncated or damaged {kind} file", quick=quick, digest=digest)
    if tuple(shape) != (height, width, 3):
        reason = f"is a damaged {kind} file: its header does not fit its pixels"
        return Examined(reason, quick=quick, digest=digest)
    return Examined("", height, width, orientation, quick, digest)


def _most_bytes(max_pixels: int) -> int:
    return BYTES_PER_PIXEL * max_pixels + SPARE_BYTES


def _far_too_large(size: int, max_pixels: int) -> Examined:
    why = f"has {size} bytes, more than an image of data.max_pixels={max_pixels}"
    return Examined(why, lasting=False)


def _unreadable(error: OSError) -> Examined:
    return Examined(f"cannot be read ({error.strerror})", lasting=False)


def too_large(height: int, width: int, max_pixels: int) -> str:
    """Why a header alone is enough to refuse an image."""
    return (
        f"has {height} x {width} pixels where data.max_pixels allows {max_pixels}: "
        "raise it if the image is meant"
    )


def verify(files: Files, *, root: str, max_pixels: int, decode_all: bool = False) -> Index:
    """What is in each file, in order; only new and changed ones are read.

    root         names the source, absolute: its cache goes by it
    decode_all   read and decode all of each file, where that was not done before
    """
    path = cache_file("images", root)
    parts = parts_of(path)
    before = load_index(path)
    index, todo = _known(files, before, decode_all)
    lasting = _settled(files)
    lasting[todo], new_parts = examine_files(
        files, index, todo, root=root, max_pixels=max_pixels, decode_all=decode_all
    )
    if parts or new_parts:
        save_index(path, index.rows(np.flatnonzero(lasting)), parts + new_parts)
    for position, reason in files.problems.items():
        index.reasons[position] = reason
        index.decoded[position] = True
    changed = () if before is None else _changed(before, index, todo)
    pixels = index.shapes.astype(np.int64).prod(axis=1)
    for position in np.flatnonzero(pixels > max_pixels).tolist():
        height, width = index.shapes[position].tolist()
        index.reasons[position] = too_large(height, width, max_pixels)
    return replace(index, changed=changed, root=root)


def examine_files(
    files: Files,
    index: Index,
    which: np.ndarray,
    *,
    root: str,
    max_pixels: int,
    decode_all: bool = True,
) -> tuple[np.ndarray, list[Path]]:
    """Fill in the rows of the files at these positions, and keep them beside the index of `root`.

    Returns bool [k], whether each is kept, and the parts in which they are.
    """
    path, parts = cache_file("images", root), list[Path]()
    settled = _settled(files)
    lasting = np.zeros(len(files), bool)
    progress = Progress(f"{printable(root)}: {{}} new files checked", len(which))
    done, saved, at = 0, 0, time.monotonic()
    try:
        check = examine if decode_all else look
        for chunk, examined in _examined(files, which, max_pixels, check):
            lasting[chunk] = settled[chunk] & _fill(index, chunk, examined)
            done += len(chunk)
            progress(done)
            if time.monotonic() - at > SAVE_SECONDS:
                parts.append(save_part(path, _kept(index, which[saved:done], lasting)))
                saved, at = done, time.monotonic()
    finally:  # also when it is stopped
        if done > saved:
            parts.append(save_part(path, _kept(index, which[saved:done], lasting)))
    return lasting[which], parts


def _settled(files: Files) -> np.ndarray:
    return np.asarray(files.stamps.max(axis=1, initial=0) < time.time_ns() - SETTLED_NS)


def _kept(index: Index, rows: np.ndarray, lasting: np.ndarray) -> Index:
    return index.rows(rows[lasting[rows]])


def _changed(before: Index, now: Index, looked_at: np.ndarray) -> tuple[str, ...]:
    """Names that the earlier index had with other contents, and those that are gone."""
    if not len(looked_at) and before.names == now.names:
        return ()
    rows = {name: row for row, name in enumerate(before.names)}
    new = [(now.names[i], now.quick[i]) for i in looked_at.tolist()]
    other = [name for name, quick in new if _differs(before, rows.get(name), quick)]
    return (*other, *sorted(rows.keys() - set(now.names)))


def _differs(before: Index, row: int | None, quick: np.ndarray) -> bool:
    return row is not None and bool((before.quick[row] != quick).any())


def _known(files: Files, before: Index | None, decode_all: bool) -> tuple[Index, np.ndarray]:
    """The rows that are still true filled in, and the positions of the others."""
    index = Index.blank(files.names, files.offsets, files.sizes, files.stamps)
    todo = np.ones(len(files), bool)
    if before is not None:
        row = before.find(files.names, files.offsets, files.sizes, files.stamps)
        have = np.flatnonzero(row >= 0)
        index.take(before, have, row[have])
        todo[have] = decode_all & ~index.decoded[have]
    todo[list(files.problems)] = False
    return index, np.flatnonzero(todo)


def _fill(index: Index, chunk: np.ndarray, examined: list[Examined]) -> np.ndarray:
    """Into these rows; bool [k]: whether it may be kept."""
    reasons, heights, widths, orientations, quick, digests, decoded, lasting = zip(
        *examined, strict=True
    )
    index.shapes[chunk, 0], index.shapes[chunk, 1] = heights, widths
    index.orientations[chunk] = orientations
    index.quick[chunk] = np.frombuffer(b"".join(quick), np.uint8).reshape(-1, QUICK_BYTES)
    index.digests[chunk] = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, SHA256_BYTES)
    index.decoded[chunk] = decoded
    for position, reason in zip(chunk.tolist(), reasons, strict=True):
        index.reasons[position] = reason
    return np.array(lasting)


def _examined(
    files: Files,
    todo: np.ndarray,
    max_pixels: int,
    check: Callable[[str, int, int, int], Examined],
) -> Iterator[tuple[np.ndarray, list[Examined]]]:
    """In order, by one thread a core: reading, hashing and decoding all let others run."""

    def several(chunk: np.ndarray) -> list[Examined]:
        return [
            check(files.paths[i], offset, size, max_pixels)
            for i, offset, size in zip(
                chunk.tolist(),
                files.offsets[chunk].tolist(),
                files.sizes[chunk].tolist(),
                strict=True,
            )
        ]

    waiting: deque[tuple[np.ndarray, Future[list[Examined]]]] = deque()
    pool = ThreadPoolExecutor(workers())
    try:
        for start in range(0, len(todo), CHUNK):
            chunk = todo[start : start + CHUNK]
            waiting.append((chunk, pool.submit(several, chunk)))
            if len(waiting) > 2 * workers():
                chunk, future = waiting.popleft()
                yield chunk, future.result()
        for chunk, future in waiting:
            yield chunk, future.result()
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
