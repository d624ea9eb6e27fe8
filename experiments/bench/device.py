"""What `ilsvrc bench` asks of a backend, be it TensorFlow, JAX or PyTorch: has the device finished,
how much memory did it take, what is it called."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path
from typing import Any

import keras
import numpy as np
import psutil

import models
from experiments.runtime import machine as machine_module
from experiments.runtime.machine import cores, device, processor

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

CGROUP = Path("/sys/fs/cgroup")


def synchronise(result: Any) -> None:
    """Return when `result` and all work queued before it is done on the device."""
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
    elif backend == "jax":
        import jax

        jax.block_until_ready(result)
    else:
        import tensorflow as tf

        if _tensorflow_gpu():
            tf.test.experimental.sync_devices()
    np.asarray(keras.ops.convert_to_numpy(result))


def facts(network: keras.Model, threads: int, whose: str = "") -> dict[str, Any]:
    """What a network costs by count, where it runs, and on which framework, if not told."""
    profile = models.profile(network)
    return {
        "params": profile.params,
        "macs": profile.macs,
        "machine": machine(threads),
        "framework": whose or framework(),
    }


def machine(threads: int) -> str:
    """The accelerator, or processor and thread count, as in the tags of runs."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return device(threads)
    if backend == "jax":
        import jax

        devices = jax.devices()
        if devices[0].platform != "cpu":
            return f"{len(devices)} x {devices[0].device_kind}"
        return f"{processor()}, {cores()} threads"  # JAX takes no other number
    import torch

    if torch.cuda.is_available():
        return f"1 x {torch.cuda.get_device_name()}"
    return f"{processor()}, {torch.get_num_threads()} threads"


def framework() -> str:
    """Name and version of the backend, such as `tensorflow 2.21.0`."""
    from importlib import import_module

    backend = keras.backend.backend()
    return f"{backend} {import_module(backend).__version__}"


def system() -> str:
    """Operating system, processor and cores of the host."""
    cores = f"{machine_module.cores()} of {psutil.cpu_count()} cores"
    return f"{platform.system()} {platform.machine()}, {processor()}, {cores}"


def forget_peaks() -> None:
    """Start new peaks, as far as the system and the backend can: JAX and macOS cannot."""
    with contextlib.suppress(OSError):
        CLEAR.write_text("5")
    backend = keras.backend.backend()
    if backend == "tensorflow" and _tensorflow_gpu():
        import tensorflow as tf

        tf.config.experimental.reset_memory_stats("GPU:0")
    elif backend == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()


def host_peak() -> float:
    """Peak resident memory of this process in bytes, the libraries included."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024
    return float(psutil.Process().memory_info().rss)


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


def device_peak() -> float | None:
    """Peak memory on the accelerator in bytes; None without one, or where the backend is silent."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        device = jax.devices()[0]
        told = None if device.platform == "cpu" else device.memory_stats()
        return float(told["peak_bytes_in_use"]) if told else None
    if backend == "torch":
        import torch

        return float(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else None
    if not _tensorflow_gpu():
        return None
    import tensorflow as tf

    return float(tf.config.experimental.get_memory_info("GPU:0")["peak"])


def _tensorflow_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))
