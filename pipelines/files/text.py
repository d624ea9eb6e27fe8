"""Text files that people write: UTF-8 with or without a byte-order mark, lines of any system."""

from __future__ import annotations

import os

LARGEST_BYTES = 64 * 1024**2
"""The validation labels of ILSVRC have 2 MB."""


def read_text(path: str | os.PathLike[str], most: int = LARGEST_BYTES) -> str:
    """What is written in a file, lines ended by \\n.

    Args:
        most: bytes that are read; a file that holds more is refused.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger, or not text in UTF-8 (UnicodeDecodeError).
    """
    with open(path, "rb") as file:
        contents = file.read(most + 1)
    if len(contents) > most:
        raise ValueError(f"has more than {most:,} bytes")
    text = contents.decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a file, numbered as an editor numbers them; see `read_text`."""
    return read_text(path).split("\n")
