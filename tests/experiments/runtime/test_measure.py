"""Cost figures: units, warm-up, and a peak that belongs to one run."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

from experiments.runtime import measure
from experiments.runtime.disturbance import Reading, Watch
from experiments.runtime.machine import PeakMemory

QUIET = Watch(lambda: Reading(0.0, 0, 0.0, 0.0, 0.0), lambda: 1.0)


def slow(images):
    time.sleep(0.002 * len(images))
    return np.zeros((len(images), 3))


def test_inference_units():
    cost = measure.inference(
        slow, (2, 2, 1), 10, latency_calls=5, throughput_batches=3, watch=QUIET
    )
    # A sleep never ends early: one image takes 2 ms or more, so 500 images/s or fewer.
    assert cost["latency_ms_p50"] >= 2
    assert cost["latency_ms_p95"] >= cost["latency_ms_p50"]
    assert 0 < cost["infer_images_per_second"] <= 500


def test_inference_calls_are_warmed_up_and_counted():
    sizes = []

    def infer(images):
        sizes.append(len(images))
        return images

    measure.inference(infer, (2, 2, 1), 8, latency_calls=5, throughput_batches=3, watch=QUIET)
    assert sizes == [8] * (2 + 3) + [1] * (2 + 5)


def test_training_speed_leaves_out_the_epoch_that_traces():
    assert measure.training_speed(100, [10.0, 1.0, 2.0, 1.0]) == {
        "train_images_per_second": 100.0,
        "train_seconds": 14.0,
    }
    assert measure.training_speed(100, [10.0])["train_images_per_second"] == 10.0
    assert measure.training_speed(100, []) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forget an old peak")
def test_the_peak_is_of_this_run():
    memory = PeakMemory().start()
    big = np.ones(200 * 2**20, np.uint8)
    during = memory.bytes()
    del big
    after = PeakMemory().start().bytes()
    assert during - after > 150 * 2**20
