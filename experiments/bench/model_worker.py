"""One network in one precision, measured in a process of its own: its memory is nobody else's.

Reads a job (JSON) from the command line and prints one JSON document a line as it goes, by `kind`:

    built    params macs machine framework build_seconds
    trying   batch                                (the last one says where a process died)
    size     asked batch seconds host_peak device_peak first_step_seconds
    latency  seconds
    peak     flops_per_second side                (the only line of a job of mode peak)

Every clock is read after the device has finished. Images are random, drawn once and already on the
device; what feeds them is the business of `ilsvrc bench pipeline`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.config.bench import POLICIES
from experiments.runtime.machine import host_available

if TYPE_CHECKING:
    from experiments.bench.subjects import Inference

Emit = Callable[[dict[str, Any]], None]
Timed = Callable[[int], dict[str, Any]]

WARM_UP = 2  # calls before the clock; the first of a size may trace or compile
GAIN = 1.03  # a doubling that brings less is none
LARGEST = 65536
ROOM = 0.9  # of the host's free memory that a batch may be expected to take

OUT_OF_MEMORY = ("resource_exhausted", "resourceexhausted", "out of memory", "oom when allocating")


def measure(job: dict[str, Any], emit: Emit) -> None:
    """Build the network of the job, then measure each of its batch sizes, and latency."""
    start = time.perf_counter()
    subject = _subject(job)
    emit({"kind": "built", "build_seconds": time.perf_counter() - start, **subject.facts()})
    meter = Meter(subject, emit)
    calls, seconds = job["calls"], job["seconds"]
    for item in job["batches"]:
        batch = item["batch"]
        if batch is None:
            batch = most_images_per_second(lambda n: meter.timed(n, 3, seconds / 4))
        batch, times = fitting(lambda n: meter.timed(n, calls, seconds), batch)
        emit({"kind": "size", "asked": item["asked"], "batch": batch, **times})
    if job["latency_calls"]:
        emit({"kind": "latency", "seconds": meter.timed(1, job["latency_calls"], 0)["seconds"]})


def _subject(job: dict[str, Any]) -> Any:
    side = job.get("side", "")
    if side.startswith("pytorch"):
        from experiments.bench.torch_subject import PyTorch

        return PyTorch(job)
    from experiments.bench import subjects  # loads Keras, which PyTorch's row must not hold

    if side == "keras":
        plain = subjects.PlainKeras(job, POLICIES[job["precision"]])
        subjects.standardise(plain.normalise)
        return plain
    return subjects.Training(job) if job["mode"] == "train" else subjects.Inference(job)


class Meter:
    """Times calls at one batch size after another, and the memory that each takes."""

    def __init__(self, subject: Inference, emit: Emit):
        from experiments.bench import device

        self.device = device
        self.subject, self.emit = subject, emit
        self.held = device.host_peak()
        self.grown: dict[int, float] = {}
        """Bytes of the host that each batch size took."""

    def timed(self, batch: int, calls: int, seconds: float) -> dict[str, Any]:
        """Time at least so many calls for at least so long, after a warm-up.

        Returns {"seconds": of each call, "first_step_seconds", "host_peak", "device_peak"}.
        Raises MemoryError where the host has no room for the batch, before it is tried.
        """
        self._check_room(batch)
        self.emit({"kind": "trying", "batch": batch})
        self.device.forget_peaks()
        images, labels = _batch(batch, self.subject)
        first, *_ = (self._one(images, labels) for _ in range(WARM_UP))
        took: list[float] = []
        while len(took) < calls or sum(took) < seconds:
            took.append(self._one(images, labels))
        peak = self.device.host_peak()
        self.grown[batch] = max(0.0, peak - self.held)
        return {
            "seconds": took,
            "first_step_seconds": first,
            "host_peak": peak,
            "device_peak": self.device.device_peak(),
        }

    def _one(self, images: Any, labels: Any) -> float:
        start = time.perf_counter()
        self.device.synchronise(self.subject.step(images, labels))
        return time.perf_counter() - start

    def _check_room(self, batch: int) -> None:
        """A host without memory ends processes, perhaps others': stop before that."""
        known = max(self.grown, default=batch)
        if batch <= known:
            return
        more = self.grown[known] * (batch / known - 1)
        if more > ROOM * host_available():
            raise MemoryError(f"batch {batch} would take about {more / 2**30:.1f} GiB more")


def fitting(timed: Timed, batch: int) -> tuple[int, dict[str, Any]]:
    """The batch size and its times; half of it, again and again, where the memory does not hold it.

    Raises whatever `timed` raises that is not about memory, or at batch 1.
    """
    while True:
        try:
            return batch, timed(batch)
        except Exception as error:
            if batch == 1 or not out_of_memory(error):
                raise
        batch //= 2


def most_images_per_second(timed: Timed) -> int:
    """The fastest batch size, doubling from 1 until the memory ends, or the gain, twice in a row.

    By the fastest call of each: a disturbance must not pass for the end of the gain.
    """
    best, best_rate, batch, without_gain = 1, 0.0, 1, 0
    while batch <= LARGEST and without_gain < 2:
        try:
            rate = batch / min(timed(batch)["seconds"])
        except Exception as error:
            if batch == 1 or not out_of_memory(error):
                raise
            break
        without_gain += 1
        if rate >= GAIN * best_rate:
            best, best_rate, without_gain = batch, rate, 0
        batch *= 2
    return best


def out_of_memory(error: BaseException) -> bool:
    """Is it about memory, whatever the backend calls it?"""
    text = f"{type(error).__name__}: {error}".lower()
    return isinstance(error, MemoryError) or any(word in text for word in OUT_OF_MEMORY)


def _batch(batch: int, subject: Inference) -> tuple[Any, Any]:
    """Images [b, h, w, c] on 0..255 and labels [b], on the device."""
    import keras

    generator = np.random.default_rng(0)
    shape = subject.network.input_shape[1:]
    images = generator.uniform(0, 255, (batch, *shape)).astype(np.float32)
    labels = generator.integers(0, subject.network.output_shape[-1], batch).astype(np.int32)
    return keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(labels)


def prepare_backend(threads: int, deterministic: bool) -> None:
    """Load Keras on its backend; settle threads and determinism."""
    from experiments.runtime import startup

    backend = startup.keras_backend()
    if backend == "tensorflow":
        startup.prepare_process(threads, deterministic)
    elif backend == "torch":
        import torch

        torch.use_deterministic_algorithms(deterministic, warn_only=True)
        if threads:
            torch.set_num_threads(threads)
    startup.load_keras()
    import keras

    keras.utils.set_random_seed(1)


def main() -> None:
    """Do the job of the command line."""
    job = json.loads(sys.argv[1])
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print do not reach who listens

    def emit(document: dict[str, Any]) -> None:
        print(json.dumps(document), file=out, flush=True)

    prepare_backend(job["threads"], job["deterministic"])
    if job["mode"] == "peak":
        from experiments.bench import matmul_peak

        emit({"kind": "peak", **matmul_peak.measure(job["precision"], job["seconds"])})
    else:
        measure(job, emit)


if __name__ == "__main__":
    main()
