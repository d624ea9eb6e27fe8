"""A sweep is of one set of images: a start that meets others is refused."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image

from experiments.config import settings
from experiments.errors import BadInput
from experiments.runs.sweep import sweep


def test_a_sweep_does_not_go_on_with_other_images(tmp_path):
    for c, name in enumerate(("cat", "dog")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(10):
            pixels = np.random.default_rng(100 * c + i).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{i}.png")
    time.sleep(0.2)  # what was written just now is not believed the next time
    raw = {
        "name": "one-set",
        "data": {"source": "folder:set", "batch_size": 4},
        "model": {"name": "mlp", "options": {"hidden": [2]}},
        "train": {"epochs": 1},
        "bench": {"latency_calls": 1, "throughput_batches": 1},
        "sweep": {"seed": [1, 2]},
        "launch": {"executor": "inline"},
    }
    config = settings.parse(raw)
    first = sweep(config, "one.yaml")
    assert first["status"] == "finished"
    picture = tmp_path / "set" / "dog" / "3.png"
    before = picture.read_bytes()
    picture.write_bytes((tmp_path / "set" / "cat" / "3.png").read_bytes())
    time.sleep(0.2)
    for named in (r": dog/3\.png", ""):  # the second start no longer knows which it was
        with pytest.raises(BadInput, match=rf"than when this sweep began{named} \(fingerprint"):
            sweep(config, "one.yaml")
    picture.write_bytes(before)
    again = sweep(config, "one.yaml")
    assert [run["run_id"] for run in again["runs"]] == [run["run_id"] for run in first["runs"]]
