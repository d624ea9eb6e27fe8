"""What a store has of an experiment, deleted runs included, and where their files lie here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from experiments.tracking import database
from experiments.tracking.store import connect, local_path
from experiments.tracking.tracked_run import TrackedRun

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

AT_A_TIME = 1000  # runs that a store is asked for


def opened(uri: str) -> MlflowClient | None:
    """The client of a store; None of a file that is not there yet.

    Raises:
        BadInput: nobody answers at the address.
    """
    path = database.path_of(uri)
    return None if path is not None and not path.exists() else connect(uri)


def runs_of(client: MlflowClient, experiment: Experiment) -> Iterator[TrackedRun]:
    """All runs, newest first, those that were deleted too: MLflow leaves the files of such."""
    token = None
    while True:
        page = client.search_runs(
            [experiment.experiment_id],
            run_view_type=ViewType.ALL,
            max_results=AT_A_TIME,
            page_token=token,
        )
        yield from (TrackedRun.of(client, run) for run in page)
        token = page.token
        if not token:
            return


def folder_of(run: TrackedRun, experiment: Experiment) -> Path | None:
    """The folder of a run's files, if it is on this machine and nobody else's."""
    artifacts = local_path(run.info.artifact_uri)
    location = local_path(experiment.artifact_location)
    if artifacts is None or location is None or artifacts.parts[-2:] != (run.id, "artifacts"):
        return None
    inside = artifacts.parent.resolve().is_relative_to(location.resolve())
    return artifacts.parent if inside and artifacts.parent.is_dir() else None


def registered(client: MlflowClient) -> dict[str, str]:
    """Names and versions in the registry, by the run that each comes from."""
    versions: dict[str, str] = {}
    token = None
    while True:
        page = client.search_model_versions(page_token=token)
        versions |= {v.run_id: f"{v.name} {v.version}" for v in page if v.run_id}
        token = page.token
        if not token:
            return versions


def is_there(run: TrackedRun) -> bool:
    """Can it be removed? A server keeps what is deleted, and lists it for ever."""
    return run.info.lifecycle_stage == "active" or bool(database.path_of(run.client.tracking_uri))


def remove(client: MlflowClient, run: TrackedRun) -> None:
    """Delete a run: for good from a database file, as MLflow deletes from others."""
    if run.info.lifecycle_stage == "active":
        client.delete_run(run.id)
    if database.path_of(client.tracking_uri):
        _backend(client)._hard_delete_run(run.id)


def remove_experiment(client: MlflowClient, experiment: Experiment) -> None:
    """Take an experiment without runs out of a database file; elsewhere, or where networks are
    logged in it, it stays: MLflow would bring deleted runs back with it."""
    ids = [experiment.experiment_id]
    if not database.path_of(client.tracking_uri) or next(runs_of(client, experiment), None):
        return
    if client.search_logged_models(ids, max_results=1):
        return
    with contextlib.suppress(MlflowException):  # it holds what others have put there
        if experiment.lifecycle_stage == "active":
            client.delete_experiment(ids[0])
        _backend(client)._hard_delete_experiment(ids[0])


def _backend(client: MlflowClient) -> Any:
    """What `mlflow gc` removes with."""
    return client._tracking_client.store
