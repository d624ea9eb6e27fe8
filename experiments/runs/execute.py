"""Jobs run and tracked, with the load of this machine beside them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.jobs.job import FitPath, Job, Outcome
from experiments.launch.executors import Inline
from experiments.launch.pool import Backlog, Pool
from experiments.launch.progress import Display
from experiments.tracking.delivery import Delivery
from experiments.tracking.experiment import Experiment, open_journal
from experiments.tracking.initial import drop_initial
from experiments.tracking.lock import held
from experiments.tracking.outbox import PATIENCE, Outbox
from experiments.tracking.progress import Progress
from experiments.tracking.store import answers, in_words
from experiments.training import snapshots


def execute(
    jobs: Iterable[Job] | Backlog,
    executor: Inline | Pool,
    experiment: Experiment,
    fingerprints: Mapping[FitPath, str],
    display: Display,
    *,
    parent: str | None = None,
    level: str = "run",
    parents: Mapping[FitPath, str] | None = None,
) -> Iterator[tuple[Job, Outcome, Delivery]]:
    """Run jobs. Each outcome goes to the journal first, then to the caller, then to the store.

    The store is written in the background; at the end it is waited for.

    Args:
        parent: run id of what they all stand under.
        parents: of those that stand under another run, by their paths.

    Yields:
        (job, outcome, its tracked run) as jobs end, in whatever order that is. The run's id is sure
        when the last one has been yielded.

    Raises:
        BadInput: another process is at one of these fits.

    On an interrupt the open runs are journaled and closed as killed, and it is raised again.
    """
    running: dict[FitPath, tuple[Job, Delivery, contextlib.ExitStack]] = {}
    loads: dict[FitPath, SystemMetrics] = {}
    told: dict[FitPath, Progress] = {}
    outbox = Outbox(lambda: answers(experiment.uri), display.say, *in_words(experiment.uri))

    def on_event(job: Job, event: dict[str, Any]) -> None:
        if event["kind"] == "begin":
            lock = contextlib.ExitStack()
            lock.enter_context(held(Path(job.directory)))
            above = (parents or {}).get(job.path, parent)
            opening = experiment.opening(job, fingerprints[job.path], level, above)
            run = Delivery(
                experiment.client, experiment.id, experiment.key, open_journal(job), opening, outbox
            )
            running[job.path] = (job, run, lock)
            if job.config.tracking.system_metrics:
                loads[job.path] = SystemMetrics()
            run.begin()
            told[job.path] = Progress(job)
        elif event["kind"] == "epoch":
            running[job.path][1].epoch(event["epoch"], event["values"])
        told[job.path].hear(event)
        if (load := loads.get(job.path)) and (values := load.due()):
            running[job.path][1].aside(load.taken, values)
        display.event(job, event)

    def close(job: Job, outcome: Outcome) -> Delivery:
        _, run, lock = running.pop(job.path)
        loads.pop(job.path, None)
        told.pop(job.path).end()
        run.end(outcome, fingerprints[job.path])
        if outcome.status == "finished":
            snapshots.clear(Path(job.directory))
            drop_initial(job)
        lock.close()
        return run

    ended = False
    try:
        for job, outcome in executor.run(jobs, on_event):
            run = close(job, outcome)
            display.end(job, outcome, run.id)
            yield job, outcome, run
        ended = True
    finally:
        for job, _, _ in list(running.values()):
            close(job, Outcome(job.path, "killed", error="interrupted"))
        if not outbox.close(PATIENCE if ended else 2.0):
            experiment.away = True
            display.say(
                f"tracking: not all was sent; once {outbox.server} {outbox.returns}: "
                f"ilsvrc upload {experiment.name}"
            )


PERIOD_SECONDS = 10.0
PREFIX = "system/"


class SystemMetrics:
    """Readings of processor, memory, disk, network and, with nvidia-ml-py, NVIDIA GPUs.

    Taken when asked and due, by MLflow's own collectors: its `SystemMetricsMonitor` would add a
    thread and a client of its own to each run. They are of the coordinator's machine as a whole.
    """

    def __init__(self, period: float = PERIOD_SECONDS):
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

        self.taken = 0
        self._period = period
        self._next = time.monotonic() + period
        self._monitors: list[Any] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
        with contextlib.suppress(ImportError, RuntimeError):  # no nvidia-ml-py, no GPU
            self._monitors.append(GPUMonitor())
        self._read()  # the first processor load is that since the last question: of no use

    def due(self) -> dict[str, float]:
        """A reading by name, the first one a period after the start; empty while none is due."""
        if time.monotonic() < self._next:
            return {}
        self._next = time.monotonic() + self._period
        self.taken += 1
        return self._read()

    def _read(self) -> dict[str, float]:
        readings: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            readings |= {PREFIX + key: float(v) for key, v in monitor.aggregate_metrics().items()}
            monitor.clear_metrics()
        return readings
