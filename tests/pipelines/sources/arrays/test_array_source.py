"""`pipelines.ArraySource`: arrays from Python, in all of pipelines and as a file."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from drawn_arrays import class_in, drawn

import pipelines
from pipelines import build, splits, statistics
from pipelines.augment.recipes import Recipe
from pipelines.errors import SourceError
from pipelines.files.decode import decode
from pipelines.sources.array_checks import in_channels

LABELS = np.arange(30) % 3
NAMES = ["cat", "dog", "emu"]


def source(**settings):
    return pipelines.ArraySource(drawn(LABELS, 8, 6), LABELS, NAMES, **settings)


def test_it_works_with_all_of_pipelines():
    whole = source()
    assert (len(whole), whole.image_shape, whole.default_size) == (30, (8, 6, 3), (8, 6))
    split = splits.resolve(whole.labels, None, 0.2, 0.2, None, 1, whole.class_names)
    colours = statistics.fit(whole, split.train).colours
    recipe = Recipe((8, 6), (), colours, seed=1)
    offset = drawn([0], 8, 6)[0].astype(np.float32)
    seen = 0
    for images, labels in build.training_dataset(
        whole, split.train, recipe, batch_size=4, epochs=1
    ):
        assert ((images.numpy() - offset)[:, 0, 0, 0] // 20 == labels.numpy()).all()
        seen += len(labels)
    assert seen == len(split.train)
    example = next(iter(whole.dataset([17]).as_numpy_iterator()))
    assert class_in(example["image"][None]) == example["label"] == LABELS[17]


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        LABELS[:, None],
        LABELS.astype(np.float32),
        LABELS.astype(">u2"),
        np.array(NAMES)[LABELS],
        [NAMES[label] for label in LABELS],
        [NAMES[label].encode() for label in LABELS],
        np.eye(3)[LABELS],
    ],
)
def test_labels_in_their_many_forms_are_the_same(labels):
    whole = pipelines.ArraySource(drawn(LABELS, 8, 6), labels, NAMES)
    assert whole.labels.dtype == np.int64
    assert whole.labels.tolist() == LABELS.tolist()
    assert whole.fingerprint == source().fingerprint
    assert any("one-hot" in note for note in whole.notes) == (
        np.ndim(labels) == 2 and len(labels[0]) == 3
    )


@pytest.mark.parametrize(
    ("labels", "names", "numbers"),
    [
        (np.array([10, 2, 10, 9]), ["2", "9", "10"], [2, 0, 2, 1]),  # such as EMNIST letters from 1
        (["emu", "cat", "emu", "dog"], ["cat", "dog", "emu"], [2, 0, 2, 1]),
    ],
)
def test_without_class_names_the_labels_name_the_classes(labels, names, numbers):
    whole = pipelines.ArraySource(drawn([0, 1, 2, 3], 4, 4), labels)
    assert whole.class_names == names
    assert whole.labels.tolist() == numbers


PIXELS = drawn(LABELS, 8, 6)


@pytest.mark.parametrize(
    ("images", "line"),
    [
        (PIXELS / 255.0, 'received float64: use (255 * images).round().astype("uint8")'),
        (PIXELS.astype(np.float32), 'received float32: use images.astype("uint8")'),
        (PIXELS + 0.5, 'use images.astype("uint8") where they are whole numbers'),
        (PIXELS.astype(np.int64), 'received int64: use images.astype("uint8")'),
        (PIXELS / 127.5 - 1.0, "values lie between -1 and"),
        (PIXELS.astype(np.int32) * 257, "map them to 0..255"),
        (np.array(["a"] * 30), "expected uint8 from 0 to 255, received <U1"),
        (PIXELS.transpose(0, 3, 1, 2), "images.transpose(0, 2, 3, 1) puts them last"),
        (np.concatenate([PIXELS, PIXELS[..., :1]], -1), "images[..., :3] leaves the transparency"),
        (PIXELS[..., :2], "expected 1 or 3 channels, received [30, 8, 6, 2]"),
        (PIXELS.reshape(30, -1), "received [30, 144]: reshape the array"),
        (PIXELS[:0], "none of them 0, received [0, 8, 6, 3]"),
        (PIXELS[:29], "labels: expected 29, one an image, received 30"),
    ],
)
def test_other_images_are_refused_with_the_fix(images, line):
    with pytest.raises(SourceError) as refused:
        pipelines.ArraySource(images, LABELS, NAMES)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def changed(position, value, dtype=None):
    labels = np.array(LABELS, dtype)
    labels[position] = value
    return labels


@pytest.mark.parametrize(
    ("labels", "names", "line"),
    [
        (changed(4, np.nan, float), NAMES, "whole numbers from 0, received nan for image 4"),
        (changed(4, np.inf, float), NAMES, "whole numbers from 0, received inf for image 4"),
        (changed(4, 1.5, float), NAMES, "whole numbers from 0, received 1.5 for image 4"),
        (changed(5, -1), NAMES, "whole numbers from 0, received -1 for image 5"),
        (changed(6, 3), NAMES, "expected from 0 to 2 (3 class names), received 3 for image 6"),
        (changed(7, "dgo", object), NAMES, "expected whole numbers or class names, received 0"),
        (["dgo"] * 30, NAMES, "'dgo' of image 0 is no class name (did you mean 'dog'?)"),
        (
            np.ones((30, 3)),
            NAMES,
            "one class an image, one-hot or as its number, received [1.0, 1.0",
        ),
        (
            np.zeros((30, 3)),
            NAMES,
            "one-hot or as its number, received [0.0, 0.0, 0.0] for image 0",
        ),
        (np.zeros((30, 3, 1)), NAMES, "expected one an image, [n] or [n, 1], received [30, 3, 1]"),
        (LABELS * 0, None, "one class only ('0')"),
        (LABELS, ["a", "b", "a"], "class names: 'a' is given twice"),
    ],
)
def test_other_labels_are_refused_by_their_image(labels, names, line):
    with pytest.raises(SourceError) as refused:
        pipelines.ArraySource(PIXELS, labels, names)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ({"training": [0]}, "received 'training' (did you mean 'train'?)"),
        ({"train": [0, 30]}, "train: expected numbers of images from 0 to 29"),
        ({"train": [0, 1], "test": [1]}, "image 1 is listed twice"),
    ],
)
def test_other_official_splits_are_refused(parts, line):
    with pytest.raises(SourceError) as refused:
        source(official_splits=parts)
    assert line in str(refused.value)


@pytest.mark.parametrize(
    "parts", [None, {"train": range(20), "validation": range(20, 26), "test": [26, 27, 29, 28]}]
)
def test_a_saved_source_opens_again_by_the_spec_that_saving_returns(tmp_path, parts):
    whole = source(official_splits=parts)
    spec = whole.save(tmp_path / "cells.npz")
    again = pipelines.open_source(spec)
    assert again.class_names == NAMES
    assert class_in(again.array).tolist() == again.labels.tolist()
    for part, indices in (whole.official_splits or {"": np.arange(30)}).items():
        there = again.official_splits[part] if part else np.arange(30)
        assert np.array_equal(again.array[there], whole.array[indices])
    assert [path.name for path in tmp_path.iterdir()] == ["cells.npz"]
    with pytest.raises(SourceError, match="cannot be written"):
        whole.save(tmp_path / "none" / "cells.npz")


def test_grey_of_colour_is_the_luma_of_a_decoded_file_and_grey_stays():
    import tensorflow as tf

    pixels = np.random.default_rng(0).integers(0, 256, (3, 9, 7, 3)).astype(np.uint8)
    for image, grey in zip(pixels, in_channels(pixels, 1), strict=True):
        assert np.array_equal(decode(tf.io.encode_png(image), 1), grey)
    repeated = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), 3, -1)
    assert np.array_equal(in_channels(repeated, 1)[..., 0], repeated[..., 0])
    assert np.array_equal(in_channels(repeated[..., :1], 3), repeated)


def test_importing_pipelines_loads_no_tensorflow():
    code = "import pipelines, sys; pipelines.ArraySource; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
