"""Tables as files: delimited text, JSON lines, Parquet; which delimiter, which rows."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.errors import SourceError
from pipelines.files.text import read_text

LARGEST_BYTES = 1024**3  # of a table of text: 1.3 million rows have some 0.1 GB
SAMPLE = 1000  # rows from which it is decided what a table is
SNIFFED = 256 * 1024  # characters from which the delimiter is told
DELIMITERS = (",", "\t", ";")

Lines = Iterator[tuple[int, list[str]]]  # number in the file, fields


class Table(NamedTuple):
    """A table, of which only the columns that are asked for are held in memory.

    names    of its columns, where the format has them; none: the first row may tell
    first    the first rows, whole
    columns  of positions, and how many rows to pass over: the numbers of the rows as people count
             them, and for each position its fields
    """

    path: Path
    names: list[str]
    first: list[list[str]]
    columns: Callable[[Sequence[int], int], tuple[Sequence[int], list[list[str]]]]
    unit: str = "line"

    def at(self, number: int) -> str:
        """Where a row stands, for messages."""
        return f"{self.path.name}, {self.unit} {number}"


def read_table(path: Path, is_image: Callable[[str], bool]) -> Table:
    """`is_image` says whether a field names an image that is there.

    Raises SourceError for what is no table, with the line.
    """
    if not os.path.exists(path):
        raise SourceError(f"csv: {path} does not exist: check the path")
    if not os.path.isfile(path):  # reading a pipe would wait for ever
        raise SourceError(f"csv: {path} is not a regular file: expected a table")
    if path.suffix.lower() == ".mat":
        raise SourceError(
            f"csv: {path} belongs to no set whose MATLAB files are known: Flowers 102 needs "
            "imagelabels.mat and setid.mat, Dogs train_list.mat and test_list.mat, Cars devkit/ "
            "with cars_train_annos.mat and cars_meta.mat; else write a table of image and label"
        )
    if path.suffix.lower() == ".parquet":
        table = _parquet(path)
    else:
        text = table_text(path)
        kind = _json_lines if path.suffix.lower() in (".jsonl", ".ndjson") else _delimited
        table = kind(path, text, is_image)
    if not table.first:
        raise SourceError(f"csv: {path} has no rows")
    return table


def table_text(path: Path) -> str:
    """Raises SourceError for what is no text."""
    try:
        return read_text(path, LARGEST_BYTES)
    except OSError as error:
        raise SourceError(f"csv: {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SourceError(f"csv: {path} is no text in UTF-8: save it as such") from None
    except ValueError as error:
        raise SourceError(f"csv: {path} {error}: write it as .parquet") from None


def _delimited(path: Path, text: str, is_image: Callable[[str], bool]) -> Table:
    lines = _way_to_read(text, is_image)

    def rows(skip: int) -> Lines:
        try:
            yield from islice(lines(text), skip, None)
        except _Malformed as error:
            number, why = error.args
            raise SourceError(
                f"csv: {path.name}, line {number}: {why}: put fields that hold the delimiter or "
                'line ends into quotes, and write a quote inside them twice, as ""'
            ) from None

    first = [fields for _, fields in islice(rows(0), SAMPLE)]
    width = len(first[0]) if first else 0
    first = [(fields + [""] * width)[:width] for fields in first]

    def columns(positions: Sequence[int], skip: int) -> tuple[Sequence[int], list[list[str]]]:
        numbers: list[int] = []
        kept: list[list[str]] = [[] for _ in positions]
        for number, row in rows(skip):
            if len(row) != width and (len(row) < width or any(row[width:])):
                raise SourceError(
                    f"csv: {path.name}, line {number}: has {len(row)} fields where the first row "
                    f"has {width}: put fields that hold the delimiter into quotes"
                )
            numbers.append(number)
            for column, position in zip(kept, positions, strict=True):
                column.append(row[position])
        return numbers, kept

    return Table(path, [], first, columns)


class _Malformed(Exception):
    """(line, what is wrong with it)."""


def _way_to_read(text: str, is_image: Callable[[str], bool]) -> Callable[[str], Lines]:
    """The delimiter by which the first rows have equally many fields; else one that they hold."""
    head = text if len(text) <= SNIFFED else text[: text.rfind("\n", 0, SNIFFED) + 1]
    present = [delimiter for delimiter in DELIMITERS if delimiter in head.partition("\n")[0]]
    for delimiter in present:
        try:
            widths = {len(row) for _, row in islice(_quoted(head, delimiter), SAMPLE)}
        except _Malformed:
            continue
        if len(widths) == 1:
            return partial(_quoted, delimiter=delimiter)
    if present:
        return partial(_quoted, delimiter=present[0])
    rows = [line for line in head.split("\n") if line.strip()][:SAMPLE]
    if not rows or not all(len(row.split()) > 1 for row in rows) or is_image(rows[-1].strip()):
        return partial(_spaced, split=lambda line: [line.strip()])
    row = rows[-1]  # the first may be a header
    ways = [_all_apart, _last_apart, _first_apart]
    if len({len(row.split()) for row in rows}) > 1:
        ways.remove(_all_apart)
    return partial(_spaced, split=next((way for way in ways if is_image(way(row)[0])), ways[0]))


def _all_apart(line: str) -> list[str]:
    return line.split()


def _last_apart(line: str) -> list[str]:
    return line.strip().rsplit(None, 1)


def _first_apart(line: str) -> list[str]:
    return line.strip().split(None, 1)


def _spaced(text: str, split: Callable[[str], list[str]]) -> Lines:
    for number, line in enumerate(text.split("\n"), 1):
        if fields := split(line) if line.strip() else []:
            yield number, fields


def _quoted(text: str, delimiter: str) -> Lines:
    # Not universal line ends: a field may hold some.
    reader = csv.reader(
        io.StringIO(text, newline="\n"), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    try:
        for row in reader:
            fields = [field.strip() for field in row]
            if any(fields):
                yield reader.line_num, fields
    except csv.Error as error:
        raise _Malformed(reader.line_num, error) from None


def _json_lines(path: Path, text: str, is_image: Callable[[str], bool]) -> Table:
    rows: list[dict[str, Any]] = []
    numbers = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise SourceError(
                f"csv: {path.name}, line {number}: expected a JSON object, such as "
                '{"file_name": "1.jpg", "label": "cat"}, received ' + repr(line.strip()[:80])
            )
        rows.append(row)
        numbers.append(number)
    names = list(dict.fromkeys(name for row in rows[:SAMPLE] for name in row))
    first = [[_text(row.get(name)) for name in names] for row in rows[:SAMPLE]]

    def columns(positions: Sequence[int], skip: int) -> tuple[Sequence[int], list[list[str]]]:
        return numbers, [[_text(row.get(names[i])) for row in rows] for i in positions]

    return Table(path, names, first, columns)


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        simple = [
            field.name
            for field in schema
            if not pa.types.is_nested(field.type)
            and not pa.types.is_binary(field.type)
            and not pa.types.is_large_binary(field.type)
        ]
        if len(simple) < len(schema.names) and len(simple) < 2:
            raise SourceError(
                f"csv: {path.name} holds images and does not name them: write 'hf:{path.parent}'"
            )
        first = next(pq.ParquetFile(path).iter_batches(SAMPLE, columns=simple), None)
        sample = [_texts(first.column(name)) for name in simple] if first is not None else []

        def columns(positions: Sequence[int], skip: int) -> tuple[Sequence[int], list[list[str]]]:
            table = pq.read_table(path, columns=[simple[i] for i in positions])
            return range(1, len(table) + 1), [_texts(table[simple[i]]) for i in positions]

        rows = [list(row) for row in zip(*sample, strict=True)]
        return Table(path, simple, rows, columns, "row")
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"csv: {path} is damaged or no Parquet file ({str(error).partition(chr(10))[0][:80]})"
        ) from None


def _texts(column: Any) -> list[str]:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    gap = "nan" if pa.types.is_floating(column.type) else ""
    return [
        "" if x is None or x == gap else x.strip() for x in column.cast(pa.string()).to_pylist()
    ]
