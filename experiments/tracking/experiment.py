"""From jobs to tracked, journaled results: the order in which each of them hears of a run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from experiments.config import settings
from experiments.config.identity import config_hash, group_hash, irrelevant
from experiments.config.schema import Config, Tracking
from experiments.config.settings import to_yaml
from experiments.errors import first_line
from experiments.jobs.job import Job, path_text
from experiments.tracking import provenance
from experiments.tracking.delivery import Opening, send, under
from experiments.tracking.journal import Journal
from experiments.tracking.provenance import surroundings
from experiments.tracking.store import connect, experiment_id, store_key, store_uri
from experiments.tracking.tracked_run import FOLD, FOLDS


class Experiment:
    """Where the runs of one experiment name go."""

    def __init__(self, name: str, tracking: Tracking):
        self.name = name
        self.uri = store_uri(tracking.uri)
        self.client = connect(self.uri)
        self.id = experiment_id(self.client, self.uri, name)
        self.key = store_key(self.uri)
        self.origin, self.versions = surroundings()
        self.away = False
        """The store did not take all that it was sent."""

    def opening(
        self, job: Job, fingerprint: str, level: str = "run", parent: str | None = None
    ) -> Opening:
        """What the tracked run of a job begins with; `parent` is a run id. A run on one fold is of
        level fold, where it would be a run."""
        config = job.config
        protocol = config.validation
        if protocol.one_fold is not None and level == "run":
            level = "fold"
        tags = self.origin | {
            "level": level,
            "path": path_text(job.path),
            "config_hash": config_hash(config),
            "group_hash": group_hash(config),
            "source": config.data.source,
            "source_fingerprint": fingerprint,
            "precision": config.train.precision,
        }
        if protocol.one_fold is not None:
            tags[FOLD] = str(protocol.fold)
        elif protocol.fold:
            tags[FOLDS] = str(protocol.fits)
        params = params_of(config)
        params |= {"data.train_images": len(job.train)}
        for part in ("validation", "test"):
            indices = getattr(job, part)
            params[f"data.{part}_images"] = 0 if indices is None else len(indices)
        documents = {
            "config.yaml": to_yaml(config),
            "versions.json": json.dumps(self.versions, indent=1),
        }
        data = provenance.record(job, fingerprint).to_dictionary()
        return Opening(job.label, tags, params, documents, data, parent)


def replay(
    job: Job,
    experiment: Experiment,
    fingerprint: str,
    parent: str | None,
    level: str = "run",
) -> str:
    """Write a finished fit of the journal into a store that does not hold it."""
    book = open_journal(job)
    opening = Opening.of_event(book.last("started"))
    if opening is None:
        opening = experiment.opening(job, fingerprint, level, parent)
    return send(experiment.client, experiment.id, book, under(opening, parent), experiment.key)


def params_of(config: Config) -> dict[str, Any]:
    """The config as flat params; where to track and how to launch change no result. Runs on the
    folds of a config have the same ones: a tag tells them apart."""
    params = settings.flatten(config.model_dump(mode="json", exclude=irrelevant(config)))
    params.pop("validation.fold", None)
    return params


@contextlib.contextmanager
def forgiving(say: Callable[[str], None]) -> Iterator[None]:
    """A store that fails in mid-run costs a line, not the run: the journal has it all."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        first = first_line(error)
        say(f"tracking failed ({first}); the journal has the result, run the command again to send")


def open_journal(job: Job) -> Journal:
    return Journal(Path(job.directory)).open()
