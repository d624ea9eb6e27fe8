"""Images that change under a fit: it fails and names the file, and so do the next ones."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.config import settings
from experiments.fitting import fit, worker_state
from experiments.jobs.plan import prepare
from experiments.training.snapshots import FOLDER

CLASSES = ("cat", "dog")


@pytest.fixture
def images(tmp_path):
    """Sixteen images in each of two classes, of several sizes and so not held in memory."""
    for c, name in enumerate(CLASSES):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(16):
            pixels = np.random.default_rng(100 * c + i).integers(0, 100, (9 + i % 2, 9, 3))
            picture = Image.fromarray((pixels + 150 * c).astype(np.uint8))
            picture.save(tmp_path / "set" / name / f"{i:02}.png")
    return tmp_path / "set"


def planned(images, **train):
    raw = {
        "data": {"source": f"folder:{images}", "image_size": 8, "batch_size": 4},
        "model": {"name": "mlp", "options": {"hidden": [4]}},
        "train": {"epochs": 3, **train},
        "bench": {"latency_calls": 1, "throughput_batches": 1},
    }
    return prepare(settings.parse(raw)).job(("run",))


def exchange(images):
    """The pictures of two classes, by renaming their folders."""
    first, second = (images / name for name in CLASSES)
    first.rename(images / "between")
    second.rename(first)
    (images / "between").rename(second)


def remove(images):
    (images / "dog" / "03.png").unlink()


def damage(images):
    path = images / "dog" / "03.png"
    path.write_bytes(path.read_bytes()[:60])


def attempt(job, change=None, at=1):
    """The outcome of a job under which the images change when an epoch has ended."""

    def hear(event):
        if change and event["kind"] == "epoch" and event["epoch"] == at:
            change(Path(job.config.data.source.removeprefix("folder:")))

    return fit.attempt(job, hear)


CHANGES = {exchange: "cat/00.png was written again", remove: "dog/03.png was removed",
           damage: "dog/03.png changed from"}  # fmt: skip


@pytest.mark.parametrize("at", [1, 3])  # the last epoch is followed by scoring only
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_under_a_fit_fails_it_and_names_the_file(images, change, at):
    job = planned(images)
    outcome = attempt(job, change, at)
    assert (outcome.status, outcome.scores) == ("failed", {})
    assert outcome.error.startswith(f"data.source: folder:{images}: {CHANGES[change]}")
    assert "Graph execution" not in outcome.error
    for _ in range(2):  # nor does the worker go on with what it keeps, or with what is there now
        again = attempt(replace(job, path=("again",)))
        assert again.status == "failed"
        assert again.error.startswith("data.source: folder:")


def test_images_in_memory_are_held_against_their_files_too(images):
    for path in images.glob("*/*1.png"):
        path.unlink()
    for path in images.glob("*/*.png"):
        Image.open(path).crop((0, 0, 9, 9)).save(path)
    job = planned(images)
    outcome = attempt(job, exchange)
    assert outcome.error.startswith(f"data.source: folder:{images}: cat/00.png was written again")


def test_a_kept_source_is_looked_at_before_the_next_fit(images):
    job = planned(images)
    assert attempt(job).status == "finished"
    remove(images)
    outcome = attempt(replace(job, path=("next",)))
    assert "dog/03.png was removed" in outcome.error


def test_files_put_back_are_the_same_images(images, tmp_path):
    shutil.copytree(images, tmp_path / "copy")
    job = planned(images)
    assert attempt(job, remove).status == "failed"
    shutil.copy2(tmp_path / "copy" / "dog" / "03.png", images / "dog" / "03.png")
    assert attempt(job).status == "finished"


def test_another_process_refuses_what_changed_since_the_command_began(images, monkeypatch):
    monkeypatch.setattr("pipelines.files.verify.SETTLED_NS", 0)
    job = planned(images)
    exchange(images)
    monkeypatch.setattr(fit, "WORKER", worker_state.WorkerState())
    outcome = attempt(job)
    assert outcome.bad_input
    assert "has other contents than when the command began: cat/00.png and 31 more" in outcome.error


def test_no_snapshot_holds_what_was_learnt_from_changed_images(images, tmp_path):
    job = planned(images, checkpoint={"every_seconds": 1e-6, "keep": 9})
    outcome = attempt(job, exchange)
    assert outcome.status == "failed"
    taken = sorted((tmp_path / job.directory / FOLDER).glob("*.npz"))
    assert taken
    steps = [json.loads(np.load(path)["document"].tobytes())["loop"]["step"] for path in taken]
    assert max(steps) <= -(-len(job.train) // 4)  # of the first epoch
