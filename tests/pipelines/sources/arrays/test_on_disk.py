"""Arrays larger than may be held in memory: converted once, the same images by the same numbers."""

from __future__ import annotations

import shutil
from collections import namedtuple

import numpy as np
import pytest
from array_files import cifar_files, idx_folder, unpacked
from drawn_arrays import class_in, drawn

from pipelines import build, statistics
from pipelines.augment.recipes import Recipe
from pipelines.errors import SourceError
from pipelines.sources.arrays import on_disk
from pipelines.sources.check import check, open_to_check
from pipelines.sources.open import open_source
from pipelines.sources.prepared import PreparedSource

TRAIN, TEST = np.arange(40) % 4, 3 - np.arange(11) % 4
SMALL = 1000


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def npz(here):
    arrays = {"x_train": drawn(TRAIN, 9, 7), "x_test": drawn(TEST, 9, 7)}
    np.savez_compressed(here / "set.npz", y_train=TRAIN, y_test=TEST, **arrays)
    return f"npz:{here / 'set.npz'}"


def images_of(source):
    examples = source.dataset(range(len(source))).as_numpy_iterator()
    return np.stack([example["image"] for example in examples])


SPECS = {
    "npz": npz,
    "mnist": lambda here: f"mnist:{idx_folder(here / 'digits')}",
    "cifar": lambda here: f"cifar:{unpacked(here / 'set', cifar_files('cifar-10-batches-bin')[0])}",
}


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("kind", SPECS)
def test_the_same_images_labels_and_parts(here, kind, channels, monkeypatch):
    monkeypatch.setattr("pipelines.sources.arrays.parts.BLOCK_BYTES", 700)
    spec = SPECS[kind](here)
    held = open_source(spec, channels=channels)
    read = open_source(spec, channels=channels, memory_limit_bytes=SMALL)
    assert isinstance(read, PreparedSource)
    assert (read.spec, read.class_names, read.notes) == (held.spec, held.class_names, held.notes)
    assert (read.image_shape, read.default_size) == (held.image_shape, held.default_size)
    assert np.array_equal(images_of(read), held.array)
    assert np.array_equal(read.labels, held.labels)
    if channels != 1:
        assert class_in(images_of(read)).tolist() == read.labels.tolist()
    for part, indices in held.official_splits.items():
        assert np.array_equal(read.official_splits[part], indices)


def test_it_is_converted_once_and_again_when_the_file_changes(here, capsys, monkeypatch):
    spec = npz(here)
    first = open_source(spec, memory_limit_bytes=SMALL)
    assert "converting them once, into" in capsys.readouterr().err
    monkeypatch.setattr(on_disk, "raw_record", lambda image: pytest.fail("converted again"))
    again = open_source(spec, memory_limit_bytes=SMALL)
    assert (again.fingerprint, capsys.readouterr().err) == (first.fingerprint, "")
    monkeypatch.undo()
    monkeypatch.chdir(here)
    np.savez(here / "set.npz", x=drawn(TEST, 9, 7), y=TEST)
    other = open_source(spec, memory_limit_bytes=SMALL)
    assert np.array_equal(images_of(other), drawn(TEST, 9, 7))


def test_it_trains_and_is_checked_as_others(here, monkeypatch):
    spec = npz(here)
    read = open_source(spec, memory_limit_bytes=SMALL)
    train = read.official_splits["train"]
    recipe = Recipe((9, 7), (), statistics.fit(read, train).colours, seed=1)
    seen = [
        label for _, labels in build.training_dataset(read, train, recipe, batch_size=8, epochs=1)
        for label in labels.numpy()
    ]  # fmt: skip
    assert sorted(seen) == sorted(TRAIN)
    monkeypatch.setattr("pipelines.sources.arrays.parts.MEMORY_LIMIT_BYTES", SMALL)
    report = check(open_to_check(spec), tiny=1)
    assert (report.images, report.fingerprint) == (51, read.fingerprint)


def test_without_room_nothing_is_begun(here, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(7))
    with pytest.raises(SourceError, match=r"need 9,639 bytes, .* more than the 7 that are free"):
        open_source(npz(here), memory_limit_bytes=SMALL)
    assert list((here / ".ilsvrc").rglob("*.array_record")) == []
