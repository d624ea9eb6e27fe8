"""What is wrong with the images of a source: one pass over all of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from pipelines.errors import SourceError, first_line
from pipelines.files.image_header import KINDS, HeaderError, read_header
from pipelines.files.index_cache import Index
from pipelines.files.shards import digest
from pipelines.lazy import tf
from pipelines.sources.array_source import ArraySource
from pipelines.sources.base import Source
from pipelines.sources.checked import files_behind, recall, remember
from pipelines.sources.duplicates import as_rows, clusters, content_digests, stored_bytes
from pipelines.sources.open import open_source
from pipelines.threads import workers

TINY = 32  # pixels of the short side below which photographs are taken for icons
CHUNK = 64  # images of a thread between two looks at the progress
CORRUPT = ("undecodable", "truncated", "altered")


class Finding(NamedTuple):
    """One thing about one image.

    problem   undecodable, truncated, altered, mislabelled format, tiny, same bytes, same pixels
    detail    what exactly; for duplicates the first image that it equals
    """

    image: str
    split: str
    class_name: str
    problem: str
    detail: str


class Report(NamedTuple):
    """images that can be used, classes, findings in the order of the images, fingerprint."""

    images: int
    classes: int
    findings: list[Finding]
    fingerprint: str

    def count(self, *problems: str) -> int:
        return sum(finding.problem in problems for finding in self.findings)


def open_to_check(spec: str) -> Source:
    """The source with everything read from where it is stored, bad files left out and listed."""
    return open_source(
        spec,
        on_corrupt="skip",
        verify="decode",
        max_corrupt_fraction=1.0,
        memory_limit_bytes=0,
        empty_classes=True,
    )


def check(
    source: Source,
    *,
    tiny: int = TINY,
    deep: bool = False,
    advance: Callable[[int], None] | None = None,
) -> Report:
    """Look at every image of a source from `open_to_check`.

    tiny      short sides below this many pixels are reported; not of arrays, all of one size
    deep      read and decode all, those too that an earlier check saw and that have since kept
              their size and times
    advance   is told how many images are done
    Raises SourceError for a prepared folder with a damaged shard, by its name.
    """
    if isinstance(source, ArraySource):
        tiny = 0
    files = files_behind(source)
    now, known = (None, np.zeros(len(source), bool)) if files is None else recall(source, files)
    if deep:
        known[:] = False
    verify = getattr(source, "verify", None)
    if verify is not None and not known.all():
        verify()
    seen = [
        Finding(path, "", "", "truncated" if "truncated" in why else "undecodable", why)
        for path, why in source.corrupt
    ]
    catalogue = Catalogue(source)
    pixels: list[bytes] = []
    good: list[int] = []
    read = stored_bytes(source)
    recorded = source.digests if deep and files is getattr(source, "files", None) else None

    def look(part: range) -> list[Seen]:
        return [
            _recalled(now, i)
            if now is not None and known[i]
            else _look(source, read, i, catalogue.name(i), recorded)
            for i in part
        ]

    chunks = [range(i, min(i + CHUNK, len(source))) for i in range(0, len(source), CHUNK)]
    with ThreadPoolExecutor(workers()) as pool:
        for part, results in zip(chunks, pool.map(look, chunks), strict=True):
            for i, result in zip(part, results, strict=True):
                problems = result.problems(catalogue.name(i), tiny)
                seen += [Finding(*catalogue.of(i), *problem) for problem in problems]
                if result.key:
                    good.append(i)
                    pixels.append(result.key)
                    if now is not None:
                        now.quick[i] = np.frombuffer(result.key, np.uint8)
                        now.shapes[i] = result.height, result.width
                        now.reasons[i] = result.kind
            if advance:
                advance(part.stop)
    if now is not None and not known.all():
        decodes = np.zeros(len(source), bool)
        decodes[good] = True
        remember(source, now, decodes)
    by_bytes = content_digests(source)
    seen += _duplicates(catalogue, by_bytes, np.array(good, np.int64), as_rows(pixels))
    return Report(len(good), len(source.class_names), seen, source.fingerprint)


class Catalogue:
    """Name, split and class of the images of a source."""

    def __init__(self, source: Source) -> None:
        files = getattr(source, "files", None)
        self._names = None if files is None else files.names
        self._labels, self._classes = source.labels, source.class_names
        self._splits = [""] * len(source)
        for name, indices in (source.official_splits or {}).items():
            for i in indices.tolist():
                self._splits[i] = name

    def name(self, index: int) -> str:
        if self._names is None:
            return f"image {index}"
        return os.fsencode(self._names[index]).decode("utf-8", "backslashreplace")

    def split(self, index: int) -> str:
        return self._splits[index]

    def class_name(self, index: int) -> str:
        return str(self._classes[self._labels[index]])

    def of(self, index: int) -> tuple[str, str, str]:
        return self.name(index), self.split(index), self.class_name(index)


class Seen(NamedTuple):
    """Of one image.

    key     digest of its pixels; empty where there are none
    kind    of its file; "" where its name promises none
    bad     what is wrong with it, as (problem, detail)
    """

    key: bytes
    height: int = 0
    width: int = 0
    kind: str = ""
    bad: tuple[str, str] | None = None

    def problems(self, name: str, tiny: int) -> list[tuple[str, str]]:
        """As (problem, detail) of an image of this name."""
        if self.bad:
            return [self.bad]
        found = []
        if self.kind and self.kind != _promised(name):
            found.append(("mislabelled format", f"is a {self.kind} file"))
        if min(self.height, self.width) < tiny:
            found.append(("tiny", f"{self.height} x {self.width} pixels"))
        return found


def _recalled(index: Index, i: int) -> Seen:
    height, width = index.shapes[i].tolist()
    return Seen(index.quick[i].tobytes(), height, width, index.reasons[i])


def _promised(name: str) -> str | None:
    return KINDS.get(os.path.splitext(name)[1].lower())


def _look(
    source: Source,
    read: Callable[[int], bytes] | None,
    index: int,
    name: str,
    recorded: np.ndarray | None,
) -> Seen:
    """`recorded`: digests that the files' bytes must have, [n, 16]; None: not asked."""
    kind = ""
    try:
        if read is not None and (recorded is not None or _promised(name)):
            contents = read(index)
            if recorded is not None and digest(contents) != recorded[index].tobytes():
                return Seen(
                    b"", bad=("altered", "other contents with the size and times of before")
                )
            if _promised(name):
                kind = read_header(contents).kind
        with tf.device("CPU:0"):
            image = source.images(tf.constant(index, tf.int64)).numpy()
    except HeaderError as error:
        return Seen(b"", bad=("undecodable", str(error)))
    except (tf.errors.OpError, SourceError) as error:
        return Seen(b"", bad=("undecodable", first_line(error)[:200]))
    height, width = image.shape[:2]
    shape = np.asarray(image.shape, "<i4").tobytes()
    return Seen(digest(shape + np.ascontiguousarray(image).tobytes()), height, width, kind)


def _duplicates(
    catalogue: Catalogue, by_bytes: np.ndarray | None, good: np.ndarray, pixels: np.ndarray
) -> list[Finding]:
    """Every further copy of an image, told by the first one."""
    copies: dict[int, Finding] = {}
    for members, problem in [
        *((good[m], "same pixels") for m in clusters(pixels)),
        *((m, "same bytes") for m in clusters(by_bytes)),  # the stronger word comes last
    ]:
        first = int(members[0])
        for i in members[1:].tolist():
            where = [f"as {catalogue.name(first)}"]
            if catalogue.split(i) != catalogue.split(first):
                where.append(f"across splits ({catalogue.split(first)}, {catalogue.split(i)})")
            if catalogue.class_name(i) != catalogue.class_name(first):
                where.append(f"in two classes ({catalogue.class_name(first)})")
            copies[i] = Finding(*catalogue.of(i), problem, ", ".join(where))
    return [copies[i] for i in sorted(copies)]
