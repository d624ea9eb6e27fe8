"""Fits of a search in this process: which ones are run, and a journal that knows only the first."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.fitting import fit
from experiments.jobs.job import Job


def watched(patch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs that are run from now on, in order."""
    jobs: list[Job] = []
    real = fit.attempt

    def attempt(job, emit):
        jobs.append(job)
        return real(job, emit)

    patch.setattr(fit, "attempt", attempt)
    return jobs


def cut(journal: Path, fits: int, torn: str = "") -> None:
    """Make a journal end before the fit after the first few has ended, as a kill does.

    Args:
        torn: the line that was being written.
    """
    kept, ended = [], 0
    for line in journal.read_text().splitlines(keepends=True):
        ended += '"event": "ended"' in line
        if ended > fits:
            break
        kept.append(line)
    journal.write_text("".join(kept) + torn)
