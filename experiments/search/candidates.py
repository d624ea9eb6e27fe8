"""From proposed settings to Jobs: a candidate's config, its seed, its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import pipelines
from experiments.config.identity import graph_key
from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.jobs.dataset import open_source, source_key
from experiments.jobs.job import Job, seed_for
from experiments.jobs.plan import prepare
from experiments.search.folds import Folds, thinned
from experiments.search.space import candidate
from tuning.nested import Task, median_epochs
from tuning.search import Trial
from tuning.space import identity

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Prepared:
    """A candidate's resolved config and the digest of its traced program."""

    config: Config
    graph_key: str


class Candidates:
    """Makes the jobs of one search.

    Args:
        config: base settings and the search.
        source: opened.
        folds: one an outer fold; one in all for a plain search.
        root: folder below which each fit has its own.
        kind: search or nested; it decides what paths look like.
    """

    def __init__(
        self, config: Config, source: Any, folds: Sequence[Folds], root: Path, kind: str
    ) -> None:
        self.config, self.source, self.folds = config, source, list(folds)
        self.root, self.kind = root, kind
        self._sources = {source_key(config.data): source}
        self._prepared: dict[str, Prepared | BadInput] = {}
        self._pairs = [
            [(thinned(config, source, train), held) for train, held in fold.pairs]
            for fold in self.folds
        ]

    def prepared(self, settings: Mapping[str, Any], epochs: int | None = None) -> Prepared:
        """A candidate's config, checked against data and network.

        Raises:
            BadInput: they do not go together.
        """
        key = identity([dict(settings), epochs])
        if key not in self._prepared:
            try:
                self._prepared[key] = self._prepare(settings, epochs)
            except BadInput as error:
                self._prepared[key] = error
        found = self._prepared[key]
        if isinstance(found, BadInput):
            raise found
        return found

    def path(self, task: Task) -> Place:
        """Where a task stands: ("trial", 7, "fold", 1), below ("outer", 2) if nested."""
        outer: Place = ("outer", task.outer) if self.kind == "nested" else ()
        if task.fit is None:
            return (*outer, "refit")
        return (*outer, "trial", task.fit.trial, "fold", task.fit.fold)

    def job(self, task: Task, winner: Trial | None = None) -> Job:
        """The fit of a task; of a refit, `winner` is the trial that it repeats.

        A refit trains on the whole learning set and has no validation images. With early stopping
        it trains for the median of the best epochs of the winner's folds, which is all that
        stopping can teach it.
        """
        if task.fit is not None:
            found = self.prepared(task.fit.settings, task.fit.epochs)
            train, validation = self._pairs[task.outer][task.fit.fold]
            return self._job(task, found, found.config, task.fit.settings, train, validation, None)
        assert winner is not None
        found = self.prepared(winner.settings, winner.epochs)
        folds = self.folds[task.outer]
        train = thinned(self.config, self.source, folds.learning)
        return self._job(
            task, found, refit_config(found.config, winner), winner.settings,
            train, None, folds.test,
        )  # fmt: skip

    def _job(
        self,
        task: Task,
        found: Prepared,
        config: Config,
        settings: Mapping[str, Any],
        train: np.ndarray,
        validation: np.ndarray | None,
        test: np.ndarray | None,
    ) -> Job:
        path = self.path(task)
        words = [str(part) for part in path]
        parts = ("-".join(words[at : at + 2]) for at in range(0, len(words), 2))
        return Job(
            path=path,
            config=config.model_copy(update={"seed": seed_for(found.config.seed, *path)}),
            train=train,
            validation=validation,
            test=test,
            graph_key=found.graph_key,
            directory=str(self.root.joinpath(*parts)),
            axes=dict(settings),
            measured=task.fit is None,
        )

    def _prepare(self, settings: Mapping[str, Any], epochs: int | None) -> Prepared:
        config = candidate(self.config, settings, epochs, where="search")
        key = source_key(config.data)
        if key not in self._sources:
            self._sources[key] = open_source(config.data)
        source = self._sources[key]
        fold = self.folds[0]
        split = pipelines.splits.Split(*fold.pairs[0], fold.test)
        plan = prepare(config, source, split)
        return Prepared(plan.config, graph_key(plan.config, plan.input_shape, plan.classes))


def refit_config(config: Config, winner: Trial) -> Config:
    """A winner's config for training without validation images.

    Raises:
        BadInput: its schedule needs them.
    """
    if config.train.schedule.name == "plateau":
        raise BadInput(
            "train.schedule.name: plateau waits for val_loss, and the refit of a winner has no "
            "validation images; set constant, step or cosine"
        )
    if config.train.early_stopping is None:
        return config
    train = config.train.model_copy(
        update={"early_stopping": None, "epochs": median_epochs(winner)}
    )
    return config.model_copy(update={"train": train})
