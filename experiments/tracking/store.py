"""Where runs go, and whether anybody answers there."""

from __future__ import annotations

import hashlib
import os
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.errors import BadInput, first_line, shown
from experiments.tracking import database

if TYPE_CHECKING:
    from mlflow import MlflowClient


QUIET = {
    "mlflow": "WARNING",
    "mlflow.store": "CRITICAL",  # each statement that a database refuses, with all of its values
    "alembic": "WARNING",
    "urllib3": "ERROR",  # a line for each retry
}
"""Loggers of others, and from which level on they are heard."""


def store_uri(uri: str | None) -> str:
    """Where runs go: the given URI, else MLFLOW_TRACKING_URI, else sqlite:///mlflow.db."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"


def connect(uri: str) -> MlflowClient:
    """A client of a store that answers.

    Raises:
        BadInput: nobody answers at the address, or the database file cannot be opened.
    """
    if uri.startswith(("http://", "https://")):
        _knock(uri)
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

    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    from experiments.tracking.client import StoreClient

    for chatty, level in QUIET.items():  # after the import, which sets levels of its own
        logging.getLogger(chatty).setLevel(level)
    if path := database.path_of(uri):
        database.prepare(path)
    try:
        client = StoreClient(tracking_uri=database.absolute(uri))
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError) as error:
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


def in_words(uri: str) -> tuple[str, str]:
    """How people are told of a store, and of its coming back after it has failed."""
    if path := database.path_of(uri):
        return path.name, "can be written again"
    return "the server", "answers again"


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """The experiment of this name, made if need be; a deleted one is restored."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = None
        if path := database.path_of(uri):
            location = (path.resolve().parent / "mlruns" / name).as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise  # else another process has just made it
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def experiment_names(uri: str) -> list[str]:
    """Of the experiments of a store, newest first; none where the store does not exist yet."""
    path = database.path_of(uri)
    if path is not None and not path.exists():
        return []
    found = connect(uri).search_experiments(order_by=["creation_time DESC"])
    return [experiment.name for experiment in found if experiment.name != "Default"]


def local_path(uri: str | None) -> Path | None:
    """Where artifacts of this address lie on this machine; None of those that a server keeps."""
    parts = urllib.parse.urlsplit(uri or "")
    if parts.scheme not in ("", "file") or parts.netloc or not parts.path:
        return None
    return Path(urllib.parse.unquote(parts.path) if parts.scheme else str(uri))


def store_key(uri: str) -> str:
    """A short name of a store, safe to keep in the journal (no password in it)."""
    return hashlib.sha256(uri.encode()).hexdigest()[:12]


def _knock(uri: str, timeout: float = 5) -> None:
    """Ask as MLflow does: by its certificates and credentials, through its proxies."""
    import requests
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds

    try:
        creds = get_default_host_creds(uri)
        response = requests.get(
            f"{uri.rstrip('/')}/health",
            timeout=timeout,
            verify=creds.verify,
            cert=creds.client_cert_path,
        )
        if response.status_code < 500:
            return  # somebody answers; the client will say what it makes of it
        reason = f"it answers {response.status_code}"
    except (OSError, ValueError, MlflowException) as error:
        reason = first_line(_root(error))
    raise BadInput(
        f"tracking.uri: {shown(uri)} does not answer ({reason}); "
        "start the server, or set tracking.uri=sqlite:///mlflow.db"
    )


def _root(error: BaseException) -> BaseException:
    """What an error began with: the socket's own word, under those of two libraries."""
    while error.__context__ is not None:
        error = error.__context__
    return error


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
