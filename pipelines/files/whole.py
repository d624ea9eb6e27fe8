"""The sha256 of every file, for whom its ends are not enough: read once, and kept."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pipelines.errors import SourceError, printable
from pipelines.files.index_cache import SHA256_BYTES, Index, cache_file, save_part
from pipelines.files.verify import SAVE_SECONDS, Files, read_range
from pipelines.progress import Progress
from pipelines.threads import workers

CHUNK = 64  # files a thread reads before it hands them over


def read_whole(files: Files, index: Index, root: str) -> None:
    """Fill in `index.digests` where they are missing, and keep them beside the index of `root`.

    Raises SourceError for a file that cannot be read.
    """

    def digests(chunk: np.ndarray) -> bytes:
        return b"".join(_digest(files, i) for i in chunk.tolist())

    todo = np.flatnonzero(~index.digests.any(axis=1))
    chunks = [todo[start : start + CHUNK] for start in range(0, len(todo), CHUNK)]
    progress = Progress(f"{printable(root)}: {{}} files read whole, once", len(todo))
    done, saved, at = 0, 0, time.monotonic()
    try:
        with ThreadPoolExecutor(workers()) as pool:
            for chunk, rows in zip(chunks, pool.map(digests, chunks), strict=True):
                index.digests[chunk] = np.frombuffer(rows, np.uint8).reshape(-1, SHA256_BYTES)
                done += len(chunk)
                progress(done)
                if time.monotonic() - at > SAVE_SECONDS:
                    save_part(cache_file("images", root), index.rows(todo[saved:done]))
                    saved, at = done, time.monotonic()
    finally:
        if done > saved:
            save_part(cache_file("images", root), index.rows(todo[saved:done]))


def _digest(files: Files, i: int) -> bytes:
    path = files.paths[i]
    try:
        contents = read_range(path, int(files.offsets[i]), int(files.sizes[i]))
    except OSError as error:
        raise SourceError(
            f"{printable(path)} cannot be read ({error.strerror}): has it been moved?"
        ) from None
    return hashlib.sha256(contents).digest()
