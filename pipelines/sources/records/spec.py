"""What the specs of sets of records share: patterns of shards, lists of classes, what is there."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipelines.errors import SourceError
from pipelines.files.text import read_lines

BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
NUMBERS = "numbers"
MOST_NAMED = 4  # kinds of files and folders of a place that a refusal names


def expanded(pattern: str) -> list[str]:
    """`a-{00..12}.tar` and `{a,b}.tar` written out as a shell does, in order."""
    braces = BRACES.search(pattern)
    if braces is None:
        return [pattern]
    before, after = pattern[: braces.start()], pattern[braces.end() :]
    return [name for word in _words(braces[1]) for name in expanded(before + word + after)]


def _words(inside: str) -> Iterator[str]:
    for word in inside.split(","):
        ends = RANGE.fullmatch(word)
        if ends is None:
            yield word
            continue
        first, last = ends.groups()
        width = len(first) if first.startswith("0") else 0
        for number in range(int(first), int(last) + 1):
            yield f"{number:0{width}d}"


def holdings(folder: Path) -> str:
    """What lies in a folder, for a refusal: "3 folders (a, b, c) and 20 .jpg files"."""
    folders: list[str] = []
    endings: Counter[str] = Counter()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                folders.append(entry.name)
            else:
                endings[os.path.splitext(entry.name)[1].lower() or "other"] += 1
    kinds = []
    if folders:
        named = ", ".join(sorted(folders)[:MOST_NAMED])
        more = ", ..." if len(folders) > MOST_NAMED else ""
        kinds.append(f"{len(folders)} folder{'s' if len(folders) > 1 else ''} ({named}{more})")
    for ending, count in endings.most_common(MOST_NAMED):
        kinds.append(f"{count} {ending} file{'s' if count > 1 else ''}")
    return " and ".join(kinds) or "nothing"


def classes_setting(scheme: str, text: str) -> list[str] | None:
    """What `classes=` says: the names in a file, or None of `classes=numbers`: none but numbers."""
    return None if text == NUMBERS else class_list(scheme, Path(text).expanduser())


def class_list(scheme: str, path: Path) -> list[str]:
    """The names of classes in a text file, one a line: line k is class k, from 0.

    Raises SourceError for a file that cannot be read, and for an empty line between others.
    """
    try:
        names = [line.strip() for line in read_lines(path)]
    except OSError as error:
        raise SourceError(f"{scheme}: {path} cannot be read ({error.strerror})") from None
    except ValueError:
        raise SourceError(f"{scheme}: {path} is no text in UTF-8: save it as such") from None
    while names and not names[-1]:
        names.pop()
    if not names or "" in names:
        line = names.index("") + 1 if names else 1
        raise SourceError(f"{scheme}: {path}, line {line}: expected the name of a class")
    return names
