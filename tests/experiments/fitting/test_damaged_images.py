"""A damaged file that only decoding finds fails what reads it, by name, and the next opening."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from PIL import Image

from experiments.config import settings
from experiments.errors import BadInput, FailedWork
from experiments.fitting import fit
from experiments.inspection import data, preview
from experiments.jobs.plan import prepare

CLASSES, EACH = ("cat", "dog"), 12


@pytest.fixture
def images(tmp_path):
    """Photographs of two classes in files longer than what an opening reads of their beginning."""
    for c, name in enumerate(CLASSES):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(EACH):
            noise = np.random.default_rng(100 * c + i).integers(0, 256, (150, 190 + i % 2, 3))
            path = tmp_path / "set" / name / f"{i:02}.jpg"
            Image.fromarray(noise.astype(np.uint8)).save(path, quality=95)
    return tmp_path / "set"


def spoil_jpeg(images):
    """Both ends stay; the Huffman tables are none."""
    path = images / "dog" / "05.jpg"
    contents = bytearray(path.read_bytes())
    at = contents.index(b"\xff\xc4") + 5
    contents[at : at + 16] = b"\xff" * 16
    write_long_ago(path, contents)
    return "dog/05.jpg is a truncated or damaged JPEG file"


def spoil_png(images):
    """Both ends stay; the checksum in between is wrong."""
    path = images / "dog" / "05.png"
    Image.open(images / "dog" / "05.jpg").save(path)
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 0xFF
    write_long_ago(path, contents)
    return "dog/05.png is a truncated or damaged PNG file"


def write_long_ago(path, contents):
    path.write_bytes(contents)
    time.sleep(0.15)  # what has just been written is not kept


def planned(images, **settings_of_data):
    raw = {
        "data": {
            "source": f"folder:{images}",
            "image_size": 8,
            "batch_size": 4,
            "max_corrupt_fraction": 0.1,
            **settings_of_data,
        },
        "model": {"name": "mlp", "options": {"hidden": [4]}},
        "train": {"epochs": 2},
        "bench": {"latency_calls": 1, "throughput_batches": 1},
    }
    return prepare(settings.parse(raw)).job(("run",))


def attempt(job):
    return fit.attempt(job, lambda event: None)


@pytest.mark.parametrize("spoil", [spoil_jpeg, spoil_png])
def test_training_names_a_damaged_file_and_the_next_opening_too(images, spoil):
    why = spoil(images)
    outcome = attempt(planned(images))
    assert outcome.status == "failed"
    assert outcome.scores == {}
    assert outcome.error == (
        f"data.source: folder: {why}: replace or delete the file, or set data.on_corrupt: skip"
    )
    with pytest.raises(BadInput, match=re.escape(f"folder: {why}")):
        planned(images)


def test_images_of_one_size_in_memory(images):
    for path in images.glob("*/*[13579].jpg"):
        path.unlink()
    (images / "dog" / "05.jpg").write_bytes((images / "dog" / "04.jpg").read_bytes())
    why = spoil_jpeg(images)
    assert attempt(planned(images)).error.startswith(f"data.source: folder: {why}")


def test_skip_decodes_first_and_leaves_out_what_does_not(images):
    spoil_jpeg(images)
    job = planned(images, on_corrupt="skip")
    assert attempt(job).status == "finished"
    parts = [part for part in (job.train, job.validation, job.test) if part is not None]
    assert sum(map(len, parts)) == 2 * EACH - 1
    with pytest.raises(BadInput, match=r"1 of 24 files do not decode.* allows 0\.01"):
        planned(images, on_corrupt="skip", max_corrupt_fraction=0.01)


def test_header_with_skip_fails_by_name_and_goes_on_without_the_file(images):
    why = spoil_jpeg(images)
    chosen = {"on_corrupt": "skip", "verify": "header"}
    first = planned(images, **chosen)
    outcome = attempt(first)
    assert outcome.status == "failed"
    assert why in outcome.error
    assert "it is left out from the next start on" in outcome.error
    second = planned(images, **chosen)
    assert second.fingerprint != first.fingerprint
    assert attempt(second).status == "finished"


WORK = {
    "stats": lambda spec, out: data.stats(spec),
    "prepare": lambda spec, out: data.prepare(
        spec, out, size=32, encoding="jpeg", quality=90, images_per_shard=8, quiet=True
    ),
    "preview": lambda spec, out: preview.preview(
        spec, ["data.image_size=16", "model.name=lenet5"], out / "x.png", images=30, draws=1
    ),
}


@pytest.mark.parametrize("kind", WORK)
def test_whatever_reads_images_names_it(images, tmp_path, kind):
    why = spoil_jpeg(images)
    with pytest.raises(FailedWork, match=re.escape(f"data.source: folder: {why}")):
        WORK[kind](f"folder:{images}", tmp_path / "out")


def test_another_error_starts_no_search(images, monkeypatch):
    from pipelines.sources.open import open_source

    def refuse(*_):
        raise AssertionError("searched")

    spoil_jpeg(images)
    source = open_source(f"folder:{images}")
    monkeypatch.setattr("pipelines.files.damage.examine_files", refuse)
    source.check_decodes(ValueError("Input 0 of layer dense is incompatible"))
