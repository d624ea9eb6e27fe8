"""Threads and GPUs of each worker, without a GPU."""

from __future__ import annotations

import os

import pytest

from experiments.config import settings
from experiments.config.launch import Launch
from experiments.errors import BadInput
from experiments.launch.processes import shares
from experiments.launch.ray_cluster import cores_of, gpus_of
from experiments.runtime import share
from experiments.runtime.share import Share, visible_gpus

FOUR = ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("launch", "cores", "threads"),
    [
        (Launch(), 8, 0),  # the whole machine, as TensorFlow does by itself
        (Launch(workers=3), 8, 2),
        (Launch(workers=8), 2, 1),
        (Launch(workers=2, cpus=3), 8, 3),
        (Launch(cpus=0.5), 8, 1),
    ],
)
def test_cores_are_divided_among_the_workers(launch, cores, threads):
    dealt = shares(launch, cores, [])
    assert dealt == [Share(threads)] * launch.workers


@pytest.mark.parametrize(
    ("launch", "gpus", "devices", "together"),
    [
        (Launch(workers=2), FOUR, ["0", "1"], False),
        (Launch(workers=3), ["GPU-a", "GPU-b"], ["GPU-a", "GPU-b", "GPU-a"], True),
        (Launch(), FOUR, [None], False),
        (Launch(workers=2, gpus=2), FOUR, ["0,1", "2,3"], False),
        (Launch(gpus=1), FOUR, ["0"], False),
        (Launch(workers=2, gpus=0.5), ["3"], ["3", "3"], True),
        (Launch(workers=2, gpus=0), FOUR, ["", ""], False),
        (Launch(workers=2), [], [None, None], False),
    ],
)
def test_gpus_are_dealt_out_in_turn(launch, gpus, devices, together):
    dealt = shares(launch, 4, gpus)
    assert [one.devices for one in dealt] == devices
    assert {one.together for one in dealt} == {together}


@pytest.mark.parametrize(
    ("listed", "devices", "names"),
    [
        (None, 0, []),
        (None, 2, ["0", "1"]),
        ("1,0", 2, ["1", "0"]),
        ("", 2, []),
        ("1,-1,0", 2, ["1"]),
        ("0,7,1", 2, ["0"]),
        ("GPU-8f2, MIG-3", 2, ["GPU-8f2", "MIG-3"]),
    ],
)
def test_visible_gpus_are_those_that_cuda_would_show(listed, devices, names):
    environ = {} if listed is None else {"CUDA_VISIBLE_DEVICES": listed}
    assert visible_gpus(environ, devices) == names


def test_a_share_is_taken_before_tensorflow_loads(monkeypatch):
    monkeypatch.setattr(share, "_threads_here", 0)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    Share().take()
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    Share(3, "1", together=True).take()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert share.threads(0) == 3
    assert share.threads(5) == 5  # train.threads, where it is set


def test_what_a_worker_asks_ray_for():
    here = Launch(executor="ray", workers=3)
    there = here.model_copy(update={"address": "auto"})
    assert (cores_of(here, 8), cores_of(there, 8)) == (2, 1)
    assert (gpus_of(here, 1), gpus_of(here, 4), gpus_of(here, 0)) == (0.3333, 1, 0)
    assert gpus_of(there, 4) == 0  # those of the coordinator's machine say nothing of the nodes
    asked = there.model_copy(update={"cpus": 7, "gpus": 2})
    assert (cores_of(asked, 8), gpus_of(asked, 0)) == (7, 2)


@pytest.mark.parametrize("key", ["address=auto", "resources={TPU: 4}"])
def test_what_only_ray_reads_is_refused_elsewhere(key):
    with pytest.raises(BadInput, match=r"is Ray's, and the executor processes; set executor: ray"):
        settings.parse(settings.override({}, [f"launch.{key}"]))
    settings.parse(settings.override({}, [f"launch.{key}", "launch.executor=ray"]))
