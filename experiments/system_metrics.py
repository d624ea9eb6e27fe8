"""Load of this machine while a run goes on, under the names of MLflow's "System metrics" tab."""

from __future__ import annotations

import contextlib
import time
from typing import Any

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
        found: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            found |= {PREFIX + key: float(v) for key, v in monitor.aggregate_metrics().items()}
            monitor.clear_metrics()
        return found
