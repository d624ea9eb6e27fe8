"""From jobs to tracked, journaled results: the order in which each of them hears of a run."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments import dataset_input, journal, settings, snapshots, track, yaml_text
from experiments.config import Config, Tracking
from experiments.delivery import Delivery, Opening, open_run, send, under
from experiments.errors import BadInput
from experiments.jobs import IRRELEVANT, Job, Outcome, config_hash, group_hash, path_text
from experiments.launch import Inline, Pool
from experiments.lock import held
from experiments.outbox import PATIENCE, Outbox, first_line
from experiments.progress import Display
from experiments.system_metrics import SystemMetrics


class Experiment:
    """Where the runs of one experiment name go."""

    def __init__(self, name: str, tracking: Tracking):
        self.name = name
        self.uri = track.store_uri(tracking.uri)
        self.client = track.connect(self.uri)
        self.id = track.experiment_id(self.client, self.uri, name)
        self.key = track.store_key(self.uri)
        self.origin, self.versions = track.surroundings()
        self.away = False
        """The store did not take all that it was sent."""

    def start(
        self, job: Job, fingerprint: str, level: str = "run", parent: str | None = None
    ) -> track.Run:
        """Open the tracked run of a job, with its config, tags and package versions."""
        opening = self.opening(job, fingerprint, level, parent)
        return open_run(self.client, self.id, opening, look=False)

    def opening(
        self, job: Job, fingerprint: str, level: str = "run", parent: str | None = None
    ) -> Opening:
        """What the tracked run of a job begins with; `parent` is a run id."""
        config = job.config
        tags = self.origin | {
            "level": level,
            "path": path_text(job.path),
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
        documents = {
            "config.yaml": to_yaml(config),
            "versions.json": json.dumps(self.versions, indent=1),
        }
        data = dataset_input.record(job, fingerprint).to_dictionary()
        return Opening(job.label, tags, params, documents, data, parent)


def execute(
    jobs: Iterable[Job],
    executor: Inline | Pool,
    experiment: Experiment,
    fingerprints: Mapping[tuple[str | int, ...], str],
    display: Display,
    *,
    parent: str | None = None,
    level: str = "run",
) -> Iterator[tuple[Job, Outcome, Delivery]]:
    """Run jobs. Each outcome goes to the journal first, then to the caller, then to the store.

    The store is written in the background; at the end it is waited for.

    Yields:
        (job, outcome, its tracked run) as jobs end, in whatever order that is. The run's id is sure
        when the last one has been yielded.

    Raises:
        BadInput: another process is at one of these fits.

    On an interrupt the open runs are journaled and closed as killed, and it is raised again.
    """
    running: dict[tuple[str | int, ...], tuple[Job, Delivery, contextlib.ExitStack]] = {}
    loads: dict[tuple[str | int, ...], SystemMetrics] = {}
    outbox = Outbox(lambda: track.answers(experiment.uri), display.say)

    def on_event(job: Job, event: dict[str, Any]) -> None:
        if event["kind"] == "begin":
            lock = contextlib.ExitStack()
            lock.enter_context(held(Path(job.directory)))
            opening = experiment.opening(job, fingerprints[job.path], level, parent)
            run = Delivery(
                experiment.client, experiment.id, experiment.key, _journal(job), opening, outbox
            )
            running[job.path] = (job, run, lock)
            if job.config.tracking.system_metrics:
                loads[job.path] = SystemMetrics()
            run.begin()
        elif event["kind"] == "epoch":
            running[job.path][1].epoch(event["epoch"], event["values"])
        if (load := loads.get(job.path)) and (values := load.due()):
            running[job.path][1].aside(load.taken, values)
        display.event(job, event)

    def close(job: Job, outcome: Outcome) -> Delivery:
        _, run, lock = running.pop(job.path)
        loads.pop(job.path, None)
        run.end(outcome, fingerprints[job.path])
        if outcome.status == "finished":
            snapshots.clear(Path(job.directory))
        lock.close()
        return run

    ended = False
    try:
        for job, outcome in executor.run(jobs, on_event):
            run = close(job, outcome)
            display.end(job, outcome)
            yield job, outcome, run
        ended = True
    finally:
        for job, _, _ in list(running.values()):
            close(job, Outcome(job.path, "killed", error="interrupted"))
        if not outbox.close(PATIENCE if ended else 2.0):
            experiment.away = True
            display.say(
                "tracking: not all was sent; once the server is back: "
                f"ilsvrc upload {experiment.name}"
            )


def replay(
    job: Job,
    experiment: Experiment,
    fingerprint: str,
    parent: str | None,
    level: str = "run",
) -> str:
    """Write a finished fit of the journal into a store that does not hold it."""
    book = _journal(job)
    opening = Opening.of_event(book.last("started"))
    if opening is None:
        opening = experiment.opening(job, fingerprint, level, parent)
    return send(experiment.client, experiment.id, book, under(opening, parent), experiment.key)


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
        reason = first_line(error)
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
    return yaml_text.write(document)


@contextlib.contextmanager
def forgiving(say: Callable[[str], None]) -> Iterator[None]:
    """A store that fails in mid-run costs a line, not the run: the journal has it all."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        first = first_line(error)
        say(f"tracking failed ({first}); the journal has the result, run the command again to send")


def _journal(job: Job) -> journal.Journal:
    return journal.Journal(Path(job.directory)).open()
