"""The network that a fit begins from (`train.initialize_from`), and what it has already seen."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from experiments.errors import BadInput
from experiments.jobs import predictions
from experiments.jobs.job import Job
from experiments.jobs.plan import prepare
from experiments.tracking.experiment import Experiment
from experiments.tracking.journal import Journal
from experiments.tracking.tracked_run import FINAL, TrackedRun, fetched_network, find_run

FILE = "initial.keras"
"""In a job's directory, as long as its fit may go on."""

TRAINED_ON = "trained_on"
"""Tag of a final network, whose config gives another split than it had: one of these."""
ALL, ALL_BUT_TEST = "all images", "all images but the official test part"

PARTS = {"validation": "val", "test": "test"}
"""The held-out parts, as a split and as predictions name them."""


def fetch_initial(job: Job, experiment: Experiment, source: Any) -> None:
    """Put the network that `train.initialize_from` names where the fit looks for it.

    Raises:
        BadInput: it is neither a .keras file nor a run that holds one, or it was trained on images
            that the fit is to be validated or tested on.
    """
    donor = job.config.train.initialize_from
    if donor is None:
        return
    if donor.endswith(".keras"):
        if not Path(donor).is_file():
            raise BadInput(f"train.initialize_from: {donor}: no such file")
        _check_unseen(job, donor, _seen_by_file(Path(donor), source))
        _put(Path(donor), job)
        return
    with fetched_network(experiment.client, donor, "train.initialize_from") as path:
        _check_unseen(job, f"run {donor}", _seen_by(experiment.client, donor, source))
        _put(path, job)


def drop_initial(job: Job) -> None:
    """Remove the copy of it once the fit has finished: its run says what it began from."""
    (Path(job.directory) / FILE).unlink(missing_ok=True)


def training_images(run: TrackedRun, source: Any) -> np.ndarray:
    """Indices of the images of a source that a run's network may have been trained on, ascending.

    Those of its split, where its config gives that again; of a fold, all that its predictions do
    not name as held out; of a final network all but the official test part, if that stayed out.
    What it began from counts too. None of a source with other contents.
    """
    seen = np.zeros(0, np.int64)
    if source.is_known_as(run.fingerprint):
        split = prepare(run.config, source).split
        held_out = {part: held_out_of(run, part) for part in PARTS}
        if run.level == FINAL:
            held_out = {"test": unseen_by_final(run, source)}
        seen = split.train if is_of_split(run, split) else _rest(held_out.values(), source)
    donor = run.config.train.initialize_from
    if donor and donor.endswith(".keras") and Path(donor).is_file():
        return np.union1d(seen, _seen_by_file(Path(donor), source))
    earlier = find_run(run.client, donor) if donor else None
    return np.union1d(seen, training_images(earlier, source)) if earlier else np.sort(seen)


def is_of_split(run: TrackedRun, split: Any) -> bool:
    """Do a run's predictions name the held-out parts that its config gives?"""
    if run.level == FINAL:
        return False
    for part in PARTS:
        logged, again = held_out_of(run, part), getattr(split, part)
        if (logged is None) != (again is None):
            return False
        if logged is not None and not np.array_equal(logged, again):
            return False
    return True


def unseen_by_final(run: TrackedRun, source: Any) -> np.ndarray | None:
    """Indices of the official test part, ascending, where it stayed out of a final network."""
    test = (source.official_splits or {}).get("test")
    if test is None or run.tags.get(TRAINED_ON) != ALL_BUT_TEST:
        return None
    return np.sort(test)


def held_out_of(run: TrackedRun, part: str) -> np.ndarray | None:
    """Indices of a held-out part as the run's predictions name them, ascending."""
    if predictions.FILE not in run.files or part not in PARTS:
        return None
    rows = run.predictions.parts.get(PARTS[part])
    return None if rows is None else rows.index


@functools.lru_cache(maxsize=1)  # every fit of a search begins from the same run
def _seen_by(client: Any, run_id: str, source: Any) -> np.ndarray:
    run = find_run(client, run_id)
    return training_images(run, source) if run else np.zeros(0, np.int64)


def _seen_by_file(path: Path, source: Any) -> np.ndarray:
    """What the journal and the predictions beside a .keras file tell; nothing of other files."""
    ended = Journal(path.parent).last("ended")
    if ended is None or not source.is_known_as(ended.get("fingerprint")):
        return np.zeros(0, np.int64)
    kept = path.with_name(predictions.FILE)
    parts = predictions.read(kept).parts.values() if kept.is_file() else ()
    return _rest([rows.index for rows in parts], source)


def _rest(held_out: Any, source: Any) -> np.ndarray:
    """All images of a source but these."""
    known = [indices for indices in held_out if indices is not None]
    return np.setdiff1d(np.arange(len(source)), np.concatenate([np.zeros(0, np.int64), *known]))


def _check_unseen(job: Job, donor: str, seen: np.ndarray) -> None:
    if job.config.train.allow_overlap:
        return
    overlaps = []
    for held, part in reversed(job.held_out):
        name = "test" if held == "test" else "validation"
        if known := int(np.isin(part, seen).sum()):
            overlaps.append(f"{known} of the {len(part)} {name} images")
    if overlaps:
        raise BadInput(
            f"train.initialize_from: {donor} was trained on {' and '.join(overlaps)}, so that "
            "accuracy on them would be too good; give a network that was trained on other images "
            "or on the same split, or set train.allow_overlap=true"
        )


def _put(network: Path, job: Job) -> None:
    target = Path(job.directory) / FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(network, target)
