"""Shards of records on disk: ArrayRecord files that are whole or absent, with their checksums.

Each shard is written under another name, synced and renamed; its entry (records, bytes, sha256,
digests of its images) is written after it. A shard without an entry does not count.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.errors import SourceError, first_line
from pipelines.files.unchanged import check_unchanged
from pipelines.files.verify import Files, files_of

OPTIONS = "group_size:1,uncompressed"  # JPEG does not shrink, and one record is one read
READ = "readahead_buffer_size:0,index_storage_option:in_memory"  # random access
DIGEST_BYTES = 16  # of the sha256 of an image's bytes
READ_BYTES = 4 * 1024**2


def digest(data: bytes) -> bytes:
    """The first DIGEST_BYTES of the sha256: equal for equal images only."""
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


class Record(NamedTuple):
    """What is stored of an image, and the digest of what it was made from."""

    data: bytes
    digest: bytes
    shape: tuple[int, int]


def file_digest(path: Path) -> str:
    """sha256 hex of a file, read in pieces."""
    sha256 = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(READ_BYTES):
            sha256.update(piece)
    return sha256.hexdigest()


def write_whole(path: Path, text: str) -> None:
    """The file holds all of the text or is what it was before."""
    partial = path.with_name(f".{path.name.lstrip('.')}.{os.getpid()}")
    with open(partial, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    _sync_folder(path.parent)


def write_shards(
    directory: Path,
    count: int,
    per_shard: int,
    records: Callable[[int], Iterable[Record]],
    advance: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """The entries of all shards of `count` records; those already whole are kept.

    records(start)  yields Records start, start + 1, ... up to count
    advance(done)   is told how many records are on disk
    Raises SourceError when the records end early.
    """
    starts = range(0, count, per_shard)
    names = [f"shard-{i:05d}-of-{len(starts):05d}.array_record" for i in range(len(starts))]
    entries: list[dict[str, Any]] = []
    for name in names:
        entry = _whole_shard(directory, name)
        if entry is None:
            break
        entries.append(entry)
    done = sum(entry["images"] for entry in entries)
    stream = iter(records(done)) if done < count else iter(())
    for name in names[len(entries) :]:
        if advance:
            advance(done)
        entry = _write_shard(directory, name, stream, min(per_shard, count - done))
        entries.append(entry)
        done += entry["images"]
    if advance:
        advance(done)
    return entries


def forget_entries(directory: Path) -> None:
    """Removes what only an unfinished run needs; the manifest has it by now."""
    for leftover in (".shard-*", ".manifest.json.*", ".prepare.json.*"):
        for path in directory.glob(leftover):
            path.unlink(missing_ok=True)


def _entry_path(directory: Path, name: str) -> Path:
    return directory / f".{name}.json"


def _whole_shard(directory: Path, name: str) -> dict[str, Any] | None:
    """The entry of a shard that an earlier run finished, checked byte by byte, else None."""
    try:
        entry = json.loads(_entry_path(directory, name).read_text(encoding="utf-8"))
        if file_digest(directory / name) == entry["sha256"]:
            return dict(entry)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _write_shard(
    directory: Path, name: str, stream: Iterator[Record], wanted: int
) -> dict[str, Any]:
    from array_record.python.array_record_module import ArrayRecordWriter

    partial = directory / f".{name}.{os.getpid()}"
    digests: list[bytes] = []
    shapes: list[tuple[int, int]] = []
    writer = ArrayRecordWriter(str(partial), OPTIONS)
    try:
        for _ in range(wanted):
            record = next(stream, None)
            if record is None:
                raise SourceError(
                    f"{name}: expected {wanted} images, received {len(digests)}: has the source "
                    "changed meanwhile? Prepare into an empty folder"
                )
            writer.write(record.data)
            digests.append(record.digest)
            shapes.append(record.shape)
        writer.close()
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        entry = {
            "name": name,
            "images": wanted,
            "bytes": partial.stat().st_size,
            "sha256": file_digest(partial),
            "digests": b"".join(digests).hex(),
            "height": _common(height for height, _ in shapes),
            "width": _common(width for _, width in shapes),
        }
        os.replace(partial, directory / name)
    except BaseException:
        if writer.is_open():
            writer.close()
        partial.unlink(missing_ok=True)
        raise
    write_whole(_entry_path(directory, name), json.dumps(entry))
    return entry


def _common(sizes: Iterable[int]) -> int | None:
    distinct = set(sizes)
    return distinct.pop() if len(distinct) == 1 else None


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class ShardReader:
    """Random access to the records of shards, by their number over all of them. Thread-safe."""

    def __init__(self, directory: Path, entries: list[dict[str, Any]]) -> None:
        self.directory = directory
        self.entries = entries
        self.starts = [0]
        for entry in entries:
            self.starts.append(self.starts[-1] + int(entry["images"]))
        self.files: Files | None = None
        self._readers: dict[int, Any] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"directory": self.directory, "entries": self.entries, "files": self.files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["directory"], state["entries"])  # type: ignore[misc]  # readers anew
        self.files = state["files"]

    def check_unchanged(self, spec: str) -> None:
        """Hold the shards against what they were in `verify`. Raises SourceError by name."""
        files = self.files
        if files is not None:
            check_unchanged(
                spec,
                files,
                range(len(files)),
                lambda i: file_digest(Path(files.paths[i])) == self.entries[i]["sha256"],
            )

    def verify(self, contents: bool) -> None:
        """Sizes of all shards, and with `contents` their sha256. Raises SourceError by name."""
        paths = [self.directory / entry["name"] for entry in self.entries]
        try:
            self.files = files_of(paths)
        except OSError as error:
            raise _unreadable(error) from None
        for path, entry, size in zip(paths, self.entries, self.files.sizes.tolist(), strict=True):
            same = size == entry["bytes"]
            try:
                damaged = same and contents and file_digest(path) != entry["sha256"]
            except OSError as error:
                raise _unreadable(error) from None
            if not same:
                raise SourceError(
                    f"prepared: shard {path}: expected {entry['bytes']} bytes, received {size}: "
                    "copy it again, or prepare again into an empty folder"
                )
            if damaged:
                raise SourceError(
                    f"prepared: shard {path} is damaged (its sha256 is not the manifest's): "
                    "copy it again, or prepare again into an empty folder"
                )

    def read(self, index: int) -> bytes:
        """One record. Raises SourceError when it is damaged (ArrayRecord keeps a hash of each)."""
        shard = bisect.bisect_right(self.starts, index) - 1
        try:
            return bytes(self._reader(shard).read([index - self.starts[shard]])[0])
        except (RuntimeError, ValueError, IndexError) as error:
            raise self._damaged(shard, error) from None

    def read_all(self) -> Iterator[bytes]:
        """All records in order."""
        for shard in range(len(self.entries)):
            try:
                yield from self._reader(shard).read_all()
            except (RuntimeError, ValueError) as error:
                raise self._damaged(shard, error) from None

    def _damaged(self, shard: int, error: Exception) -> SourceError:
        return SourceError(
            f"prepared: shard {self.directory / self.entries[shard]['name']} is damaged "
            f"({first_line(error)}): copy it again, or prepare again into an empty folder"
        )

    def _reader(self, shard: int) -> Any:
        with self._lock:
            if shard not in self._readers:
                from array_record.python.array_record_module import ArrayRecordReader

                entry = self.entries[shard]
                reader = ArrayRecordReader(str(self.directory / entry["name"]), options=READ)
                if reader.num_records() != entry["images"]:
                    raise ValueError(
                        f"expected {entry['images']} records, received {reader.num_records()}"
                    )
                self._readers[shard] = reader
            return self._readers[shard]


def _unreadable(error: OSError) -> SourceError:
    return SourceError(
        f"prepared: shard {error.filename} cannot be read ({error.strerror}): restore it, or "
        "prepare again into an empty folder"
    )
