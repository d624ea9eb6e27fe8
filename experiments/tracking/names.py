"""Names and texts as an MLflow store takes them, and names back as they were.

A store takes letters, digits and `/_-.: `, and no name that is another path when read as one. What
else a name holds (a class `cat, domestic` in `train.class_weights`) is written as spreadsheets do
in XML: `_x002C_`, a code point in hexadecimal. All that a store takes stays as it is.
"""

from __future__ import annotations

import hashlib
import posixpath
import re

LONGEST = 250  # characters of a name
KEPT = 230  # of a longer one; a digest follows, and only config.yaml has it whole
DIGITS = 12
REFUSED = re.compile(r"[^/\w.\- :]|_(?=x[0-9A-F]{4,6}_)")
ESCAPED = re.compile(r"_x([0-9A-F]{4,6})_")
UNWRITABLE = re.compile(r"[\x00\ud800-\udfff]")
"""What databases do not take in a text, file names that are no UTF-8 among it."""


def encoded(name: str) -> str:
    """A name that a store takes, at most LONGEST characters."""
    name = REFUSED.sub(_escape, name)
    if posixpath.normpath(name) != name or name.startswith(("/", "..")) or name == ".":
        name = re.sub(r"/|^\.", _escape, name)
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:DIGITS]
    return f"{name[:KEPT]}...{digest}"


def decoded(name: str) -> str:
    """The name that was encoded; one that was too long stays cut."""
    return ESCAPED.sub(_unescape, name)


def writable(text: str) -> str:
    """A value that a database takes: what it does not is written as Python would."""
    return UNWRITABLE.sub(lambda c: ascii(c.group())[1:-1], text)


def _escape(character: re.Match[str]) -> str:
    return f"_x{ord(character.group()):04X}_"


def _unescape(escape: re.Match[str]) -> str:
    number = int(escape.group(1), 16)
    return chr(number) if number <= 0x10FFFF else escape.group()
