"""What a check has seen of each image, kept: one that has not changed is not decoded again.

Kept as an index of its own, whose quick digests are those of the pixels and whose reasons are the
kinds of file ("" where that was not asked).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from pipelines.files.index_cache import Index, cache_file, load_index, save_index
from pipelines.files.verify import SETTLED_NS, Files
from pipelines.sources.base import Source


def files_behind(source: Source) -> Files | None:
    """A row an image: its file, or all files of records together; None where there are none."""
    files: Files | None = getattr(source, "files", None)
    if files is not None:
        return files
    records: Any = getattr(source, "record_files", None)
    if records is None:
        return None
    n = len(source)
    return Files(
        [str(i) for i in range(n)],
        [],
        np.full(n, -1, np.int64),
        np.full(n, records.sizes.sum(), np.int64),
        np.tile(records.stamps.max(axis=0), (n, 1)),
    )


def recall(source: Source, files: Files) -> tuple[Index, np.ndarray]:
    """What earlier checks saw of the images that are unchanged, and bool [n]: which these are."""
    seen = Index.blank(files.names, files.offsets, files.sizes, files.stamps)
    before = load_index(cache_file("checked", source.spec))
    if before is None:
        return seen, np.zeros(len(files), bool)
    row = before.find(files.names, files.offsets, files.sizes, files.stamps)
    known = row >= 0
    seen.take(before, np.flatnonzero(known), row[known])
    return seen, known


def remember(source: Source, seen: Index, good: np.ndarray) -> None:
    """Keep the rows of images that decode (bool [n]) and were not written just now."""
    settled = seen.stamps.max(axis=1, initial=0) < time.time_ns() - SETTLED_NS
    save_index(cache_file("checked", source.spec), seen.rows(np.flatnonzero(good & settled)))
