"""MLflow: one run a fit, under one parent a command. The only writer is the coordinator."""

from __future__ import annotations

import contextlib
import filecmp
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.jobs.job import Outcome
from experiments.presentation.columns import rounded
from experiments.tracking.store import local_path

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

PARAM_BATCH, METRIC_BATCH, PARAM_CHARACTERS = 100, 1000, 6000  # limits of the MLflow server
EVERY_SECONDS, REST_SECONDS = 0.5, 60.0  # between sendings of metrics; after a failed one
SETTLEMENT = "settlement.json"  # of a sweep with `until`: which rows are settled, and by what
UNTIL_ALPHA = "sweep.until.alpha"  # a param that the run of such a sweep has
JOURNAL_TAG = "journal_id"  # by which a run is found again from the journal
STATUS = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}


class RunLog:
    """One tracked run being written. Metrics are buffered and sent a few times a second at most."""

    def __init__(self, client: MlflowClient, run_id: str):
        self.client = client
        self.id = run_id
        self._metrics: list[Any] = []
        self._next = time.monotonic() + EVERY_SECONDS

    @classmethod
    def start(
        cls,
        client: MlflowClient,
        experiment: str,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        parent: str | None = None,
        began: float | None = None,
    ) -> RunLog:
        """Open a run with its tags and params, under a parent if one is named.

        `began` is in seconds since 1970, None for now.
        """
        all_tags = dict(tags) | ({"mlflow.parentRunId": parent} if parent else {})
        start = None if began is None else int(began * 1000)
        created = client.create_run(experiment, start_time=start, run_name=name, tags=all_tags)
        run = cls(client, created.info.run_id)
        run.params(params)
        return run

    def params(self, values: Mapping[str, Any]) -> None:
        """Log params; one that the run has already with this value stays."""
        from mlflow.entities import Param

        entities = [Param(key, text(value)) for key, value in values.items()]
        for at in range(0, len(entities), PARAM_BATCH):
            self.client.log_batch(self.id, params=entities[at : at + PARAM_BATCH])

    def metrics(
        self,
        values: Mapping[str, float],
        step: int = 0,
        *,
        now: bool = False,
        stamp: int | None = None,
    ) -> None:
        """Log metrics at a step; sent at once with `now`, else with the next batch.

        A store keeps one row of the same name, step, value and `stamp` (milliseconds since 1970;
        None: now), however often it is sent.
        """
        from mlflow.entities import Metric

        stamp = int(time.time() * 1000) if stamp is None else stamp
        self._metrics += [Metric(k, float(v), stamp, step) for k, v in values.items()]
        if now or time.monotonic() > self._next:
            self.flush()

    def flush(self) -> None:
        """Send what is buffered; what a server did not take stays for the next time."""
        self._next = time.monotonic() + REST_SECONDS  # each failure costs retries: not every epoch
        while self._metrics:
            self.client.log_batch(self.id, metrics=self._metrics[:METRIC_BATCH])
            del self._metrics[:METRIC_BATCH]
        self._next = time.monotonic() + EVERY_SECONDS

    def tag(self, values: Mapping[str, str]) -> None:
        for key, value in values.items():
            self.client.set_tag(self.id, key, value)

    def dataset(self, given: DatasetInput) -> None:
        """Name what the run was trained on."""
        self.client.log_inputs(self.id, datasets=[given])

    def document(self, name: str, content: str) -> None:
        """Store a small text under a file name."""
        self.client.log_text(self.id, content, name)

    def file(self, path: str | Path, folder: str | None = None) -> None:
        self.client.log_artifact(self.id, str(path), folder)

    def file_once(self, path: Path, artifacts: Path | None) -> None:
        """Store a file that stays where it is, and whose writers replace it and never change it.

        Args:
            path: of the file.
            artifacts: the folder of the run's artifacts, where it is on this machine. The file lies
                on the disk once then, under both names, if the file system has links.
        """
        self.file(path)
        if artifacts is not None:
            _link(artifacts / path.name, path)

    def end(self, status: str, stamp: int | None = None) -> None:
        """Close the run as finished, failed or killed, now or at a time stamp."""
        self.flush()
        self.client.set_terminated(self.id, STATUS[status], stamp)


def complete(
    run: RunLog,
    outcome: Outcome,
    *,
    replay: bool = False,
    stamps: Sequence[int] = (),
    closed: int | None = None,
) -> None:
    """Bring a run to what its outcome says and close it; with `replay`, its curves too.

    Args:
        run: the open run.
        outcome: how its fit ended.
        replay: its curves too.
        stamps: milliseconds since 1970 of each epoch, so that sending again doubles nothing.
        closed: the same of its end.
    """
    if replay:
        for epoch, values in enumerate(outcome.history, start=1):
            stamp = stamps[epoch - 1] if epoch <= len(stamps) else closed
            run.metrics(values, step=epoch, stamp=stamp)
    last = len(outcome.history)
    measured = outcome.scores | outcome.cost
    run.metrics(measured | rounded(measured), step=last, stamp=closed)
    run.tag(outcome.tags | ({"error": outcome.error} if outcome.error else {}))
    for name, content in outcome.artifacts.items():
        run.document(name, json.dumps(content, indent=1))
    kept = [Path(path) for path in (outcome.predictions, outcome.model) if path]
    folder = local_path(run.client.get_run(run.id).info.artifact_uri) if kept else None
    for path in filter(Path.exists, kept):
        run.file_once(path, folder)
    for picture in outcome.files:
        if Path(picture).exists():
            run.file(picture)
    run.end(outcome.status, closed)


def complete_parent(run: RunLog, ended: Mapping[str, Any]) -> None:
    """Bring a run above others to what the `ended` event of its journal says, and close it: that of
    a command by its status and by what it settled, that above folds by its means and by the score
    of each fold as well."""
    closed = int(ended["time"] * 1000)
    if settlement := ended.get("settlement"):
        as_is = [row["settled_as"] for row in settlement["rows"]]
        counts = {"rows_undecided": as_is.count("undecided"), "seeds": len(settlement["seeds"])}
        counts |= {f"rows_{kind}": as_is.count(kind) for kind in ("beaten", "equivalent")}
        run.metrics(counts, stamp=closed)
        run.document(SETTLEMENT, json.dumps(settlement, indent=1))
    for name, values in ended.get("folds", {}).items():
        for fold, value in enumerate(values):
            run.metrics({f"fold_{name}": value}, step=fold, stamp=closed)
    if "outcome" not in ended:
        run.end(ended["status"], closed)
        return
    outcome = Outcome.from_record(ended)
    stamps = [closed - 1] * len(outcome.history)  # the scores count, not the last point of a curve
    complete(run, outcome, replay=True, stamps=stamps, closed=closed)


def _link(stored: Path, kept: Path) -> None:
    """Make a stored copy another name of the file that it was made from, in one step."""
    link = kept.with_name(f"{kept.name}.linked")
    with contextlib.suppress(OSError):  # two file systems, or one without links: two files
        if not stored.samefile(kept) and filecmp.cmp(stored, kept):
            link.unlink(missing_ok=True)
            link.hardlink_to(kept)
            link.replace(stored)
    with contextlib.suppress(OSError):
        link.unlink(missing_ok=True)


def text(value: Any) -> str:
    """A param as MLflow takes it."""
    written = value if isinstance(value, str) else json.dumps(value)
    return written[:PARAM_CHARACTERS]
