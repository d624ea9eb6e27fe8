"""Calls that give a result or refuse in one line; anything else that they raise is a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def attempt(kind: type[Exception], call: Callable[[], T]) -> tuple[T | None, str]:
    """(result, "") or (None, why not): an error of this kind with one printable line."""
    try:
        return call(), ""
    except kind as error:
        text = str(error)
    assert text
    assert len(text.splitlines()) == 1, text
    assert text.encode("utf-8")
    return None, text
