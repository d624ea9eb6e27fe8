"""The seam between choosing, running and remembering: Job out, events and Outcome back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.config.schema import Config, Draw
from experiments.jobs.length import with_epochs
from experiments.presentation.formatting import run_title

Event = dict[str, Any]

FitPath = tuple[str | int, ...]
"""Where a fit stands in its command, such as ("outer", 2, "trial", 7, "fold", 1)."""


@dataclass(frozen=True)
class Job:
    """One fit, fully determined.

    `train`, `validation` and `test` are index arrays into the source, or None for a part that is
    not there.
    """

    path: FitPath
    config: Config
    train: np.ndarray
    validation: np.ndarray | None
    test: np.ndarray | None
    graph_key: str
    directory: str
    """Where the fit leaves its model and predictions."""
    axes: Mapping[str, Any] = field(default_factory=dict)
    """What its sweep varies, by key."""
    measured: bool = True
    """Measure its cost and keep its model; False for the inner folds of a search."""
    timed: bool = False
    """Measure its latency also where its other costs are not: a search compares it."""
    prediction_epochs: tuple[int, ...] = ()
    """Epochs whose predictions are kept beside those of the last one."""
    fingerprint: str = ""
    """Of the source, as the command opened it; empty where that is not known."""
    pair: Mapping[int, np.ndarray] | None = None
    """In place of `validation`: two parts that are scored apart, by the outer fold that each is."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", with_epochs(self.config, len(self.train)))

    @property
    def held_out(self) -> list[tuple[str, np.ndarray]]:
        """(part, indices) of what is scored and not trained on: val, of a pair val_0 and val_2 by
        their folds; then test."""
        parts = [("val", self.validation), *((f"val_{n}", x) for n, x in (self.pair or {}).items())]
        return [(part, rows) for part, rows in (*parts, ("test", self.test)) if rows is not None]

    row: str = ""
    """Folder of a row of fits that differ in their epochs alone, each longer than the one before:
    this one goes on from the snapshot there; empty: it is of no such row."""
    row_goes_on: bool = False
    """May a longer one follow? Then the last state is left there."""

    @property
    def footprint(self) -> str:
        """Equal for fits whose peak of memory is the same: network, images, sizes of batches."""
        data = self.config.data
        return json.dumps([self.graph_key, data.source, data.batch_size, data.eval_batch_size])

    @property
    def label(self) -> str:
        return run_title(self.config.model.name, self.config.seed, self.axes)


OnEvent = Callable[[Job, Event], None]

WENT_ON_AFTER = "went_on_after"  # tag: epochs of a shorter fit, from whose snapshot this went on

ROOT = Path(".ilsvrc")

Emit = Callable[[dict[str, Any]], None]

Status = Literal["finished", "failed", "killed"]


@dataclass
class Outcome:
    """What a fit gave. Accuracies are fractions; a part that was not there has no score."""

    path: FitPath
    status: Status
    scores: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    """One dict an epoch, from epoch 1."""
    cost: dict[str, float] = field(default_factory=dict)
    predictions: str | None = None
    """File of validation and test predictions."""
    model: str | None = None
    """File of the trained network."""
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)
    """Small documents by file name, such as the statistics of the training part."""
    files: list[str] = field(default_factory=list)
    """Other files to keep with the run, such as pictures."""
    error: str | None = None
    bad_input: bool = False
    """The error is in what the user wrote, not in the work."""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Outcome:
        """From an `ended` event in the journal of a fit, or of a search, which names its path."""
        outcome = record["outcome"]
        return cls(**(outcome | {"path": tuple(record.get("path", outcome["path"]))}))


def seed_for(root: int, *path: str | int) -> int:
    """A seed of its own for each named draw: 31 bits, never 0, stable over versions and machines.

    >>> seed_for(1, "weights") != seed_for(1, "data") != seed_for(2, "data")
    True
    """
    words = json.dumps([int(root), *path])
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big") % (2**31 - 1) + 1


def draw_seed(config: Config, *path: str | int, of: Draw | None = None) -> int:
    """`seed_for` a draw of a fit: from `seed`, or from what `seeds` has in its place for draws `of`
    a kind. Each fold has draws of its own, the same for all configurations: the spread over folds
    has the chance of training in it, a difference on a fold has less."""
    fold = config.validation.one_fold
    root = config.seed_of(of) if of else config.seed
    return seed_for(root, *(() if fold is None else ("fold", fold)), *path)


def reseeded(config: Config, *path: str | int) -> Config:
    """The config of a fit with draws of its own: `seed_for` the path of its `seed` and of all that
    `seeds` has in its place, so that fits of equal paths and seeds draw alike."""
    given = {draw: seed_for(seed, *path) for draw, seed in config.seeds.given.items()}
    seeds = config.seeds.model_copy(update=given)
    return config.model_copy(update={"seed": seed_for(config.seed, *path), "seeds": seeds})


def path_text(path: Iterable[str | int]) -> str:
    """A job's path as the tags of runs have it."""
    return "/".join(map(str, path))


def run_directory(name: str, config_hash: str) -> Path:
    """Where one fit of an experiment keeps its journal and files."""
    return ROOT / name / config_hash
