"""tf.train.Example records: where a value's bytes lie, and small values, without a copy.

TFRecord holds each record after 12 bytes of length and checksum; the record is a protocol buffer,
in which an image's bytes stand as they are. So an image is a byte range of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import SourceError
from pipelines.lazy import tf

HEAD_BYTES, TAIL_BYTES = 12, 4  # around each record
READ_BYTES = 8 * 1024**2
INT = 3
KINDS = {1: "bytes", 2: "float", INT: "int"}
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types


class Value(NamedTuple):
    """The first value of a feature: the range of its bytes in the record, or a number."""

    start: int
    stop: int
    number: int | None = None


def records(path: Path) -> Iterator[tuple[int, bytes]]:
    """(first byte in the file, bytes) of each record, its checksums held against it.

    Raises SourceError, with the number of the record, for a damaged or truncated file.
    """
    at, count = 0, 0
    with tf.device("CPU:0"):
        data = tf.data.TFRecordDataset(str(path), buffer_size=READ_BYTES)
        try:
            for record in data.as_numpy_iterator():
                yield at + HEAD_BYTES, record
                at += HEAD_BYTES + len(record) + TAIL_BYTES
                count += 1
        except (tf.errors.DataLossError, tf.errors.OutOfRangeError):
            what = f"after {count} records" if count else "or no TFRecord file"
            raise SourceError(
                f"tfrecord: {path} is damaged or truncated {what}: download it again"
            ) from None


def names_of(record: bytes) -> dict[str, str]:
    """name -> kind (bytes, float, int) of the features of an Example; empty for other records."""
    try:
        return {
            record[name.start : name.stop].decode("utf-8", "replace"): KINDS.get(kind, "none")
            for name, kind, _ in _features(record)
        }
    except (IndexError, ValueError):
        return {}


def values_of(record: bytes, names: Sequence[bytes]) -> dict[bytes, Value]:
    """The first value of each of these features that has one. Raises ValueError."""
    values: dict[bytes, Value] = {}
    try:
        for name, kind, within in _features(record):
            key = record[name.start : name.stop]
            if key not in names:
                continue
            for field, value in _fields(record, within.start, within.stop):
                if field != 1:
                    continue
                if kind == INT and value.number is None:  # several, one behind the other
                    if value.start == value.stop:
                        continue
                    value = value._replace(number=_signed(_varint(record, value.start)[0]))
                values.setdefault(key, value)
                break
    except IndexError:
        raise ValueError("is no tf.train.Example") from None
    return values


def _features(record: bytes) -> Iterator[tuple[Value, int, Value]]:
    """(name, kind, list of values) of each feature: fields 1 of Example, Features and its map."""
    for number, features in _fields(record, 0, len(record)):
        if number != 1:
            continue
        for _, entry in _fields(record, features.start, features.stop):
            parts = dict(_fields(record, entry.start, entry.stop))
            if 1 in parts and 2 in parts:
                for kind, within in _fields(record, parts[2].start, parts[2].stop):
                    yield parts[1], kind, within


def _fields(record: bytes, at: int, stop: int) -> Iterator[tuple[int, Value]]:
    """(number, value) of the fields of a message. Raises ValueError for what is none."""
    while at < stop:
        key, at = _varint(record, at)
        wire = key & 7
        if wire == VARINT:
            number, at = _varint(record, at)
            yield key >> 3, Value(at, at, _signed(number))
        elif wire == LENGTH:
            length, at = _varint(record, at)
            if at + length > stop:
                raise ValueError("is no tf.train.Example")
            yield key >> 3, Value(at, at + length)
            at += length
        elif wire in (FIXED64, FIXED32):
            width = 8 if wire == FIXED64 else 4
            yield key >> 3, Value(at, at + width)
            at += width
        else:
            raise ValueError("is no tf.train.Example")


def _varint(record: bytes, at: int) -> tuple[int, int]:
    """(number, position behind it)."""
    value = shift = 0
    while True:
        byte = record[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("is no tf.train.Example")


def _signed(number: int) -> int:
    """int64 is stored as the uint64 of its bits."""
    return (number + 2**63) % 2**64 - 2**63
