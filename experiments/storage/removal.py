"""`ilsvrc rm`: an experiment's runs, artifacts, journals and networks, or all but the best.

A plan names what goes; carrying it out removes files first and the runs that name them last, so
that one that was stopped is finished by the same command.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.config.schema import NAME
from experiments.errors import BadInput, shown
from experiments.jobs.job import ROOT
from experiments.storage import stored
from experiments.storage.best import kept_as_best
from experiments.storage.disk import Once, freed, in_words
from experiments.tracking.journal import Journal
from experiments.tracking.lock import holder, process
from experiments.tracking.run_log import JOURNAL_TAG
from experiments.tracking.store import local_path, store_uri
from experiments.tracking.tracked_run import PARENTS, TrackedRun

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

SHOWN = 20  # runs that are named to people


@dataclass
class Plan:
    """What is to go of an experiment, and what stays."""

    name: str
    uri: str
    client: MlflowClient | None
    experiment: Experiment | None
    runs: list[TrackedRun] = field(default_factory=list)
    """Children before their parents."""
    folders: list[Path] = field(default_factory=list)
    """Of journals, with what lies beside these."""
    artifacts: dict[str, Path] = field(default_factory=dict)
    """Folders of files, by run id; of runs whose files are on this machine."""
    kept: dict[str, tuple[TrackedRun, str]] = field(default_factory=dict)
    """Runs that stay, and why, by their ids."""
    left: list[str] = field(default_factory=list)
    """What else stays, in words."""


def plan(name: str, uri: str | None, *, keep_best: bool = False) -> Plan:
    """What `ilsvrc rm` would remove.

    Args:
        name: of the experiment.
        uri: of its store, as tracking.uri.
        keep_best: the best run of each architecture by validation stays, with its files.

    Raises:
        BadInput: no such experiment, a process is at work on it, or the store does not answer.
    """
    if not re.fullmatch(NAME, name):
        raise BadInput(f"rm: {name} is no name of an experiment (letters, digits and . _ -)")
    address, root = store_uri(uri), ROOT / name
    client = stored.opened(address)
    experiment = client.get_experiment_by_name(name) if client else None
    if experiment is None and not root.is_dir():
        raise BadInput(
            f"rm: no experiment {name} in {ROOT.absolute()} or {shown(address)}; see: ilsvrc du"
        )
    _refuse_running(name)
    made = Plan(name, address, client, experiment)
    ids = {path: _ids(path) for path in sorted(root.iterdir())} if root.is_dir() else {}
    if client and experiment:
        _plan_runs(made, client, experiment, set().union(*ids.values()), keep_best)
    elif keep_best:
        raise BadInput(
            f"rm: --keep-best: {shown(address)} has no runs of {name} to choose from; send them "
            f"there first: ilsvrc upload {name}"
        )
    # the plan of a sweep that has lost cells would say that they are left to be trained
    of_fits = [run for run, _ in made.kept.values() if run.level not in PARENTS]
    stay = {tag for run in of_fits for tag in _tags(run)}
    made.folders = [path for path, known in ids.items() if not known & stay]
    return made


def carry_out(made: Plan) -> None:
    """Remove it.

    Raises:
        BadInput: a process has begun to work on it, or a file cannot be removed.
    """
    _refuse_running(made.name)
    try:
        for path in [*made.folders, *made.artifacts.values()]:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        location = local_path(made.experiment.artifact_location) if made.experiment else None
        for folder in (ROOT / made.name, location):
            if folder and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise BadInput(f"rm: {error.filename} cannot be removed ({error.strerror})") from None
    if made.client and made.experiment:
        for run in made.runs:
            stored.remove(made.client, run)
        stored.remove_experiment(made.client, made.experiment)


def document(made: Plan, *, removed: bool) -> dict[str, Any]:
    """What goes and what stays, as JSON. To be made before the plan is carried out.

    Returns:
        {"name", "store" (without a password), "removed" (False: it was only listed), "bytes" (that
        the disk has again), "runs": [{"run_id", "name", "level", "bytes"}], "folders":
        [{"directory", "bytes"}], "kept": [{"run_id", "name", "level", "why"}], "left": [what else
        stays, in words]}. A file that a journal and a run share counts with the journal's folder.
    """
    once = Once()
    folders = [{"directory": str(p), "bytes": once.sizes([p])} for p in made.folders]
    runs = [
        {"run_id": run.id, "name": run.name, "level": run.level,
         "bytes": once.sizes([made.artifacts[run.id]]) if run.id in made.artifacts else 0}
        for run in made.runs
    ]  # fmt: skip
    kept = [
        {"run_id": run.id, "name": run.name, "level": run.level, "why": why}
        for run, why in made.kept.values()
    ]
    return {
        "name": made.name,
        "store": shown(made.uri),
        "removed": removed,
        "bytes": freed([*made.folders, *made.artifacts.values()]),
        "runs": runs,
        "folders": folders,
        "kept": kept,
        "left": made.left,
    }


def text(answer: dict[str, Any], command: str) -> str:
    """The same for people; `command` removes what was only listed."""
    runs, folders = answer["runs"], answer["folders"]
    lines = [f"  run {run['run_id'][:8]} {run['name']}" for run in runs[:SHOWN]]
    if len(runs) > SHOWN:
        lines.append(f"  and {len(runs) - SHOWN} more runs")
    lines += [
        f"kept: run {run['run_id'][:8]} {run['name']}: {run['why']}" for run in answer["kept"]
    ]
    lines += [f"left: {line}" for line in answer["left"]]
    verb = "removed" if answer["removed"] else "to be removed"
    lines.append(
        f"{answer['name']}: {verb}: {len(runs)} runs of {answer['store']}, {len(folders)} folders "
        f"of {ROOT / answer['name']}, {in_words(answer['bytes'])}"
    )
    if not answer["removed"]:
        to_remove = f"nothing was removed; to remove it: {command}"
        lines.append(to_remove if runs or folders else "nothing is left to remove")
    return "\n".join(lines)


def _plan_runs(
    made: Plan, client: MlflowClient, experiment: Experiment, here: set[str], keep_best: bool
) -> None:
    """Which runs go, and their files.

    Args:
        here: ids of what this folder's journals have begun.
    """
    runs = list(stored.runs_of(client, experiment))
    ours = [run for run in runs if run.level != "none"]
    if others := len(runs) - len(ours):
        made.left.append(f"{others} runs that this suite did not write")
    elsewhere = {
        run.id for run in ours
        if (run.info.status, run.info.lifecycle_stage) == ("RUNNING", "active")
        and not here & _tags(run)
    }  # fmt: skip
    if elsewhere:
        made.left.append(
            f"{len(elsewhere)} runs that are RUNNING and were begun in another folder: remove them "
            "there"
        )
    versions = stored.registered(client)
    kept = {run.id: f"registered as {versions[run.id]}" for run in ours if run.id in versions}
    if keep_best:
        kept = kept_as_best([run for run in ours if run.info.lifecycle_stage == "active"]) | kept
    by_id = {run.id: run for run in ours}
    for run_id in [*kept, *elsewhere]:
        parent = by_id[run_id].parent
        while parent in by_id and parent not in kept:
            kept[parent] = "above a run that stays"
            parent = by_id[parent].parent
    made.kept = {run_id: (by_id[run_id], why) for run_id, why in kept.items()}
    going = [run for run in ours if run.id not in kept and run.id not in elsewhere]
    folders = {run.id: stored.folder_of(run, experiment) for run in going}
    made.artifacts = {run_id: path for run_id, path in folders.items() if path}
    going = [run for run in going if stored.is_there(run)]
    made.runs = sorted(going, key=lambda run: _depth(run, by_id), reverse=True)
    if any(not (run.info.artifact_uri or "").startswith(("file:", "/")) for run in going):
        made.left.append("artifacts that the server keeps: remove them there with mlflow gc")


def _refuse_running(name: str) -> None:
    for lock in (ROOT / name).rglob("lock"):
        if at_work := holder(lock.parent):
            raise BadInput(
                f"rm: {lock.parent}: in use by {process(at_work)}; wait for it, or stop it"
            )


def _ids(path: Path) -> set[str]:
    """Of the runs and searches that the journals below a folder have begun."""
    events = (e for book in path.rglob("journal.jsonl") for e in Journal(book.parent).events())
    return {str(event["id"]) for event in events if event["event"] == "started" and "id" in event}


def _tags(run: TrackedRun) -> set[str]:
    """By which a journal knows a run."""
    return {run.tags[key] for key in (JOURNAL_TAG, "search_id") if key in run.tags}


def _depth(run: TrackedRun, by_id: dict[str, TrackedRun]) -> int:
    return sum(1 for _ in _above(run, by_id))


def _above(run: TrackedRun, by_id: dict[str, TrackedRun]) -> Iterator[TrackedRun]:
    seen = {run.id}
    while run.parent in by_id and run.parent not in seen:
        run = by_id[run.parent]
        seen.add(run.id)
        yield run
