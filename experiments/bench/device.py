"""What `ilsvrc bench` asks of a backend, be it TensorFlow, JAX or PyTorch: has the device finished,
how much memory did it take, what is it called."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import psutil

import models
from experiments.runtime import machine


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

        if machine.has_gpu():
            tf.test.experimental.sync_devices()
    np.asarray(keras.ops.convert_to_numpy(result))


def facts(network: keras.Model, threads: int, whose: str = "") -> dict[str, Any]:
    """What a network costs by count, where it runs, and on which framework, if not told."""
    profile = models.profile(network)
    return {
        "params": profile.params,
        "macs": profile.macs,
        "machine": name(threads),
        "framework": whose or framework(),
    }


def name(threads: int) -> str:
    """The accelerator, or processor and thread count, as in the tags of runs."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return machine.device(threads)
    if backend == "jax":
        import jax

        devices = jax.devices()
        if devices[0].platform != "cpu":
            return f"{len(devices)} x {devices[0].device_kind}"
        return f"{machine.processor()}, {machine.cores()} threads"  # JAX takes no other number
    import torch

    if torch.cuda.is_available():
        return f"1 x {torch.cuda.get_device_name()}"
    return f"{machine.processor()}, {torch.get_num_threads()} threads"


def framework() -> str:
    """Name and version of the backend, such as `tensorflow 2.21.0`."""
    from importlib import import_module

    backend = keras.backend.backend()
    return f"{backend} {import_module(backend).__version__}"


def forget_peaks() -> None:
    """Start new peaks, as far as the system and the backend can: JAX and macOS cannot."""
    machine.forget_host_peak()
    backend = keras.backend.backend()
    if backend == "tensorflow":
        machine.forget_gpu_peak()
    elif backend == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()


def host_peak() -> float:
    """Peak resident memory of this process in bytes; where no peak is told, what it takes now."""
    return machine.host_peak() or float(psutil.Process().memory_info().rss)


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
    return machine.gpu_peak()
