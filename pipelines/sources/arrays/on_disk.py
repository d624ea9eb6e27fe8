"""Arrays that are larger than may be held in memory: converted once to a `prepared:` folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from pipelines.errors import SourceError
from pipelines.files.index_cache import FOLDER
from pipelines.files.shards import Record, digest
from pipelines.files.verify import Files
from pipelines.sources.array_source import ArraySource
from pipelines.sources.base import Opening, Source
from pipelines.sources.prepare import IMAGES_PER_SHARD, describe, write
from pipelines.sources.prepared import MANIFEST, open_prepared, raw_record


def identity(spec: str, channels: int, files: Files) -> str:
    """Changes when the files may have other contents, without reading them."""
    paths = [os.path.realpath(path) for path in files.paths]
    text = json.dumps([spec, channels, paths, files.sizes.tolist(), files.stamps.tolist()])
    return hashlib.sha256(text.encode()).hexdigest()


def converted(
    source: ArraySource,
    blocks: Callable[[], Iterator[np.ndarray]],
    needed: int,
    opening: Opening,
) -> Source:
    """The source with its images in a folder below `.ilsvrc/.cache`, read one by one.

    source   with its `identity` as fingerprint; its array is not made
    blocks   the images in order, uint8 [k, h, w, c], some at a time; `needed` bytes in all
    Raises SourceError where the disk has no room.
    """
    out = FOLDER / "arrays" / f"{source.spec.partition(':')[0]}-{source.fingerprint[:16]}"
    if not (out / MANIFEST).exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(FOLDER).free
        if needed > free:
            raise SourceError(
                f"{source.spec}: its images need {needed:,} bytes, more than is held in memory and "
                f"more than the {free:,} that are free below {FOLDER.absolute()}: make room there"
            )
        print(
            f"{source.spec}: {needed:,} bytes of images are not held in memory; converting them "
            f"once, into {out}",
            file=sys.stderr,
        )

    def records(start: int) -> Iterator[Record]:
        at = 0
        for block in blocks():
            for image in block[max(0, start - at) :]:
                record = raw_record(image)
                yield Record(record, digest(record), image.shape[:2])
            at += len(block)

    header = describe(source) | {"encoding": "raw"}
    write(out, header, source.labels, records, IMAGES_PER_SHARD)
    opened = open_prepared(str(out), replace(opening, channels=None), spec=source.spec)
    opened.notes = source.notes
    return opened
