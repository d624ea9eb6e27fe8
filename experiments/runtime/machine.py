"""What computes here, and the memory that a run takes."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import sys
from pathlib import Path

import psutil


class PeakMemory:
    """Peak resident memory of this process since `start`, in bytes; device memory on a GPU."""

    def start(self) -> PeakMemory:
        """Forget the old peak, so that each run reports its own; macOS cannot."""
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        if _has_gpu():
            import tensorflow as tf

            tf.config.experimental.reset_memory_stats("GPU:0")
        return self

    def bytes(self) -> float:
        gpu = _gpu_peak()
        if gpu is not None:
            return gpu
        status = Path("/proc/self/status")
        if status.exists():
            for line in status.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return float(line.split()[1]) * 1024
        unit = 1 if sys.platform == "darwin" else 1024
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


@functools.cache
def device(threads: int) -> str:
    """What computes, for tags and captions: the accelerator, or processor and thread count."""
    import tensorflow as tf

    accelerators = tf.config.list_logical_devices("GPU") + tf.config.list_logical_devices("TPU")
    if accelerators:
        physical = tf.config.list_physical_devices("GPU")
        name = tf.config.experimental.get_device_details(physical[0]) if physical else {}
        return f"{len(accelerators)} x {name.get('device_name', accelerators[0].device_type)}"
    return f"{processor()}, {threads or cores()} threads"


def processor() -> str:
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    import platform

    return platform.processor() or platform.machine()


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return psutil.cpu_count() or 1


def _has_gpu() -> bool:
    tf = sys.modules.get("tensorflow")  # not loaded means that nothing has run on a device
    return bool(tf and tf.config.list_logical_devices("GPU"))


def _gpu_peak() -> float | None:
    if not _has_gpu():
        return None
    import tensorflow as tf

    return float(tf.config.experimental.get_memory_info("GPU:0")["peak"])
