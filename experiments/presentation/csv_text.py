"""Tables as CSV that is safe to open in a spreadsheet: a name never becomes a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""How texts begin that spreadsheets compute, or that would be taken for guarded ones."""


def write(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any] | Sequence[Any]]
) -> None:
    """A file of `csv_text`. Raises OSError: it cannot be written."""
    path.write_text(csv_text(columns, rows), encoding="utf-8", newline="")


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any] | Sequence[Any]]) -> str:
    """A line of column names, then one a row; of a mapping what the columns name.

    Texts that a spreadsheet would compute stand behind an apostrophe; numbers stay as they are.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_guarded(column) for column in columns])
    for row in rows:
        cells = [row.get(x) for x in columns] if isinstance(row, Mapping) else row
        writer.writerow([_guarded(cell) for cell in cells])
    return text.getvalue()


def _guarded(cell: Any) -> Any:
    formula = isinstance(cell, str) and FORMULA.match(cell) and not _are_numbers(cell)
    return f"'{cell}" if formula else cell


def _are_numbers(text: str) -> bool:
    """One, or several between spaces, as lists are written."""
    try:
        return bool([float(word) for word in text.split(" ")])
    except ValueError:
        return False
