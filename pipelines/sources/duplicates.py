"""Which images are the same image: equal bytes, or equal pixels behind different bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pipelines.errors import SourceError
from pipelines.files.shards import DIGEST_BYTES, digest
from pipelines.files.verify import read_range
from pipelines.sources.array_source import ArraySource
from pipelines.sources.base import Source
from pipelines.threads import workers

GENERATED = ("synthetic", "directions")  # images made by a rule; drawing them all costs time


def content_digests(source: Source) -> np.ndarray | None:
    """uint8 [n, 16], one row an image, equal for identical images; None for generated images.

    Of the file's bytes where the source has files, else of the pixels held in memory. A source
    that knows them (`source.digests`) is not read for them; of one that has only looked at the
    ends of its files, those are read that may be the same as another.
    """
    if source.digests is not None:
        return source.digests
    if source.quick_digests is not None:
        if source.distinct_digests is None:
            source.distinct_digests = _digests_of_candidates(source, source.quick_digests)
        return source.distinct_digests
    if source.spec.partition(":")[0] in GENERATED:
        return None
    if isinstance(source, ArraySource):
        array = source.array
        return as_rows(digest(np.ascontiguousarray(image).tobytes()) for image in array)
    read = stored_bytes(source)
    if read is None:
        return None
    with ThreadPoolExecutor(workers()) as pool:
        source.digests = as_rows(pool.map(lambda i: digest(read(i)), range(len(source))))
    return source.digests


def _digests_of_candidates(source: Source, quick: np.ndarray) -> np.ndarray:
    """Quick digests of files that have no equal, and digests of the bytes of those that may."""
    digests = quick.copy()
    ids = groups(quick)
    read = stored_bytes(source.read_from or source)
    if ids is None or read is None:
        return digests
    candidates = np.flatnonzero(np.bincount(ids)[ids] > 1)
    with ThreadPoolExecutor(workers()) as pool:
        rows = pool.map(lambda i: digest(read(i)), candidates.tolist())
        digests[candidates] = as_rows(rows)
    return digests


def stored_bytes(source: Source) -> Callable[[int], bytes] | None:
    """index -> the image file as stored; None where only pixels are held."""
    blob = getattr(source, "blob", None)
    if blob is not None:
        return lambda i: bytes(blob(i))
    files = getattr(source, "files", None)  # of a FileSource
    if files is None:
        return None

    def read(index: int) -> bytes:
        path = files.paths[index]
        try:
            return read_range(path, int(files.offsets[index]), int(files.sizes[index]))
        except OSError as error:
            raise SourceError(
                f"{path} cannot be read ({error.strerror}): has it been moved?"
            ) from None

    return read


def as_rows(digests: Iterable[bytes]) -> np.ndarray:
    """Digests as uint8 [n, 16]."""
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)


def groups(digests: np.ndarray | None) -> np.ndarray | None:
    """int64 [n]: the same number for identical images; None when no image is there twice.

    Handed to the splits, it keeps copies of an image on one side.
    """
    if digests is None or len(digests) == 0:
        return None
    keys = np.ascontiguousarray(digests).view(f"V{digests.shape[1]}").reshape(-1)
    first, ids = np.unique(keys, return_index=True, return_inverse=True)[1:]
    return None if len(first) == len(keys) else ids.reshape(-1).astype(np.int64)


def clusters(digests: np.ndarray | None) -> list[np.ndarray]:
    """Indices of each set of identical images, in order of their first member."""
    ids = groups(digests)
    if ids is None:
        return []
    order = np.argsort(ids, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(ids[order])) + 1)
    return sorted((m for m in members if len(m) > 1), key=lambda m: int(m[0]))
