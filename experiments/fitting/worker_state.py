"""What a worker keeps for its next jobs: the opened source, what was made of it, and networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pipelines.statistics
from experiments.config.schema import Config
from experiments.jobs.dataset import (
    check_same_images,
    files_unchanged,
    open_source,
    source_key,
    view,
)
from experiments.jobs.job import Job
from experiments.training.batches import Batches, Cache, digest
from pipelines.errors import SourceError

if TYPE_CHECKING:
    from experiments.training.trainer import Trainer


class WorkerState:
    """The newest source with its statistics and images in memory, so that one decode serves all of
    a sweep's runs, and the compiled networks of the newest graph."""

    def __init__(self) -> None:
        self._source_key: Any = None
        self._source: Any = None
        self._cache = Cache()
        self._graph: str | None = None
        self._footprints: set[str] = set()
        self.trainers: dict[int, Trainer] = {}
        """By their place among the job's fits: its stages, then its own."""

    def alone(self, job: Job) -> bool:
        """Hear of a job that begins: has this process only had jobs of its footprint?"""
        self._footprints.add(job.footprint)
        return len(self._footprints) == 1

    def batches(self, job: Job) -> Batches:
        """The source of a job, opened, with the statistics of its training part.

        Raises:
            BadInput: it cannot be opened, or has other contents than the job was planned for.
            FailedWork: a file has changed since.
        """
        key, change = (source_key(job.config.data), job.fingerprint), self._change()
        if self._source_key != key or change:
            # let go of the old one before another is read
            self._source_key, self._source, self._cache = None, None, Cache()
            source = open_source(job.config.data)
            check_same_images(source, job.fingerprint, "when the command began", change)
            self._source, self._source_key = source, key
        source, (size, crop_fraction) = self._source, view(job.config)
        with files_unchanged(source):
            statistics = self._cache.get(
                "statistics",
                (digest(job.train), size, crop_fraction),
                lambda: pipelines.statistics.fit(
                    source, job.train, size=size, crop_fraction=crop_fraction
                ),
            )
        return Batches(job.config, source, job.train, statistics, self._cache)

    def _change(self) -> str:
        """How a file of the open source is no longer what it was; empty where none is."""
        try:
            if self._source is not None:
                self._source.check_unchanged()
        except SourceError as error:
            return str(error)
        return ""

    def trainer(self, job: Job, position: int, config: Config) -> Trainer:
        """The Trainer of one of the job's fits, once its source is open."""
        from experiments.training.trainer import Trainer

        if self._graph != job.graph_key:
            # let go of the old networks before a new one is built
            self._graph, self.trainers = job.graph_key, {}
        if position not in self.trainers:
            shape = (*view(config)[0], self._source.image_shape[2])
            self.trainers[position] = Trainer(config, shape, len(self._source.class_names))
        return self.trainers[position]


WORKER = WorkerState()
"""This process's."""
