"""What takes long says so on stderr: what is done, where, how far, and how long it will take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

SAY_SECONDS = 15.0  # between two lines


def say(text: str) -> None:
    """A line on stderr: what takes long or is left out is never silent."""
    print(text, file=sys.stderr)


def progress(what: str, total: int, unit: str) -> Callable[[int], None]:
    """To be told how many of `total` are done; says so from time to time, with the time left."""
    began = said = time.monotonic()
    first: int | None = None

    def advance(done: int) -> None:
        nonlocal said, first
        now = time.monotonic()
        if first is None:
            first = done  # what an earlier run had done says nothing about the pace
        if now - said < SAY_SECONDS or done >= total:
            return
        said = now
        left = (total - done) * (now - began) / (done - first) if done > first else 0.0
        say(f"{what}: {done} of {total} {unit}{f', about {duration(left)} left' if left else ''}")

    return advance


def duration(seconds: float) -> str:
    """Rounded as a person would say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
