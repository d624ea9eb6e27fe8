"""A bench that ends before its time: what was measured is kept, and what is missing is named."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

from experiments.errors import FailedWork, Stopped


class Course:
    """How a bench goes: what failed, by name, and whether it was stopped."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}
        self.stopped = False

    @contextlib.contextmanager
    def until_stopped(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the block only, so that what it found can be written."""
        try:
            yield
        except Stopped:
            self.stopped = True

    @contextlib.contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """Failed work ends the block only, and is remembered by the name."""
        try:
            yield
        except FailedWork as error:
            self.failed[name] = str(error)

    def missing(
        self, done: Iterable[tuple[str, str, int]], of: int, unit: str = "rounds"
    ) -> dict[str, str]:
        """What was measured less often than it should, by its label: how often, and why not.

        Args:
            done: label, the name that it was tried by, and how often it was measured.
            of: how often it should.
        """
        missing = {}
        for label, name, count in done:
            if count < of:
                often = f"{count} of {of} {unit}" if of > 1 else "not measured"
                missing[label] = f"{often}: {self.failed.get(name, 'stopped')}"
        return missing

    def status(self, missing: Mapping[str, str]) -> str:
        """As that of runs: killed, failed or finished."""
        return "killed" if self.stopped else "failed" if missing else "finished"

    def nothing(self, bench: str, reasons: Mapping[str, str]) -> BaseException:
        """What to raise where nothing was measured."""
        if self.stopped:
            return Stopped("stopped before anything was measured")
        return FailedWork(f"{bench}: nothing could be measured: {reasons_line(reasons)}")


def missing_lines(missing: Mapping[str, str]) -> list[str]:
    """What is missing for people, a line a reason."""
    labels: dict[str, list[str]] = {}
    for label, why in missing.items():
        labels.setdefault(why, []).append(label)
    return [f"partial, {why}: {'; '.join(named)}" for why, named in labels.items()]


def reasons_line(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in reasons.items())
