"""What is wrong with images, specs and splits."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SplitError(ValueError):
    """A split that the data cannot give; the message is one line with the class and the fix."""


class SourceError(ValueError):
    """Images or a source spec that cannot be used; the message is one line and names the fix."""


def first_line(error: BaseException) -> str:
    """What went wrong, in one line; the error's name where it has no text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def nearest(word: str, known: Iterable[str]) -> str:
    """' (did you mean X?)' or nothing, for error messages."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
