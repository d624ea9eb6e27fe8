"""Jobs that wait for a worker, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable

from experiments.jobs import Job

AHEAD = 256  # jobs looked through for one of the graph that a worker holds


class Backlog:
    """Jobs that wait, in order. It may grow while an executor works it off.

    Args:
        jobs: made as they are needed, where it is a generator.
        wanted: asked before a job is handed out; one that is no longer wanted is dropped.
    """

    def __init__(self, jobs: Iterable[Job] = (), wanted: Callable[[Job], bool] | None = None):
        self._coming = deque([iter(jobs)])
        self._seen: list[Job] = []
        self._wanted = wanted or (lambda job: True)

    def add(self, jobs: Iterable[Job]) -> None:
        """Queue jobs behind the others."""
        self._coming.append(iter(jobs))

    def first(self) -> Job | None:
        """The job at the head, which stays; None if there is none now."""
        self._look_ahead(1)
        return self._seen[0] if self._seen else None

    def take(self, graph: str | None = None, elsewhere: Collection[str] = ()) -> Job | None:
        """The next job, None if there is none now.

        Preferred is one of `graph`, which the worker holds; then one that no other worker holds
        (`elsewhere`), so that two workers do not compile the same networks; then the first.
        """
        self._look_ahead(1 if graph is None and not elsewhere else AHEAD)
        graphs = [job.graph_key for job in self._seen]
        at = next((at for at, own in enumerate(graphs) if own == graph), None)
        if at is None:
            at = next((at for at, own in enumerate(graphs) if own not in elsewhere), 0)
        return self._seen.pop(at) if self._seen else None

    def _look_ahead(self, least: int) -> None:
        self._seen = [job for job in self._seen if self._wanted(job)]
        while self._coming and len(self._seen) < least:
            job = next(self._coming[0], None)
            if job is None:
                self._coming.popleft()
            elif self._wanted(job):
                self._seen.append(job)
