"""What is done, on disk and synced before anything else hears of it.

A fit lives in `.ilsvrc/NAME/CONFIG_HASH/`: `journal.jsonl` (one event a line, appended and synced),
`predictions.parquet`, `model.keras`. The last event says where it stands. A search keeps one
journal for all of its fits (`experiments.tracking.search_journal`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from experiments.errors import BadInput
from experiments.jobs.job import ROOT, Outcome

COMMANDS = ("sweep-", "search-", "nested-")
"""What folders of commands begin with; the others are of single fits."""


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
        """All whole events, oldest first."""
        if not self.file.exists():
            return []
        events = []
        for line in self.file.read_bytes().split(b"\n"):
            try:
                events.append(json.loads(line))
            except ValueError:
                continue
        return events

    def last(self, event: str) -> dict[str, Any] | None:
        """The newest event of one kind."""
        return next((e for e in reversed(self.events()) if e["event"] == event), None)

    def outcome(self, fingerprint: str) -> Outcome | None:
        """The finished outcome of this fit on data with this fingerprint, if there is one."""
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


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written to the journal")
