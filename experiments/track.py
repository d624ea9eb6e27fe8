"""MLflow: one run a fit, under one parent a command. The only writer is the coordinator."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import platform
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.errors import BadInput
from experiments.jobs import Outcome
from experiments.lock import alone

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

PARAM_BATCH, METRIC_BATCH, PARAM_CHARACTERS = 100, 1000, 6000  # limits of the MLflow server
EVERY_SECONDS, REST_SECONDS = 0.5, 60.0  # between sendings of metrics; after a failed one
JOURNAL_TAG = "journal_id"  # by which a run is found again from the journal
STATUS = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}


def store_uri(uri: str | None) -> str:
    """Where runs go: the given URI, else MLFLOW_TRACKING_URI, else sqlite:///mlflow.db."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"


def shown(text: str) -> str:
    """A URI, or a text with URIs in it, without their passwords: for people and logs."""
    # greedy: a password may hold / and @; a path has lost one of the slashes
    text = re.sub(r"(https?://?|://)\S*@", r"\1", text)
    return re.sub(r"(?i)([?&;](?:\w*password|\w*token|secret)=)[^&;\s'\"]+", r"\1...", text)


def connect(uri: str) -> MlflowClient:
    """A client of a store that answers.

    Raises:
        BadInput: nobody answers at the address, or the database file cannot be opened.
    """
    turn: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if uri.startswith(("http://", "https://")):
        _knock(uri)
    elif uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        _check_database(path)
        turn = alone(path.parent)  # MLflow makes its tables one by one, and fails on half of them
    elif uri.startswith("file:") or "://" not in uri:
        raise BadInput(
            f"tracking.uri: MLflow no longer writes to folders. Received: {shown(uri)}; "
            "use sqlite:///mlflow.db or the address of a server"
        )
    elif uri.startswith(("postgresql", "mysql", "mssql")):
        _try_database(uri)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # --json has stdout
    import logging

    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    for chatty in ("mlflow", "alembic"):  # after the import, which sets levels of its own
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # a line for each retry
    try:
        with turn:
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        first = shown(str(error).strip().splitlines()[0])
        raise BadInput(f"tracking.uri: {shown(uri)} does not work: {first}") from None
    return client


def answers(uri: str) -> bool:
    """A quick look whether a server is there; a database always is."""
    if not uri.startswith(("http://", "https://")):
        return True
    try:
        _knock(uri, timeout=2)
    except BadInput:
        return False
    return True


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """The experiment of this name, made if need be; a deleted one is restored."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = None
        if uri.startswith("sqlite:///"):
            database = Path(uri.removeprefix("sqlite:///")).resolve()
            location = (database.parent / "mlruns" / name).as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise  # else another process has just made it
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


class Run:
    """One tracked run. Metrics are buffered and sent a few times a second at most."""

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
    ) -> Run:
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

    def end(self, status: str, stamp: int | None = None) -> None:
        """Close the run as finished, failed or killed, now or at a time stamp."""
        self.flush()
        self.client.set_terminated(self.id, STATUS[status], stamp)


def complete(
    run: Run,
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
    run.metrics(outcome.scores | outcome.cost, step=last, stamp=closed)
    run.tag(outcome.tags | ({"error": outcome.error} if outcome.error else {}))
    for name, content in outcome.artifacts.items():
        run.document(name, json.dumps(content, indent=1))
    for path in (outcome.predictions, outcome.model, *outcome.files):
        if path and Path(path).exists():
            run.file(path)
    run.end(outcome.status, closed)


def find(client: MlflowClient, experiment: str, journal_id: str) -> str | None:
    """The run that came from this record of a journal, None if the store has none."""
    query = f"tags.{JOURNAL_TAG} = '{journal_id}'"
    found = client.search_runs([experiment], query, max_results=1)
    return str(found[0].info.run_id) if found else None


def reopen(client: MlflowClient, run_id: str) -> Run | None:
    """An earlier run, set running again; None if the store has it no longer."""
    from mlflow.exceptions import MlflowException

    try:
        if client.get_run(run_id).info.lifecycle_stage != "active":
            return None
        client.update_run(run_id, status="RUNNING")
    except MlflowException:
        return None
    return Run(client, run_id)


def holds(client: MlflowClient, run_id: str) -> bool:
    """True if the store has this run, finished and not deleted."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return False
    try:
        info = client.get_run(run_id).info
    except MlflowException:
        return False
    return bool(info.status == "FINISHED" and info.lifecycle_stage == "active")


def surroundings() -> tuple[dict[str, str], dict[str, str]]:
    """Tags that say where a result comes from (git commit, machine), and package versions."""
    import subprocess
    from importlib import metadata

    def git(*words: str) -> str | None:
        here = Path(__file__).parent
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            # fixed words; git is whichever the user's own PATH has
            done = subprocess.run(  # nosec B603, B607
                ["git", "-C", str(here), *words], capture_output=True, text=True, timeout=10
            )
            return done.stdout.strip() if done.returncode == 0 else None
        return None

    commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain")
    tags = {
        "git_commit": commit or "unknown",
        "git_dirty": "unknown" if changes is None else str(bool(changes)).lower(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }
    wanted = ("tensorflow", "keras", "numpy", "mlflow", "keras-tuner", "ilsvrc-suite")
    versions = {}
    for package in wanted:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return tags, versions


def store_key(uri: str) -> str:
    """A short name of a store, safe to keep in the journal (no password in it)."""
    return hashlib.sha256(uri.encode()).hexdigest()[:12]


def _knock(uri: str, timeout: float = 5) -> None:
    parts = urllib.parse.urlsplit(uri)  # urllib takes user:password@ for a part of the host's name
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        # http or https only: whoever calls has looked at the scheme
        with urllib.request.urlopen(  # nosec B310
            bare.rstrip("/") + "/health", timeout=timeout
        ):
            return
    except urllib.error.HTTPError as error:
        if error.code < 500:
            return  # somebody answers; the client will say what it makes of it
        reason: Any = f"it answers {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
    raise BadInput(
        f"tracking.uri: {shown(uri)} does not answer ({shown(str(reason))}); "
        "start the server, or set tracking.uri=sqlite:///mlflow.db"
    )


def _check_database(path: Path) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise BadInput(f"tracking.uri: {folder}: no such folder for the database {path.name}")
    writable = os.access(path if path.exists() else folder, os.W_OK)
    if not writable:
        raise BadInput(f"tracking.uri: {path}: cannot be written")


def _try_database(uri: str) -> None:
    """MLflow tries a database that refuses for minutes, and says so in many lines."""
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = sqlalchemy.create_engine(uri)
        engine.connect().close()
        engine.dispose()
    except ModuleNotFoundError as error:
        raise BadInput(
            f"tracking.uri: {shown(uri)} needs the package {error.name}; install it, or name the "
            "driver that is there, as in postgresql+psycopg2://..."
        ) from None
    except (SQLAlchemyError, ValueError) as error:
        first = shown(str(error).splitlines()[0])
        raise BadInput(f"tracking.uri: {shown(uri)} does not work: {first}") from None


def text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:PARAM_CHARACTERS]
