"""A sweep is of one set of images: a start that meets others is refused."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest
from PIL import Image

from experiments.config import settings
from experiments.errors import BadInput
from experiments.jobs.dataset import open_source
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


def test_a_sweep_of_a_former_version_goes_on_once_files_were_read_whole(tmp_path):
    for c, name in enumerate(("cat", "dog")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(6):
            # longer files than what an opening reads of their beginning, of several sizes
            noise = np.random.default_rng(100 * c + i).integers(0, 256, (80 + i, 80, 3), np.uint8)
            Image.fromarray(noise).save(tmp_path / "set" / name / f"{i}.png")
    raw = {
        "name": "former",
        "data": {"source": "folder:set", "batch_size": 4, "image_size": 8},
        "model": {"name": "mlp", "options": {"hidden": [2]}},
        "train": {"epochs": 1},
        "bench": {"latency_calls": 1, "throughput_batches": 1},
        "sweep": {"seed": [1, 2]},
        "launch": {"executor": "inline"},
    }
    config = settings.parse(raw)
    first = sweep(config, "one.yaml")
    decoded = open_source(config.data.model_copy(update={"verify": "decode"}))
    now, former = decoded.fingerprint, decoded.former_fingerprint
    for journal in (tmp_path / ".ilsvrc" / "former").rglob("*.jsonl"):
        journal.write_text(journal.read_text().replace(now, former))
    shutil.rmtree(tmp_path / ".ilsvrc" / ".cache")
    runs = [run["run_id"] for run in first["runs"]]
    assert [run["run_id"] for run in sweep(config, "one.yaml")["runs"]] == runs
    third = sweep(settings.parse(raw | {"sweep": {"seed": [1, 2, 3]}}), "one.yaml")["runs"]
    assert [run["run_id"] for run in third[:2]] == runs
    journals = [path.read_text() for path in (tmp_path / ".ilsvrc" / "former").rglob("*.jsonl")]
    assert len(journals) == 5  # of three runs and two sets of them
    assert not any(now in journal for journal in journals)
    picture = tmp_path / "set" / "dog" / "3.png"
    picture.write_bytes((tmp_path / "set" / "cat" / "3.png").read_bytes())
    with pytest.raises(BadInput, match="has other contents than when this sweep began"):
        sweep(config, "one.yaml")
