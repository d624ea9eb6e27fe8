"""What `csv:` is told: which tables, which of their columns, and where the images lie."""

from __future__ import annotations

import os
from typing import NamedTuple

from pipelines.errors import SourceError, nearest
from pipelines.files.naming import split_of

KEYS = ("image", "label", "split", "folder", "suffix", "classes")
FORM = "csv:FILE,image=COLUMN,label=COLUMN,split=COLUMN,folder=DIR,suffix=.jpg,classes=FILE"


class TableSpec(NamedTuple):
    """A spec in its parts; a setting that was not given is empty.

    tables   (split word, path as written): one without a word, or one for each part
    """

    tables: tuple[tuple[str, str], ...]
    image: str = ""
    label: str = ""
    split: str = ""
    folder: str = ""
    suffix: str = ""
    classes: str = ""

    @property
    def settings(self) -> dict[str, str]:
        """Those that were given, in one order."""
        return {key: getattr(self, key) for key in KEYS if getattr(self, key)}

    @property
    def text(self) -> str:
        """The canonical spec: it opens the same source again."""
        tables = [
            f"{word}={os.path.normpath(path)}" if word else os.path.normpath(path)
            for word, path in self.tables
        ]
        return "csv:" + ",".join([*tables, *(f"{k}={v}" for k, v in self.settings.items())])


def parse_spec(text: str) -> TableSpec:
    """FILE and settings after commas, or WORD=FILE for each part, such as train=a.txt,test=b.txt.

    The longest beginning that is a path which exists is FILE, so that names may hold commas and
    equals signs. Raises SourceError for unknown settings and those given twice.
    """
    file, pieces = _cut(text.split(","))
    values: dict[str, str] = {}
    tables: dict[str, str] = {}
    last, key = values, ""
    for piece in pieces:
        word, equals, value = piece.partition("=")
        word, value = word.strip(), value.strip()
        if not equals and key:  # a comma inside the value before it
            last[key] += f",{piece}"
            continue
        if word not in KEYS and not split_of(word):
            raise SourceError(
                f"csv: unknown setting {word!r}{nearest(word, KEYS)}; expected {', '.join(KEYS)}, "
                "or train=FILE, val=FILE, test=FILE"
            )
        last, key = values if word in KEYS else tables, word
        if not value:
            raise SourceError(f"csv: {word}: expected a value after '=', received none")
        if word in last:
            raise SourceError(f"csv: {word} is given twice: remove one")
        last[word] = value
    _check(file, tables)
    if tables and "split" in values:
        raise SourceError("csv: split= stands beside a table for each part: remove it")
    return TableSpec(tuple(tables.items()) or (("", file),), **values)


def _check(file: str, tables: dict[str, str]) -> None:
    if not file and not tables:
        raise SourceError(f"csv: expected a table, received none: write '{FORM}'")
    if file and tables:
        raise SourceError(
            f"csv: {file} stands beside {', '.join(f'{word}=' for word in tables)}: write one "
            "table for all parts, or WORD=FILE for each"
        )
    words: dict[str | None, str] = {}
    for word in tables:
        other = words.setdefault(split_of(word), word)
        if other != word:
            raise SourceError(f"csv: {other}= and {word}= are the same part: remove one")


def _cut(pieces: list[str]) -> tuple[str, list[str]]:
    """(FILE, the settings): FILE is empty where the first piece is a setting."""
    for end in range(len(pieces), 0, -1):
        file = ",".join(pieces[:end]).strip()
        if file and os.path.lexists(os.path.expanduser(file)):
            return file, pieces[end:]
    settings = (i for i, piece in enumerate(pieces) if _is_setting(piece))
    unknown = (i for i, piece in enumerate(pieces) if i and "=" in piece)
    end = min(next(settings, len(pieces)), next(unknown, len(pieces)))
    return ",".join(pieces[:end]).strip(), pieces[end:]


def _is_setting(piece: str) -> bool:
    word, equals, _ = piece.partition("=")
    return bool(equals) and (word.strip() in KEYS or split_of(word) is not None)
