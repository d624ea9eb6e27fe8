"""What is done, on disk and synced before anything else hears of it.

A fit lives in `.ilsvrc/NAME/CONFIG_HASH/`: `journal.jsonl` (one event a line, appended and synced),
`predictions.parquet`, `model.keras`. The last event says where it stands. A search keeps one
journal for all of its fits (`experiments.tracking.search_journal`).
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from experiments.errors import BadInput, kind_and_first_line
from experiments.jobs.job import ROOT, Outcome

COMMANDS = ("sweep-", "folds-", "search-", "nested-")
"""What folders of commands begin with; the others are of single fits."""
ABOVE_FITS = ("sweep-", "folds-")
"""Of these, the ones of a run above fits that have journals of their own, the topmost first."""


class Journal:
    """The events of one directory, in order; a torn last line (power cut) is ignored."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.file = directory / "journal.jsonl"

    def open(self) -> Journal:
        """Make the directory and check that it can be written to.

        Raises:
            BadInput: it cannot.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with self.file.open("a+b") as file:
                self._mend(file)
        except OSError as error:
            raise BadInput(
                f"{self.directory}: cannot be written ({error.strerror}); "
                "run from a folder that you may write to"
            ) from None
        return self

    def append(self, event: str, **fields: Any) -> None:
        """Write one event and sync it to the disk."""
        line = json.dumps({"event": event, "time": time.time(), **fields}, default=_plain)
        with self.file.open("ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def events(self) -> list[dict[str, Any]]:
        """All whole events, oldest first; a line that is none is left out, with a warning."""
        if not self.file.exists():
            return []
        events = []
        for number, line in enumerate(self.file.read_bytes().split(b"\n"), start=1):
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and isinstance(event.get("event"), str):
                events.append(event)
            else:
                warnings.warn(f"{self.file}: line {number} is no event; left out", stacklevel=2)
        return events

    def last(self, *kinds: str) -> dict[str, Any] | None:
        """The newest event of one of these kinds, by the order of lines: clocks are set back."""
        return next((e for e in reversed(self.events()) if e["event"] in kinds), None)

    @property
    def is_under_way(self) -> bool:
        """It was started, and has not ended since."""
        newest = self.last("started", "ended")
        return newest is not None and newest["event"] == "started"

    @contextlib.contextmanager
    def understood(self) -> Iterator[None]:
        """Read events in here.

        Raises:
            BadInput: the journal cannot be read, or an event lacks what events of its kind have.
        """
        try:
            yield
        except (AttributeError, IndexError, KeyError, OSError, TypeError, ValueError) as error:
            if isinstance(error, BadInput):
                raise
            raise BadInput(
                f"{self.file}: not as this suite writes it ({kind_and_first_line(error)}); move "
                f"{self.directory} away, or put a copy back"
            ) from None

    def outcome(self, fingerprint: str) -> Outcome | None:
        """The finished outcome of this fit on data with this fingerprint, if there is one."""
        with self.understood():
            ended = self.last("ended")
            if not ended or ended["fingerprint"] != fingerprint:
                return None
            outcome = Outcome.from_record(ended)
        return outcome if outcome.status == "finished" else None

    def ended(
        self,
        outcome: Outcome,
        fingerprint: str,
        run_id: str,
        store: str,
        stamps: Sequence[int] = (),
    ) -> None:
        """Record how a fit ended and the tracked run of it (empty if no store has heard of it).

        `stamps`: milliseconds since 1970 of the end of each epoch.
        """
        self.append(
            "ended",
            outcome=asdict(outcome),
            fingerprint=fingerprint,
            run_id=run_id,
            store=store,
            stamps=list(stamps),
        )

    def tracked(self, store: str) -> str:
        """The run of the newest outcome in a store; empty if it was never sent there whole."""
        run_id = ""
        with self.understood():
            for event in self.events():
                if event["event"] == "ended":
                    run_id = ""
                elif event["event"] == "sent" and event["store"] == store:
                    run_id = event["run_id"]
        return run_id

    def _mend(self, file: Any) -> None:
        """End a torn last line, so that the next event starts on its own."""
        if file.tell() == 0:
            return
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")


def of_sweep(name: str, sweep_hash: str) -> Journal:
    """The journal of one sweep command: its parent run and its cells."""
    return Journal(ROOT / name / f"sweep-{sweep_hash}")


def of_folds(name: str, config_hash: str) -> Journal:
    """The journal of a configuration that is trained on each of its folds: the run above them."""
    return Journal(ROOT / name / f"folds-{config_hash}")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written to the journal")
