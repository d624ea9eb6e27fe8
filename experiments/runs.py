"""From jobs to tracked, journaled results: the order in which each of them hears of a run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from experiments import journal, settings, track
from experiments.config import Config, Tracking
from experiments.errors import BadInput
from experiments.jobs import IRRELEVANT, Job, Outcome, config_hash, group_hash
from experiments.launch import Inline, Processes
from experiments.progress import Display


class Experiment:
    """Where the runs of one experiment name go."""

    def __init__(self, name: str, tracking: Tracking):
        self.uri = track.store_uri(tracking.uri)
        self.client = track.connect(self.uri)
        self.id = track.experiment_id(self.client, self.uri, name)
        self.key = track.store_key(self.uri)
        self.origin, self.versions = track.surroundings()

    def start(
        self, job: Job, fingerprint: str, level: str = "run", parent: str | None = None
    ) -> track.Run:
        """Open the tracked run of a job, with its config, tags and package versions."""
        config = job.config
        tags = self.origin | {
            "level": level,
            "path": "/".join(str(part) for part in job.path),
            "config_hash": config_hash(config),
            "group_hash": group_hash(config),
            "source": config.data.source,
            "source_fingerprint": fingerprint,
            "precision": config.train.precision,
        }
        params = params_of(config)
        params |= {"data.train_images": len(job.train)}
        for part in ("validation", "test"):
            indices = getattr(job, part)
            params[f"data.{part}_images"] = 0 if indices is None else len(indices)
        run = track.Run.start(self.client, self.id, job.label, tags, params, parent)
        run.document("config.yaml", to_yaml(config))
        run.document("versions.json", json.dumps(self.versions, indent=1))
        return run


def execute(
    jobs: Iterable[Job],
    executor: Inline | Processes,
    experiment: Experiment,
    fingerprints: Mapping[tuple[str | int, ...], str],
    display: Display,
    *,
    parent: str | None = None,
    level: str = "run",
) -> Iterator[tuple[Job, Outcome, str]]:
    """Run jobs. Each outcome goes to the journal first, then to the caller, then to the store.

    Yields:
        (job, outcome, run id) as jobs end, in whatever order that is.

    On an interrupt the open runs are journaled and closed as killed, and it is raised again.
    """
    running: dict[tuple[str | int, ...], tuple[Job, track.Run | None]] = {}

    def on_event(job: Job, event: dict[str, Any]) -> None:
        if event["kind"] == "begin":
            run = None
            with forgiving(display.say):
                run = experiment.start(job, fingerprints[job.path], level, parent)
            running[job.path] = (job, run)
            _journal(job).append("started", run_id=_id(run), store=experiment.key, pid=os.getpid())
        elif event["kind"] == "epoch" and (run := running[job.path][1]):
            with forgiving(display.say):
                run.metrics(event["values"], step=event["epoch"])
        display.event(job, event)

    def close(job: Job, outcome: Outcome) -> str:
        run = running.pop(job.path)[1]
        _journal(job).ended(outcome, fingerprints[job.path], _id(run), experiment.key)
        with forgiving(display.say):
            if run:
                track.complete(run, outcome)
        return _id(run)

    try:
        for job, outcome in executor.run(jobs, on_event):
            run_id = close(job, outcome)
            display.end(job, outcome)
            yield job, outcome, run_id
    finally:
        for job, _ in list(running.values()):
            close(job, Outcome(job.path, "killed", error="interrupted"))


def replay(
    job: Job,
    outcome: Outcome,
    experiment: Experiment,
    fingerprint: str,
    parent: str | None,
    level: str = "run",
) -> str:
    """Write a finished fit of the journal into a store that does not hold it."""
    run = experiment.start(job, fingerprint, level, parent)
    track.complete(run, outcome, replay=True)
    _journal(job).ended(outcome, fingerprint, run.id, experiment.key)
    return run.id


def fetch_initial(job: Job, experiment: Experiment) -> None:
    """Put the network that `train.initialize_from` names where the fit looks for it.

    Raises:
        BadInput: it is neither a .keras file nor a run that holds one.
    """
    wanted = job.config.train.initialize_from
    if wanted is None:
        return
    target = Path(job.directory) / "initial.keras"
    target.parent.mkdir(parents=True, exist_ok=True)
    if wanted.endswith(".keras"):
        if not Path(wanted).is_file():
            raise BadInput(f"train.initialize_from: {wanted}: no such file")
        shutil.copyfile(wanted, target)
        return
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        local = download_artifacts(
            run_id=wanted, artifact_path="model.keras", tracking_uri=experiment.uri
        )
    except (MlflowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(
            f"train.initialize_from: no run {wanted} with a model.keras in "
            f"{track.shown(experiment.uri)} ({reason}); give a run id or a .keras file"
        ) from None
    shutil.copyfile(local, target)


def params_of(config: Config) -> dict[str, Any]:
    """The config as flat params; where to track and how to launch change no result."""
    return settings.flatten(config.model_dump(mode="json", exclude=IRRELEVANT))


def to_yaml(config: Config) -> str:
    """The config as a file that `ilsvrc train` takes; a tracking URI's password stays out."""
    document = config.model_dump(mode="json", exclude={"tracking": {"uri"}})
    for section in ("sweep", "search"):
        if not document[section]:
            del document[section]
    return yaml.safe_dump(document, sort_keys=False)


@contextlib.contextmanager
def forgiving(say: Callable[[str], None]) -> Iterator[None]:
    """A store that fails in mid-run costs a line, not the run: the journal has it all."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        first = str(error).splitlines()[0]
        say(f"tracking failed ({first}); the journal has the result, run the command again to send")


def _id(run: track.Run | None) -> str:
    """The run's id; empty for a fit that no store has heard of."""
    return run.id if run else ""


def _journal(job: Job) -> journal.Journal:
    return journal.Journal(Path(job.directory)).open()
