"""How long training takes on this machine, from counts alone: a guess before anything is trained.

An image costs its multiply-accumulates three times over (forward; gradients of weights and of
inputs) and its activations once more for what is no multiplication: normalising, activating,
adding. How fast this machine does either, a probe of a second or two measures. Narrow layers run
below that speed and wide ones above: a guess is right within a factor of two or three.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from experiments.jobs.pace import PASSES

PROBE_SECONDS = 0.4  # of each of the two probes, warm
PROBE = (32, 32, 32, 32)  # images, height, width, channels
LARGEST_PROBE = 1024  # images: an accelerator needs many to be busy
BUSY_SECONDS = 0.02  # a call from which its start no longer counts
UPDATE_SECONDS = 0.002  # around an update: the loop, the optimizer, the batch
START_SECONDS = 12.0  # of a network, once: tracing, compiling, measuring its latency
RUN_SECONDS = 2.0  # of a run: opening, saving, testing


@dataclass(frozen=True)
class Speed:
    """Of this machine in training: multiply-accumulates, and bytes of activations, a second."""

    macs_per_second: float
    bytes_per_second: float

    def image_seconds(self, macs: float, activation_bytes: float) -> float:
        """Seconds that one image of an update takes a network of these counts."""
        return PASSES * macs / self.macs_per_second + activation_bytes / self.bytes_per_second

    def update_seconds(self, params: float) -> float:
        """Seconds that one update of so many float32 parameters takes."""
        return 4 * params / self.bytes_per_second


def measure() -> Speed:
    """Probe this machine's own convolutions and normalisations, forward and backward."""
    from experiments.runtime.startup import load_tensorflow

    load_tensorflow()
    import tensorflow as tf

    images, height, width, channels = PROBE
    kernel = tf.Variable(tf.random.stateless_uniform((3, 3, channels, channels), (1, 2)))

    def convolve(pixels: Any) -> Any:
        return tf.nn.conv2d(pixels, kernel, 1, "SAME")

    def normalise(pixels: Any) -> Any:
        mean, variance = tf.nn.moments(pixels, (0, 1, 2))
        return tf.nn.relu(tf.nn.batch_normalization(pixels, mean, variance, None, None, 1e-3))

    def update(layer: Callable[[Any], Any]) -> Callable[[Any], Any]:
        @tf.function(reduce_retracing=True)
        def gradients(pixels: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(pixels)
                total = tf.reduce_sum(layer(pixels))
            slopes = tape.gradient(total, [pixels, kernel])
            return tf.add_n([tf.reduce_max(slope) for slope in slopes if slope is not None])

        return gradients

    values = height * width * channels  # of one image
    convolved = PASSES * values * channels * 9  # multiply-accumulates
    normalised = values * 4 * 2  # bytes that the two layers hand on
    return Speed(
        macs_per_second=convolved / _image_seconds(update(convolve), images),
        bytes_per_second=normalised / _image_seconds(update(normalise), images),
    )


def _image_seconds(call: Callable[[Any], Any], images: int) -> float:
    """Seconds an image, of the fastest call, at the first size that keeps the machine busy."""
    import tensorflow as tf

    while True:
        pixels = tf.random.stateless_uniform((images, *PROBE[1:]), (3, 4))
        float(call(pixels))  # the first call traces
        best, end = float("inf"), time.perf_counter() + PROBE_SECONDS
        while time.perf_counter() < end:
            began = time.perf_counter()
            float(call(pixels))
            best = min(best, time.perf_counter() - began)
        if best > BUSY_SECONDS or images >= LARGEST_PROBE:
            return best / images
        images *= 4
