"""Cost on this machine: throughput, latency, peak memory. Warm-up apart, clocks synchronised."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil


def inference(
    infer: Callable[[Any], Any],
    input_shape: tuple[int, int, int],
    batch_size: int,
    *,
    latency_calls: int,
    throughput_batches: int,
) -> dict[str, float]:
    """Images per second at `batch_size` (median batch) and latency at batch 1 in milliseconds.

    Every call ends with the logits on the host, so nothing is still in flight when the clock
    is read. The network alone is timed: images are random and already in memory.
    """
    generator = np.random.default_rng(0)
    many = generator.uniform(0, 255, (batch_size, *input_shape)).astype(np.float32)
    seconds = _times(infer, many, throughput_batches)
    milliseconds = 1000 * _times(infer, many[:1], latency_calls)
    return {
        "infer_images_per_second": float(batch_size / np.median(seconds)),
        "latency_ms_p50": float(np.percentile(milliseconds, 50)),
        "latency_ms_p95": float(np.percentile(milliseconds, 95)),
    }


class Clock:
    """Time inside the calls that update and score, without what surrounds them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def start(self) -> None:
        self._started = time.perf_counter()

    def stop(self) -> float:
        """Seconds since `start`, also added to `seconds`."""
        passed = time.perf_counter() - self._started
        self.seconds += passed
        return passed


def training_speed(images: int, seconds: list[float]) -> dict[str, float]:
    """Training images per second, median epoch; the first epoch is left out when there are more,
    because it holds the tracing."""
    if not seconds:
        return {}
    warm = seconds[1:] or seconds
    return {
        "train_images_per_second": float(images / np.median(warm)),
        "train_seconds": float(np.sum(seconds)),
    }


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


def _times(infer: Callable[[Any], Any], images: np.ndarray, calls: int) -> np.ndarray:
    for _ in range(2):
        np.asarray(infer(images))
    seconds = []
    for _ in range(calls):
        start = time.perf_counter()
        np.asarray(infer(images))
        seconds.append(time.perf_counter() - start)
    return np.array(seconds)


def _has_gpu() -> bool:
    tf = sys.modules.get("tensorflow")  # not loaded means that nothing has run on a device
    return bool(tf and tf.config.list_logical_devices("GPU"))


def _gpu_peak() -> float | None:
    if not _has_gpu():
        return None
    import tensorflow as tf

    return float(tf.config.experimental.get_memory_info("GPU:0")["peak"])
