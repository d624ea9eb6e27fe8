"""How far a long piece of work is, in lines on stderr: done of all, a second, time left."""

from __future__ import annotations

import sys
import time

SAY_SECONDS = 15.0  # between two lines


def say(text: str) -> None:
    """A line on stderr: what takes long or is left out is never silent."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Says every SAY_SECONDS how far it is; work that is done sooner says nothing."""

    def __init__(self, work: str, total: int, before: int = 0) -> None:
        """`work` reads before and behind the numbers: "DIR: {} files checked"; `before` of them
        were done when it began, and say nothing about the pace."""
        self.work, self.total, self.before = work, total, before
        self._began = self._said = time.monotonic()

    def __call__(self, done: int) -> None:
        """So many are done by now."""
        now = time.monotonic()
        if now - self._said < SAY_SECONDS:
            return
        self._said = now
        rate = (done - self.before) / (now - self._began)
        counts = self.work.format(f"{done:,} of {self.total:,}")
        left = f", {duration((self.total - done) / rate)} left" if rate else ""
        say(f"{counts}, {rate:,.0f} a second{left}")


def duration(seconds: float) -> str:
    """In the two units that matter: 40 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
