"""Where runs go, and whether anybody answers there."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.errors import BadInput, first_line, shown
from experiments.tracking.lock import alone

if TYPE_CHECKING:
    from mlflow import MlflowClient


def store_uri(uri: str | None) -> str:
    """Where runs go: the given URI, else MLFLOW_TRACKING_URI, else sqlite:///mlflow.db."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"


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
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
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
        raise does_not_work(uri, error) from None
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
        raise does_not_work(uri, error) from None


def does_not_work(uri: str, error: Exception) -> BadInput:
    """What to raise for a store that refuses, or has gone away."""
    return BadInput(f"tracking.uri: {shown(uri)} does not work: {first_line(error)}")
