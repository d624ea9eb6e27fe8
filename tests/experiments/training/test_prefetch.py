"""Batches arrive on the accelerator ahead of time: in order, none lost, to the same network.

There is no accelerator here: a virtual processor stands in for it.
"""

from __future__ import annotations

import json

import backend_process
import numpy as np
import prefetch_run
import pytest
import tensorflow as tf
from resumed_run import assert_same, planned, stopped_again_and_again, whole

from experiments.training import prefetch


def test_on_processors_alone_a_dataset_stays_as_it_is():
    batches = tf.data.Dataset.range(3)
    assert prefetch.prefetched(batches) is batches


def test_two_batches_are_begun_before_their_turn():
    begun = []
    given = prefetch.begun_ahead(range(5), lambda number: begun.append(number) or -number)
    assert begun == []
    assert next(given) == 0
    assert begun == [0, 1, 2]
    assert next(given) == -1
    assert begun == [0, 1, 2, 3]
    assert list(given) == [-2, -3, -4]
    assert begun == [0, 1, 2, 3, 4]
    assert list(prefetch.begun_ahead([7], str)) == ["7"]
    assert list(prefetch.begun_ahead([], str)) == []


@pytest.mark.parametrize("updates", [1, 2])
def test_a_fit_and_one_that_is_stopped_are_the_same_with_batches_ahead(
    updates, tmp_path, monkeypatch
):
    """Batches that were ahead when it stopped are neither lost nor shown twice."""
    monkeypatch.setattr("experiments.training.batches.Batches._resident", lambda *a, **k: None)
    words = (
        "train.epochs=2",
        "train.optimizer={name: adam, learning_rate: 0.01}",
        "augment={steps: [{op: pad_and_crop, padding: 2}]}",
        f"train.steps_per_execution={updates}",
    )
    job = planned(tmp_path / "run", *words)
    want = whole(job)
    asked = []
    monkeypatch.setitem(
        prefetch.ACCELERATORS, "tensorflow", lambda: asked.append(updates) or "/device:CPU:0"
    )
    got = stopped_again_and_again(job, monkeypatch, writes=8 // updates)
    assert_same(got, want)
    assert len(asked) > 1  # so many starts had updates left


@pytest.fixture(scope="module")
def came(tmp_path_factory):
    file = tmp_path_factory.mktemp("ahead") / "found.json"
    backend_process.finish([backend_process.start("jax", prefetch_run.__file__, file, devices=2)])
    return json.loads(file.read_text())


@pytest.mark.parametrize(
    ("backend", "device", "whole_numbers"),
    [
        ("tensorflow", "device:CPU:1", "int64"),
        ("jax", "cpu:1", "int32"),
        ("torch", "cpu", "int64"),
    ],
)
def test_batches_come_in_order_on_the_device_asked_for(came, backend, device, whole_numbers):
    """A pair of images and offsets, and labels; as many as there were."""
    if backend not in came:
        pytest.skip(f"{backend} is not installed")
    assert len(came[backend]) == 9
    for number, arrays in enumerate(came[backend]):
        for (place, kind, values), expected in zip(
            arrays, ("uint8", "float32", whole_numbers), strict=True
        ):
            assert place.endswith(device)
            assert expected in kind
            assert values == [number]


def test_a_fit_on_jax_is_the_same_with_batches_ahead(came):
    without, with_them = came["fit"]
    assert with_them["losses"] == without["losses"]
    for got, want in zip(with_them["weights"], without["weights"], strict=True):
        np.testing.assert_array_equal(got, want)
