"""Arrow files as `datasets` writes them: where the bytes of each image lie, and the labels.

An Arrow file holds its columns as they are in memory, so an image is a byte range of the file.
Parquet and compressed Arrow are not: `plain` writes them out as such files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipelines.errors import SourceError, first_line

if TYPE_CHECKING:
    import pyarrow as pa

FILE_MAGIC = b"ARROW1"
END = b"\xff\xff\xff\xff\0\0\0\0"  # of a stream
LFS = b"version https://git-lfs"
ROWS = 64  # images a batch: below 2 GB, the most that one may hold


class Rows(NamedTuple):
    """The images and labels of a file, one row an image.

    offsets, sizes   byte ranges; -1 where only a path is stored
    paths            position -> the path that is stored instead of bytes; None: neither
    labels           whole numbers, or texts; None where there is none
    """

    offsets: np.ndarray
    sizes: np.ndarray
    paths: dict[int, str | None]
    labels: list[int | str | None]


def schema_of(scheme: str, path: Path) -> pa.Schema:
    """Of a Parquet or Arrow file. Raises SourceError for a damaged one."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as parquet

        return _read(scheme, path, lambda: parquet.read_schema(path))
    return _read(scheme, path, lambda: _reader(path)[0].schema)


def row_count(scheme: str, path: Path) -> int:
    """The rows of a file, from its tables of contents."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as parquet

        return int(_read(scheme, path, lambda: parquet.read_metadata(path).num_rows))
    return int(_read(scheme, path, lambda: sum(batch.num_rows for batch in _batches(path))))


def is_plain(scheme: str, path: Path, image: str) -> bool:
    """Whether the images are byte ranges of the file."""
    if path.suffix == ".parquet":
        return False

    def first() -> bool:
        reader, base, size = _reader(path)
        for batch in _iterate(reader):
            _, data = _buffers(batch.column(image))
            if batch.num_rows and data is not None and data.size:
                return bool(base <= data.address < base + size)
        return True

    return bool(_read(scheme, path, first))


def plain(columns: list[str]) -> Callable[[Path, Path], None]:
    """To write these columns of a Parquet or Arrow file to another, uncompressed."""

    def rewrite(path: Path, out: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as parquet

        if path.suffix == ".parquet":
            packed = parquet.ParquetFile(path)
            whole, batches = packed.schema_arrow, packed.iter_batches(ROWS, columns=columns)
        else:
            reader = _reader(path)[0]
            whole, batches = reader.schema, _iterate(reader)
        schema = pa.schema([whole.field(name) for name in columns], metadata=whole.metadata)
        with pa.OSFile(str(out), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            for batch in batches:
                writer.write_batch(batch.select(columns))

    return rewrite


def read_columns(scheme: str, path: Path, image: str, label: str) -> Rows:
    """Of an Arrow file whose images are byte ranges. Raises SourceError for a damaged one."""
    rows: Rows = _read(scheme, path, lambda: _columns(path, image, label))
    return rows


def _columns(path: Path, image: str, label: str) -> Rows:
    import pyarrow as pa

    reader, base, size = _reader(path)
    offsets, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    paths: dict[int, str | None] = {}
    labels: list[int | str | None] = []
    for batch in _iterate(reader):
        batch.select([image, label]).validate(full=True)  # of the ranges; images are not read
        images = batch.column(image)
        ends, data = _buffers(images)
        start = np.zeros(1, np.int64) if data is None else ends[:-1] + (data.address - base)
        if len(images) and (start.min() < 0 or ends[-1] - ends[0] + start[0] > size):
            raise ValueError("its images lie outside of it")
        here, lengths = start.copy(), np.diff(ends)
        stored = images.field("bytes") if pa.types.is_struct(images.type) else images
        for row in np.flatnonzero(stored.is_null().to_numpy(zero_copy_only=False)).tolist():
            named = images[row].as_py() if pa.types.is_struct(images.type) else None
            paths[len(labels) + row] = named.get("path") if named else None
            here[row] = -1
        offsets.append(here)
        sizes.append(lengths)
        values = batch.column(label)
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        labels += values.to_pylist()
    return Rows(np.concatenate(offsets), np.concatenate(sizes), paths, labels)


def _buffers(images: pa.Array) -> tuple[np.ndarray, Any]:
    """(where each image begins in the buffer, and the last ends, int64 [n + 1]; the buffer)."""
    import pyarrow as pa

    stored = images.field("bytes") if pa.types.is_struct(images.type) else images
    _, ends, data = stored.buffers()
    if ends is None:  # of no rows
        return np.zeros(len(stored) + 1, np.int64), None
    kind = np.int64 if pa.types.is_large_binary(stored.type) else np.int32
    first = stored.offset
    return np.frombuffer(ends, kind)[first : first + len(stored) + 1].astype(np.int64), data


def _reader(path: Path) -> tuple[Any, int, int]:
    """(reader of batches, address of the file in memory, bytes): mapped, so nothing is read yet."""
    import pyarrow as pa

    whole = pa.memory_map(str(path)).read_buffer()
    if whole.size >= len(FILE_MAGIC) and whole[: len(FILE_MAGIC)].to_pybytes() == FILE_MAGIC:
        return pa.ipc.open_file(pa.BufferReader(whole)), whole.address, whole.size
    if whole.size < len(END) or whole[-len(END) :].to_pybytes() != END:
        raise ValueError("it ends early")  # pyarrow takes the end of a batch for that of the file
    return pa.ipc.open_stream(pa.BufferReader(whole)), whole.address, whole.size


def _iterate(reader: Any) -> Iterator[Any]:
    if hasattr(reader, "num_record_batches"):
        return (reader.get_batch(i) for i in range(reader.num_record_batches))
    return iter(reader)


def _batches(path: Path) -> Iterator[Any]:
    return _iterate(_reader(path)[0])


def _read(scheme: str, path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (OSError, ValueError) as error:  # those of pyarrow are among them
        with path.open("rb") as file:
            pointer = file.read(len(LFS)) == LFS
        if pointer:
            raise SourceError(
                f"{scheme}: {path} is a pointer of Git LFS, not the file: run `git lfs pull` there"
            ) from None
        raise SourceError(
            f"{scheme}: {path} is damaged or truncated ({first_line(error)[:200]}): download it "
            "again"
        ) from None
