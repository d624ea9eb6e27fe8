"""`ilsvrc upload`: send to a tracking server what it missed, or all to another, from journals.

Nothing is there twice afterwards, however often it is run: runs are found by their `journal_id`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.config.schema import Tracking
from experiments.errors import BadInput, first_line, shown
from experiments.jobs.job import ROOT, Outcome
from experiments.tracking.delivery import Opening, open_run, send, under
from experiments.tracking.experiment import Experiment
from experiments.tracking.journal import ABOVE_FITS, COMMANDS, Journal
from experiments.tracking.lock import held, holder, process
from experiments.tracking.outbox import PERMANENT
from experiments.tracking.run_log import RunLog, complete_parent
from experiments.tracking.search_journal import State
from experiments.tracking.tracked_run import FINAL, MEMBER, SUPERSEDED, TrackedRun, find_by_journal

AFTER_SEARCH = ("refit", "outer_fold", MEMBER, FINAL)
"""Levels of the fits of what searches have chosen."""
ENDED = {"FINISHED", "FAILED", "KILLED"}
OLD = "written by an earlier version: run its command again, which sends it"


def upload(name: str, uri: str | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Send what the store lacks of an experiment.

    Args:
        name: of the experiment, in this folder.
        uri: of the store, as tracking.uri.
        say: hears a line for each run that is sent.

    Returns:
        {"name", "store" (without a password), "sent": [{"directory", "run_id"}], "held": runs that
        the store had, "left": [{"directory", "why"}]}

    Raises:
        BadInput: there is no such experiment here, or nobody answers at the address.
    """
    root = ROOT / name
    books = sorted(path.parent for path in root.glob("*/journal.jsonl"))
    if not books:
        raise BadInput(f"upload: no experiment {name} in {ROOT.absolute()}; see: ilsvrc status")
    sender = _Sender(Experiment(name, Tracking(uri=uri)), say)
    parents = [f for kind in ABOVE_FITS for f in books if f.name.startswith(kind)]
    for folder in parents:
        openings = dict(_parents(Journal(folder)))
        sender.parents |= openings
        above = (sender.busy.get(opening.parent or "") for opening in openings.values())
        if at_work := holder(folder) or next(filter(None, above), None):
            sender.busy |= dict.fromkeys(openings, at_work)
    for folder in books:
        if folder.name.startswith(("search-", "nested-")):
            sender.search(folder)
        elif not folder.name.startswith(COMMANDS):
            sender.fit(folder)
    for folder in reversed(parents):
        sender.close_parent(folder)
    return {
        "name": name,
        "store": shown(sender.experiment.uri),
        "sent": sender.sent,
        "held": sender.held,
        "left": sender.left,
    }


def text(document: dict[str, Any]) -> str:
    """The same for people."""
    lines = [
        f"{document['name']}: {len(document['sent'])} runs sent to {document['store']}, "
        f"{document['held']} were there"
    ]
    return "\n".join(
        lines + [f"left: {row['directory']}: {row['why']}" for row in document["left"]]
    )


class _Sender:
    def __init__(self, experiment: Experiment, say: Callable[[str], None]):
        self.experiment, self.say = experiment, say
        self.client = experiment.client
        self.parents: dict[str, Opening] = {}
        """By the run ids that they have or had in any store."""
        self.busy: dict[str, dict[str, Any]] = {}
        """Who is at work under these run ids, and sends by itself."""
        self.sent: list[dict[str, str]] = []
        self.held = 0
        self.left: list[dict[str, str]] = []
        self._here: dict[str, str] = {}

    def fit(self, folder: Path) -> None:
        """Send a fit that has ended, unless the store has it or a process is at it."""
        with self._or_leave(folder):
            journal = Journal(folder)
            with journal.understood():
                parent = (journal.last("started") or {}).get("parent") or ""
            if name := self.busy.get(parent):
                self._leave(folder, f"its sweep is in use by {process(name)}")
                return
            with held(folder):
                self._fit(journal)

    @contextlib.contextmanager
    def _or_leave(self, folder: Path) -> Iterator[None]:
        """What is wrong with one folder, or refused by the store, lets the others go on."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except BadInput as error:
            self._leave(folder, str(error).removeprefix(f"{folder}: "))
        except MlflowException as error:
            if error.error_code not in PERMANENT:
                raise
            self._leave(folder, f"the store refuses it ({first_line(error)})")

    def search(self, folder: Path) -> None:
        """A search sends its own runs; say so if the store lacks some."""
        state = None
        with self._or_leave(folder):
            state = State(folder)
        if state is None or state.started is None:
            return
        runs = self.client.search_runs(
            [self.experiment.id], f"tags.search_id = '{state.id}'", max_results=1000
        )
        ended = [run for run in runs if run.info.status in ENDED]
        levels = [run.data.tags.get("level") for run in ended if SUPERSEDED not in run.data.tags]
        parent = "search" in levels or "nested" in levels
        children = sum(level in ("trial", *AFTER_SEARCH) for level in levels)
        fitted = sum(_is_after_search(record) for record in state.ended.values())
        if parent and children >= min(len(state.proposals) + fitted, 999):
            self.held += len(ended)
            return
        kind = folder.name.partition("-")[0]
        self._leave(
            folder,
            f"run it again with this tracking.uri: ilsvrc {kind} CONFIG sends what is "
            "missing and trains nothing twice",
        )

    def close_parent(self, folder: Path) -> None:
        """Send a command's run, and close it as the command ended."""
        book = Journal(folder)
        with self._or_leave(folder):
            with book.understood():
                opening, ended = Opening.of_event(book.last("started")), book.last("ended")
                if ended:
                    ended |= {"status": str(ended["status"]), "time": float(ended["time"])}
            if opening is None:
                self._leave(folder, OLD)
                return
            run = self._find(opening)
            if run and run.info.status in ENDED:
                self.held += opening.id not in self._here
                return
            if name := self.busy.get(opening.parent or ""):
                self._leave(folder, f"its sweep is in use by {process(name)}")
                return
            with held(folder):
                run_id = self._parent(opening)
                if ended:
                    complete_parent(RunLog(self.client, run_id), ended)
                else:
                    self._leave(folder, "has not ended: run the sweep again to continue")

    def _fit(self, journal: Journal) -> None:
        folder = journal.directory
        started, ended = journal.last("started"), journal.last("ended")
        if not started or not ended or journal.is_under_way:
            self._leave(folder, "has not ended: run its command again to continue")
            return
        with journal.understood():
            opening, outcome = Opening.of_event(started), Outcome.from_record(ended)
        if opening is None:
            self._leave(folder, OLD)
            return
        run = self._find(opening)
        if run and run.info.status in ENDED:
            self.held += 1
            return
        if outcome.status == "killed" and not run:
            self._leave(folder, "was interrupted: run its command again to continue")
            return
        above = self.parents.get(opening.parent or "")
        parent = self._parent(above) if above else None
        key = self.experiment.key
        run_id = send(self.client, self.experiment.id, journal, under(opening, parent), key)
        self.sent.append({"directory": str(folder), "run_id": run_id})
        self.say(f"sent {opening.name}")

    def _parent(self, opening: Opening) -> str:
        """The run in this store of a command, made if need be."""
        if opening.id not in self._here:
            run: TrackedRun | RunLog | None = self._find(opening)
            if not run:
                above = self.parents.get(opening.parent or "")
                below = under(opening, self._parent(above) if above else None)
                run = open_run(self.client, self.experiment.id, below, look=False)
                self.sent.append({"directory": opening.name, "run_id": run.id})
            self._here[opening.id] = run.id
        return self._here[opening.id]

    def _find(self, opening: Opening) -> TrackedRun | None:
        return find_by_journal(self.client, self.experiment.id, opening.id)

    def _leave(self, folder: Path, why: str) -> None:
        self.left.append({"directory": str(folder), "why": why})


def _is_after_search(record: Mapping[str, Any]) -> bool:
    """Is a fit of a search's journal one of AFTER_SEARCH, and finished?"""
    return "fold" not in record["path"] and record["outcome"]["status"] == "finished"


def _parents(book: Journal) -> Iterator[tuple[str, Opening]]:
    """Run ids and openings; `close_parent` says what is wrong with a journal that has none."""
    for event in book.events():
        if event["event"] == "started" and (opening := Opening.of_event(event)):
            yield event.get("run_id", ""), opening
