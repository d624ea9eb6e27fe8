"""Which images networks are scored on: a run's own held-out part, or any set that is named."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments.config import settings
from experiments.config.evaluate import Evaluate
from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.inference.class_names import names_of_source, titles
from experiments.inference.loading import CLASS_NAMES, CLASS_TITLES, Network
from experiments.inference.names_file import read_names
from experiments.jobs import predictions
from experiments.jobs.composition import remarks
from experiments.jobs.dataset import duplicate_groups, open_source, test_fraction
from experiments.jobs.plan import prepare
from experiments.tracking.initial import (
    PARTS,
    held_out_of,
    is_of_split,
    training_images,
    unseen_by_final,
)
from experiments.tracking.tracked_run import FINAL, RUN_ID, TrackedRun


@dataclass(frozen=True)
class Subject:
    """Images of a source, each once.

    part          train, validation, test or all, as it is shown
    source        None where only kept predictions are scored
    notes         lines that belong beside the result
    official      the part is the set's own, not held out by us; None: not known
    titles        readable names by class name, where they are known
    accepted      of each image all the right labels (`evaluate.labels`), ascending; None: `labels`
    labels_file   where these are from
    left_out      images without any
    """

    spec: str
    fingerprint: str
    part: str
    indices: np.ndarray
    labels: np.ndarray
    class_names: list[str]
    source: Any = None
    notes: tuple[str, ...] = ()
    official: bool | None = False
    titles: Mapping[str, str] = field(default_factory=dict)
    accepted: list[np.ndarray] | None = None
    labels_file: str | None = None
    left_out: int = 0

    @property
    def origin(self) -> str:
        """How the part came about: official, held out, whole set, or unknown."""
        if self.part == "all":
            return "whole set"
        return {True: "official", False: "held out", None: "unknown"}[self.official]


def own_set(changes: Sequence[str]) -> bool:
    """Do the changed settings leave a run's own images as they are?"""
    keys = [change.partition("=")[0] for change in changes]
    return not any(key == "data.source" or key.startswith("validation") for key in keys)


def check_named(words: Sequence[str], changes: Sequence[str]) -> None:
    """Refuse before anything is loaded: without a run, the images must be named."""
    named = any(change.startswith("data.source=") for change in changes)
    if not named and not any(RUN_ID.fullmatch(word) for word in words):
        raise BadInput(
            "name the images to score with data.source=..., such as data.source=folder:DIR"
        )


def base(networks: Sequence[Network], changes: Sequence[str]) -> Config:
    """The settings that count: the first run's own, or the defaults, with the changes."""
    run = next((network.run for network in networks if network.run), None)
    raw = run.config.model_dump(mode="json") if run else {}
    return settings.parse(settings.override(raw, changes))


def choose(networks: Sequence[Network], config: Config, changes: Sequence[str]) -> Subject:
    """The images: the runs' own part, which must be one, or those that the changes name.

    Raises:
        BadInput: the runs were tested on different images, or the set cannot be used.
    """
    channels = {network.model.input_shape[-1] for network in networks}
    if len(channels) > 1:
        raise BadInput("one network takes grey images and another RGB; score them apart")
    _check_size(networks, config, changes)
    data = config.data.model_copy(update={"channels": channels.pop()})
    config = config.model_copy(update={"data": data})
    runs = [network.run for network in networks if network.run]
    source = open_source(data)
    if runs and own_set(changes):
        part: str = config.evaluate.part or last_part(runs)
        for run in runs:
            _check_unchanged(run, source)
        parts = [own_part(run, part, source) for run in runs]
        _check_same(runs, parts)
        official = part in (source.official_splits or {})
        indices = parts[0]
    else:
        # a run's own images by another name: its training images are not for scoring
        known = any(source.is_known_as(run.fingerprint) for run in runs)
        part, indices, official = _of_source(config, source, "test" if known else "all")
    return Subject(
        spec=source.spec,
        fingerprint=source.fingerprint,
        part=part,
        indices=indices,
        labels=source.labels[indices],
        class_names=list(source.class_names),
        source=source,
        notes=(*remarks(source, {}), *_leaks(runs, source, indices)),
        official=official,
        titles=titles(source.class_names, config.evaluate.class_names, source.titles),
    )


def kept(runs: Sequence[TrackedRun], evaluate: Evaluate) -> tuple[Subject, list[np.ndarray]]:
    """The part that runs were scored on when they ended, and each one's kept probabilities.

    Raises:
        BadInput: a run kept none, or they are of different images.
    """
    part = evaluate.part or last_part(runs)
    if part not in PARTS:
        raise BadInput(
            f"evaluate.reuse: runs keep predictions of validation and test. Received: {part}"
        )
    index, labels, probabilities = predictions.paired(
        [run.predictions for run in runs], PARTS[part]
    )
    names, notes = _names_of(runs[0], probabilities[0].shape[1], evaluate.class_names)
    own_titles = json.loads(runs[0].text_if_any(CLASS_TITLES) or "{}")
    subject = Subject(
        spec=runs[0].config.data.source,
        fingerprint=runs[0].fingerprint,
        part=part,
        indices=index,
        labels=labels,
        class_names=names,
        titles=titles(names, evaluate.class_names, own_titles),
        notes=("scored by the predictions that the runs kept", *notes),
        official=f"{part} official" in parts if (parts := runs[0].tags.get("data_parts")) else None,
    )
    return subject, probabilities


def last_part(runs: Sequence[TrackedRun]) -> str:
    """test; validation, where none of the runs had test images and some were validated."""
    scored = {score.partition("_")[0] for run in runs for score in run.metrics}
    return "validation" if "val" in scored and "test" not in scored else "test"


def own_part(run: TrackedRun, part: str, source: Any) -> np.ndarray:
    """Indices of a run's own part: as its predictions name them, else split again as for it.

    Raises:
        BadInput: the run had no such part, or it is a fold's and cannot be told.
    """
    if part == "all":
        return np.arange(len(source))
    if run.level == FINAL:
        return _own_part_of_final(run, part, source)
    split = prepare(run.config, source).split
    again = getattr(split, part)
    indices = held_out_of(run, part)
    if indices is not None:
        return indices
    if part == "train" and not is_of_split(run, split):
        raise BadInput(
            f"run {run.id} ({run.name}) was trained on a fold, which its config does not tell; "
            "evaluate.part can be test or validation"
        )
    if again is None:
        raise BadInput(
            f"run {run.id} ({run.name}) has no {part} part; set evaluate.part to another"
        )
    return np.asarray(again)


def _own_part_of_final(run: TrackedRun, part: str, source: Any) -> np.ndarray:
    indices = training_images(run, source) if part == "train" else None
    if part == "test":
        indices = unseen_by_final(run, source)
    if indices is None:
        raise BadInput(
            f"run {run.id} ({run.name}) is a final network, trained on every image of "
            f"{source.spec} that could test it; name others with data.source=..."
            + (f" (its card: {run.card})" if run.card else "")
        )
    return indices


def _of_source(config: Config, source: Any, fallback: str) -> tuple[str, np.ndarray, bool]:
    import pipelines

    official = source.official_splits or {}
    held_out = (name for name in ("test", "validation") if name in official)
    part: str = config.evaluate.part or next(held_out, fallback)
    if part == "all":
        return part, np.arange(len(source)), False
    if part in official and (part != "train"):
        return part, np.sort(official[part]), True
    validation = config.validation
    try:
        split = pipelines.splits.resolve(
            source.labels,
            source.official_splits,
            validation.validation_fraction,
            test_fraction(config, source),
            config.data.train_fraction,
            validation.seed,
            source.class_names,
            duplicate_groups(config, source),
        )
    except ValueError as error:
        raise BadInput(f"validation: {error}") from None
    indices = getattr(split, part)
    if indices is None:
        raise BadInput(
            f"evaluate.part: {source.spec} has no {part} part, and validation.{part}_fraction is 0"
        )
    return part, indices, False


def _check_size(networks: Sequence[Network], config: Config, changes: Sequence[str]) -> None:
    if not any(change.startswith("data.image_size=") for change in changes):
        return
    wanted = config.data.image_size
    size = (wanted, wanted) if isinstance(wanted, int) else wanted
    for network in networks:
        height, width = network.model.input_shape[1:3]
        if size is not None and (height, width) != size:
            raise BadInput(
                f"data.image_size: {network.name} takes {height}x{width} pixels; leave it out, or "
                "score larger images with evaluate.protocol=dense"
            )


def _check_unchanged(run: TrackedRun, source: Any) -> None:
    if not source.is_known_as(run.fingerprint):
        raise BadInput(
            f"run {run.id} ({run.name}) was trained on {run.config.data.source} with other "
            f"contents than {source.spec} has now; to score it on these images set "
            f"data.source={source.spec}"
        )


def _check_same(runs: Sequence[TrackedRun], parts: Sequence[np.ndarray]) -> None:
    for run, part in zip(runs, parts, strict=True):
        if not np.array_equal(part, parts[0]):
            raise BadInput(_differ(runs[0], run))


def _differ(first: TrackedRun, second: TrackedRun) -> str:
    return (
        f"runs {first.id} and {second.id} were tested on different images; name one set for both "
        "with data.source=... and evaluate.part=..."
    )


def _leaks(runs: Sequence[TrackedRun], source: Any, indices: np.ndarray) -> list[str]:
    """A line for every run that was trained on some of the images."""
    lines = []
    for run in runs:
        if not source.is_known_as(run.fingerprint):
            continue
        if run.level == FINAL:
            lines += _seen_line(run, indices, training_images(run, source))
            continue
        split = prepare(run.config, source).split
        if not is_of_split(run, split):
            unseen = held_out_of(run, "test")
            if unseen is None or len(np.setdiff1d(indices, unseen)):
                lines.append(f"{run.name}: trained on a fold; some of the images may be of it")
            continue
        lines += _seen_line(run, indices, split.train)
    return lines


def _seen_line(run: TrackedRun, indices: np.ndarray, train: np.ndarray) -> list[str]:
    seen = len(np.intersect1d(indices, train))
    if not seen:
        return []
    return [f"{run.name}: {seen} of the {len(indices)} images are its training images"]


def _names_of(run: TrackedRun, classes: int, file: str | None) -> tuple[list[str], list[str]]:
    if file is not None:
        return read_names(file, run.name, classes), []
    if CLASS_NAMES in run.files:
        return list(json.loads(run.text(CLASS_NAMES))), []
    if names := names_of_source(run):
        return names, []
    note = f"{run.config.data.source} is not here as it was: classes are numbered"
    return [str(number) for number in range(classes)], [note]
