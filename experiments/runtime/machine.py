"""What computes here, and the memory that a process takes of it."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import sys
from pathlib import Path

import psutil

from experiments.errors import BadInput

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
CGROUP = Path("/sys/fs/cgroup")


class PeakMemory:
    """Peak resident memory of this process since `start`, in bytes; device memory on a GPU.

    `alone`: nothing of another size has run in the process. It gives little back of what it once
    took, and so the peak of what comes later is not known, but on a GPU.
    """

    def __init__(self, *, alone: bool = True) -> None:
        self._alone = alone

    def start(self) -> PeakMemory:
        """Forget the old peak, so that each run reports its own; macOS cannot."""
        forget_host_peak()
        forget_gpu_peak()
        return self

    def bytes(self) -> float | None:
        """None where it is not known."""
        peak = gpu_peak()
        if peak is None and not self._alone:
            return None
        if peak is None:
            unit = 1 if sys.platform == "darwin" else 1024
            peak = host_peak() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return float(peak)


def forget_host_peak() -> None:
    """Start a new peak of resident memory; macOS cannot."""
    with contextlib.suppress(OSError):
        CLEAR.write_text("5")


def host_peak() -> float | None:
    """Peak resident memory in bytes, libraries included; None where the system does not tell."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024
    return None


def host_available() -> float:
    """Bytes that this process may still take: of the machine, and of its container's limit."""
    free = float(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):
        limit, used = (
            int((CGROUP / name).read_text()) for name in ("memory.max", "memory.current")
        )
        statistics = dict(x.split() for x in (CGROUP / "memory.stat").read_text().splitlines())
        cached = int(statistics.get("inactive_file", 0))  # given back when it is needed
        free = min(free, float(limit - used + cached))
    return free


def check_holds(needed: float, what: str) -> None:
    """Refuse what no memory of this machine, or of its container, could hold.

    Raises:
        BadInput: there is less than the `needed` bytes.
    """
    total = float(psutil.virtual_memory().total)
    with contextlib.suppress(OSError, ValueError):
        total = min(total, float(int((CGROUP / "memory.max").read_text())))
    if needed > total:
        gibibytes = f"{needed / 2**30:,.1f} GiB, and this machine has {total / 2**30:,.1f}"
        raise BadInput(f"{what} needs {gibibytes}")


def check_weights(parameters: int) -> None:
    """Refuse a network whose weights and their gradients, in float32, no memory here could hold.

    Raises:
        BadInput: it has too many parameters.
    """
    check_holds(2 * 4 * parameters, f"model: a network of {parameters:,} parameters")


def forget_gpu_peak() -> None:
    """Start a new peak of TensorFlow's GPU, if there is one."""
    if has_gpu():
        import tensorflow as tf

        tf.config.experimental.reset_memory_stats("GPU:0")


def gpu_peak() -> float | None:
    """Peak memory on TensorFlow's GPU in bytes; None without one."""
    if not has_gpu():
        return None
    import tensorflow as tf

    return float(tf.config.experimental.get_memory_info("GPU:0")["peak"])


def has_gpu() -> bool:
    """Does TensorFlow compute on a GPU here?"""
    tf = sys.modules.get("tensorflow")  # not loaded means that nothing has run on a device
    return bool(tf and tf.config.list_logical_devices("GPU"))


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
    """How many cores this process may use."""
    return len(core_numbers())


def core_numbers() -> set[int]:
    """Those cores, as the system numbers them."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
