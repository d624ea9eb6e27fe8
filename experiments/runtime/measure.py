"""Cost on this machine: throughput, latency, peak memory. Warm-up apart, clocks synchronised."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.runtime.disturbance import MACHINE, Watch, least_disturbed


def inference(
    infer: Callable[[Any], Any],
    input_shape: tuple[int, int, int],
    batch_size: int,
    *,
    latency_calls: int,
    throughput_batches: int,
    watch: Watch = MACHINE,
) -> dict[str, float]:
    """Images per second at `batch_size` (median batch) and latency at batch 1 in milliseconds.

    Every call ends with the logits on the host, so nothing is still in flight when the clock
    is read. The network alone is timed: images are random and already in memory. Where the machine
    did other things meanwhile, all is timed again (`least_disturbed`); `infer_disturbed` and
    `latency_disturbed` are 1 where it still did, and 0 otherwise. Beside them stands what was seen
    while latency was measured: the slowing of a fixed probe, involuntary context switches a call,
    and the share of all cores that other processes kept busy.
    """
    generator = np.random.default_rng(0)
    many = generator.uniform(0, 255, (batch_size, *input_shape)).astype(np.float32)
    seconds, busy = least_disturbed(_timed(infer, many, throughput_batches), watch)
    of_one, disturbance = least_disturbed(_timed(infer, many[:1], latency_calls), watch)
    return {
        "infer_images_per_second": float(batch_size / np.median(seconds)),
        "latency_ms_p50": float(np.percentile(1000 * of_one, 50)),
        "latency_ms_p95": float(np.percentile(1000 * of_one, 95)),
        "infer_disturbed": float(busy.disturbed),
        "latency_disturbed": float(disturbance.disturbed),
        "latency_probe": disturbance.probe,
        "latency_switches": disturbance.switches,
        "latency_load": disturbance.others,
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


def training_speed(images: int, seconds: list[float], last: float = 1.0) -> dict[str, float]:
    """Training images per second, median epoch; the first epoch is left out when there are more,
    because it holds the tracing.

    Args:
        images: of an epoch.
        seconds: of each epoch.
        last: share of the images that the last one had.
    """
    if not seconds:
        return {}
    whole = [*seconds[:-1], seconds[-1] / last]
    warm = whole[1:] or whole
    return {
        "train_images_per_second": float(images / np.median(warm)),
        "train_seconds": float(np.sum(seconds)),
    }


def _timed(infer: Callable[[Any], Any], images: np.ndarray, calls: int) -> Callable[[], np.ndarray]:
    """What makes so many calls and gives the seconds of each, warm from here on."""
    for _ in range(2):
        np.asarray(infer(images))

    def times() -> np.ndarray:
        seconds = []
        for _ in range(calls):
            start = time.perf_counter()
            np.asarray(infer(images))
            seconds.append(time.perf_counter() - start)
        return np.array(seconds)

    return times
