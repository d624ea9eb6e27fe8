"""What is wrong with images, specs and splits."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable


class SplitError(ValueError):
    """A split that the data cannot give; the message is one line with the class and the fix."""


class SourceError(ValueError):
    """Images or a source spec that cannot be used; the message is one line and names the fix."""


class DamageError(SourceError):
    """Image files that were found damaged only when work on them read them."""


# Where TensorFlow and Keras speak of places, before and behind what went wrong.
PLACES = re.compile(
    r"\{\{function_node [^}]*\}\} ?|\x1b\[[0-9;]*m| ?\[Op:\w+\] name: ?| ?\[Op:\w+\]"
    r"|Error in user-defined function passed to \S+ transformation with iterator: \S+: "
)
PLACE_LINE = re.compile(
    r"Graph execution error:|Detected at node |<stack traces unavailable>|Node: |in user code:"
    r"|Exception encountered when calling |Arguments received by |Traceback \(most recent call last"
    r"|\[\[\{\{|\d+ root error\(s\) found|\(\d+\) \w+: *$"
    r"|\(raised as a result of "  # SQLAlchemy, before what went wrong
)
CODE = re.compile(r'( *)File ".*", line \d+')


def first_line(error: BaseException) -> str:
    """What went wrong, in one line; the error's name where it has no text.

    Lines that only say where (nodes, files of code and the code itself, headings) are passed over.
    """
    code: int | None = None  # how far the code is indented that a line has named
    for line in PLACES.sub("", str(error)).splitlines():
        words = line.strip()
        if named := CODE.match(line):
            code = len(named.group(1))
        elif code is not None and len(line) - len(line.lstrip()) > code:
            continue
        elif words and not PLACE_LINE.match(words):
            return words
        elif words:
            code = None
    return type(error).__name__


def nearest(word: str, known: Iterable[str]) -> str:
    """' (did you mean X?)' or nothing, for error messages."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def printable(name: str) -> str:
    """A path as one line of valid text: bytes that are no UTF-8 and control characters escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
