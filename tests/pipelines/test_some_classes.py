"""Some classes of a source: their images and no others, of arrays and of files of any size."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import pipelines
from experiments.config.identity import config_hash
from experiments.config.schema import Config
from experiments.config.settings import parse
from experiments.jobs.dataset import open_source, source_key
from pipelines.errors import SourceError
from pipelines.sources.duplicates import content_digests
from pipelines.sources.some_classes import some_classes


@pytest.fixture
def folder(tmp_path):
    """Six classes, the k-th image of which has sides of 10 + k pixels and the class as its grey."""
    for part, count in (("train", 3), ("test", 2)):
        for grey in range(6):
            for k in range(count):
                path = tmp_path / "set" / part / f"class{grey}" / f"{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (10 + k, 12), (40 * grey,) * 3).save(path)
    return f"folder:{tmp_path / 'set'}"


def test_files_of_any_size(folder):
    whole = pipelines.open_source(folder)
    part = some_classes(whole, 3)
    assert part.class_names == ["class0", "class2", "class4"]
    assert len(part) == 15
    assert {name: len(rows) for name, rows in part.official_splits.items()} == {
        "train": 9, "test": 6,
    }  # fmt: skip
    for row in range(len(part)):
        image = part.images(row).numpy()
        assert image[0, 0, 0] == 80 * part.labels[row]
        if part.shapes is not None:
            assert tuple(part.shapes[row]) == image.shape[:2]
    assert len(content_digests(part)) == len(part)
    assert part.fingerprint not in (whole.fingerprint, some_classes(whole, 2).fingerprint)
    assert part.fingerprint == some_classes(pipelines.open_source(folder), 3).fingerprint
    part.check_unchanged()
    assert some_classes(whole, 6) is whole
    with pytest.raises(SourceError, match=r"has 6 classes, received data\.classes=7"):
        some_classes(whole, 7)


def test_arrays_stay_arrays():
    whole = pipelines.open_source("digits")
    part = some_classes(whole, 5)
    assert part.class_names == [whole.class_names[k] for k in (0, 2, 4, 6, 8)]
    rows = np.flatnonzero(whole.labels % 2 == 0)
    np.testing.assert_array_equal(part.array, whole.array[rows])
    np.testing.assert_array_equal(part.labels, whole.labels[rows] // 2)


def test_as_a_setting_it_changes_no_hash_until_it_is_set():
    config = parse({"data": {"source": "digits", "classes": 4}})
    assert len(open_source(config.data).class_names) == 4
    assert config_hash(config) != config_hash(Config())
    assert "classes" not in Config().model_dump(mode="json")["data"]
    assert "classes" not in source_key(Config().data)
    assert "classes" in source_key(config.data)
