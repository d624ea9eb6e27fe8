"""Executors: jobs in, events and outcomes back. A fault in one job fails that job only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from experiments.config.launch import Launch
from experiments.errors import stop_if_asked
from experiments.fitting import fit
from experiments.jobs.job import Job, OnEvent, Outcome
from experiments.launch.pool import Backlog, Pool
from experiments.launch.processes import Processes, of_this_machine
from experiments.runtime.startup import keras_backend


def executor(launch: Launch) -> Inline | Pool:
    """The executor that the launch section names.

    Raises:
        BadInput: Ray, or the backend that Keras is to have, is not installed.
    """
    keras_backend()
    if launch.executor == "inline":
        return Inline()
    if launch.executor == "ray":
        from experiments.launch.ray_executor import Ray

        return Ray(launch)
    return Processes(
        launch.workers,
        launch.grace_seconds,
        launch.runs_per_worker,
        launch.retries or 0,
        of_this_machine(launch),
    )


def at_a_time(launch: Launch) -> int:
    """Jobs that the executor runs side by side."""
    return 1 if launch.executor == "inline" else launch.workers


class Inline:
    """Runs jobs in this process, one after the other."""

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def run(
        self, jobs: Iterable[Job] | Backlog, on_event: OnEvent
    ) -> Iterator[tuple[Job, Outcome]]:
        backlog = jobs if isinstance(jobs, Backlog) else Backlog(jobs)
        graph = None
        while job := backlog.take(graph):
            stop_if_asked()
            graph = job.graph_key
            on_event(job, {"kind": "begin"})
            yield job, fit.attempt(job, lambda event, job=job: on_event(job, event))  # type: ignore[misc]
