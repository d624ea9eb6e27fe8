"""A run of the store, read back: its config, files and predictions."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.config import settings
from experiments.config.schema import Config
from experiments.errors import BadInput, first_line, shown
from experiments.jobs.predictions import FILE, Predictions, read
from experiments.tracking.journal import Journal
from experiments.tracking.store import connect, store_uri

PARENTS = ("sweep", "search", "nested", "ensemble")
"""Levels of runs that train nothing themselves."""


@dataclass(frozen=True, eq=False)
class TrackedRun:
    """A run of the store: its config, and the files that it keeps."""

    id: str
    name: str
    config: Config
    fingerprint: str
    metrics: dict[str, float]
    files: frozenset[str]
    uri: str
    level: str = "run"

    def file(self, name: str) -> Path:
        """One of the run's files, fetched. Raises BadInput if the run has it not."""
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        try:
            if name in self.files:
                found = download_artifacts(
                    run_id=self.id, artifact_path=name, tracking_uri=self.uri
                )
                return Path(found)
        except (MlflowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise BadInput(f"run {self.id}: {name} cannot be fetched ({reason})") from None
        raise BadInput(f"run {self.id} ({self.name}) has no {name}; {self._advice(name)}")

    def _advice(self, name: str) -> str:
        if self.level in PARENTS or name == "config.yaml":
            return "give one of the runs that trained a network, not their parent"
        if name == "model.keras":
            return "train with tracking.save_model=last, or set evaluate.reuse=true"
        return "only finished runs with held-out images keep them"


def of_run(run_id: str, uri: str) -> Predictions:
    """The predictions that a tracked run keeps.

    Raises:
        BadInput: the store has no such run, or the run kept no predictions.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    client = connect(uri)
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise BadInput(f"no run {run_id} in {shown(uri)} ({first_line(error)})") from None
    name = f"run {run.info.run_name} ({run_id})"
    with tempfile.TemporaryDirectory() as folder:
        try:
            local = download_artifacts(
                run_id=run_id, artifact_path=FILE, dst_path=folder, tracking_uri=uri
            )
        except (MlflowException, OSError) as error:
            raise BadInput(
                f"{name}: keeps no {FILE} ({first_line(error)}); finished runs with validation or "
                "test images do"
            ) from None
        fingerprint = run.data.tags.get("source_fingerprint")
        return read(local, name=name, fingerprint=fingerprint)


def open_predictions(word: str, uri: str) -> Predictions:
    """Those of a file, if the word names one, else those of a run id."""
    if word.endswith(".parquet") or Path(word).is_file():
        return read(word, fingerprint=_fingerprint_beside(Path(word)))
    return of_run(word, uri)


def _fingerprint_beside(path: Path) -> str | None:
    ended = Journal(path.parent).last("ended")
    return str(ended["fingerprint"]) if ended else None


def find_run(word: str, config: Config) -> TrackedRun:
    from mlflow.exceptions import MlflowException

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    uri = store_uri(config.tracking.uri)
    client = connect(uri)
    try:
        run = client.get_run(word)
        files = frozenset(file.path for file in client.list_artifacts(word))
    except MlflowException:
        raise BadInput(
            f"{word}: no such run in {shown(uri)}; set tracking.uri, or give a .keras file "
            "or a name of `ilsvrc models`"
        ) from None
    bare = TrackedRun(
        word,
        run.info.run_name or word[:8],
        config,
        run.data.tags.get("source_fingerprint", ""),
        dict(run.data.metrics),
        files,
        uri,
        run.data.tags.get("level", "run"),
    )
    written = bare.file("config.yaml").read_text(encoding="utf-8")
    where = f"run {word}: config.yaml"
    own = settings.parse(settings.sections(written, where), where)
    return replace(bare, config=own)
