"""A run of a store, read back: settings, scores, files and predictions.

Whoever reads a run does it here, so that a run that is missing, a store that has gone away and a
file that cannot be had are each told apart, and told, in one way.
"""

from __future__ import annotations

import contextlib
import functools
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.config import settings
from experiments.config.schema import Config
from experiments.errors import BadInput, first_line, shown
from experiments.jobs.predictions import FILE, Predictions, read
from experiments.presentation.columns import exact
from experiments.tracking.run_log import JOURNAL_TAG
from experiments.tracking.store import does_not_work

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run, RunInfo

PARENTS = ("sweep", "search", "nested", "ensemble")
"""Levels of runs that train nothing themselves."""

FINAL = "final"
"""Level of a network that a search trained on all images in the end: nothing has tested it."""
MEMBER = "front"
"""Level of a member of an outer fold's front that is refitted beside the winner."""
CARD = "card"
"""Its tag that says what to expect of it, and by what that was estimated."""

SUPERSEDED = "superseded"
"""Tag of the refit of a winner that a longer search has overtaken, and of such a final network."""
NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a run's description."""
FOLD, FOLDS = "fold", "folds"
"""Tags: which fold a run was trained on; how many are below one that is their mean."""

NETWORK = "model.keras"

RUN_ID = re.compile(r"[0-9a-f]{8,32}")
"""A run's id, or the eight digits or more that it begins with."""
WHOLE_ID = 32  # digits
NO_SUCH_RUN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow says of an id that no run has, and of a word that is no id."""


@dataclass(frozen=True, eq=False)
class TrackedRun:
    """What a store knows of a run. Files are fetched when they are asked for."""

    client: MlflowClient
    info: RunInfo
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    """The last value of each, without those that MLflow's pages get beside the exact ones."""

    @classmethod
    def of(cls, client: MlflowClient, run: Run) -> TrackedRun:
        """From what the client's own functions return."""
        return cls(client, run.info, run.data.tags, run.data.params, exact(run.data.metrics))

    @property
    def id(self) -> str:
        return str(self.info.run_id)

    @property
    def name(self) -> str:
        return str(self.info.run_name or self.id[:8])

    @property
    def level(self) -> str:
        """run, sweep, trial, ...; none of a run that this suite did not write."""
        return self.tags.get("level", "none")

    @property
    def is_above_folds(self) -> bool:
        """It trained nothing: its scores are means over the runs below it, one a fold."""
        return FOLDS in self.tags

    @property
    def parent(self) -> str | None:
        """The id of the run above it."""
        return self.tags.get("mlflow.parentRunId")

    @property
    def card(self) -> str:
        """What to expect of a network that nothing has tested; empty of all others."""
        return self.tags.get(CARD, "")

    @property
    def fingerprint(self) -> str:
        """Of the images that it was trained on; empty where it does not say."""
        return self.tags.get("source_fingerprint", "")

    @property
    def is_complete(self) -> bool:
        """It finished, and nobody has deleted it."""
        return bool(self.info.status == "FINISHED" and self.info.lifecycle_stage == "active")

    @functools.cached_property
    def files(self) -> frozenset[str]:
        """Names of the files that it keeps. Raises BadInput if the store does not say."""
        from mlflow.exceptions import MlflowException

        try:
            return frozenset(file.path for file in self.client.list_artifacts(self.id))
        except (MlflowException, OSError) as error:
            raise does_not_work(self.client.tracking_uri, error) from None

    @contextlib.contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        """One of its files, for as long as it is needed.

        Raises:
            BadInput: it has none of this name, or it cannot be fetched.
        """
        from mlflow.exceptions import MlflowException

        if name not in self.files:
            raise BadInput(f"run {self.id} ({self.name}) has no {name}; {self._advice(name)}")
        with tempfile.TemporaryDirectory(prefix="ilsvrc-run-") as folder:
            try:
                path = Path(self.client.download_artifacts(self.id, name, folder))
            except (MlflowException, OSError) as error:
                reason = first_line(error)
                raise BadInput(f"run {self.id}: {name} cannot be fetched ({reason})") from None
            yield path

    def text(self, name: str) -> str:
        """A small document. Raises BadInput as `fetched`."""
        with self.fetched(name) as path:
            return path.read_text(encoding="utf-8")

    def text_if_any(self, name: str) -> str | None:
        """The same; None where it cannot be had."""
        with contextlib.suppress(BadInput):
            return self.text(name)
        return None

    def sections(self) -> dict[str, Any]:
        """Its config as it was written. Raises BadInput as `fetched`."""
        return settings.sections(self.text("config.yaml"), f"run {self.id}: config.yaml")

    @functools.cached_property
    def config(self) -> Config:
        """Its config. Raises BadInput as `fetched`, or if a setting is none today."""
        return settings.parse(self.sections(), f"run {self.id}: config.yaml")

    @functools.cached_property
    def predictions(self) -> Predictions:
        """What it said of its validation and test images. Raises BadInput as `fetched`."""
        with self.fetched(FILE) as path:
            name = f"run {self.name} ({self.id})"
            return read(path, name=name, fingerprint=self.fingerprint or None)

    def curve(self, metric: str) -> list[tuple[int, float]]:
        """Every (step, value) that the store has of a metric."""
        points = self.client.get_metric_history(self.id, metric)
        return [(point.step, point.value) for point in points]

    def _advice(self, name: str) -> str:
        if self.level in PARENTS or self.is_above_folds or name == "config.yaml":
            return "give one of the runs that trained a network, not their parent"
        if name == NETWORK:
            return "train with tracking.save_model=last, or set evaluate.reuse=true"
        return "only finished runs with held-out images keep them"


def find_run(client: MlflowClient, run_id: str) -> TrackedRun | None:
    """A run by its id, or by eight digits or more that it begins with; None if the store has none,
    which the caller knows what to say of.

    Raises:
        BadInput: the store does not answer, or has several that begin so.
    """
    from mlflow.exceptions import MlflowException

    try:
        if RUN_ID.fullmatch(run_id) and len(run_id) < WHOLE_ID:
            return _beginning_with(client, run_id)
        return TrackedRun.of(client, client.get_run(run_id))
    except MlflowException as error:
        if error.error_code in NO_SUCH_RUN:
            return None
        raise does_not_work(client.tracking_uri, error) from None


def _beginning_with(client: MlflowClient, prefix: str) -> TrackedRun | None:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    query = f"attributes.run_id LIKE '{prefix}%'"
    runs = client.search_runs(experiments, query, max_results=2)
    if len(runs) > 1:
        ids = " and ".join(run.info.run_id for run in runs)
        raise BadInput(f"{prefix}: several runs begin so, such as {ids}; write more digits")
    return TrackedRun.of(client, runs[0]) if runs else None


def find_by_journal(client: MlflowClient, experiment: str, journal_id: str) -> TrackedRun | None:
    """The run that came from this record of a journal; None if the store has none."""
    query = f"tags.{JOURNAL_TAG} = '{journal_id}'"
    runs = client.search_runs([experiment], query, max_results=1)
    return TrackedRun.of(client, runs[0]) if runs else None


@contextlib.contextmanager
def fetched_network(client: MlflowClient, run_id: str, wanted_by: str) -> Iterator[Path]:
    """The network of a run, for what takes runs and .keras files.

    Raises:
        BadInput: no such run, or none that keeps its network; it begins with `wanted_by`.
    """
    run = find_run(client, run_id)
    if run is None or NETWORK not in run.files:
        why = "it keeps none" if run else "no such run"
        raise BadInput(
            f"{wanted_by}: no run {run_id} with a {NETWORK} in {shown(client.tracking_uri)} "
            f"({why}); give a run id (of tracking.save_model last or best) or a .keras file"
        )
    with run.fetched(NETWORK) as path:
        yield path
