"""`pipelines.from_dataset`: what a tf.data.Dataset holds, as a folder that opens again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from drawn_arrays import class_in, drawn
from PIL import Image

import pipelines
from pipelines.errors import SourceError
from pipelines.sources.array_checks import in_channels

LABELS = np.random.default_rng(0).permutation(np.arange(24) % 3)
NAMES = ["cat", "dog", "emu"]
IMAGES = drawn(LABELS, 8, 6)


def pairs(images=IMAGES, labels=LABELS):
    return tf.data.Dataset.from_tensor_slices((images, labels))


def check(source, images=IMAGES, channels=3):
    assert class_in(source.array).tolist() == source.labels.tolist()
    expected = sorted(image.tobytes() for image in in_channels(images, channels))
    assert sorted(image.tobytes() for image in source.array) == expected


@pytest.mark.parametrize(
    "dataset",
    [
        pairs(),
        pairs().batch(5),
        pairs().shuffle(24).batch(7),
        pairs().map(lambda image, label: {"label": label, "image": image, "id": 1}).batch(4),
        pairs(labels=LABELS[:, None]).batch(5),
        pairs(labels=np.eye(3, dtype=np.float32)[LABELS]).batch(5),
        pairs(labels=np.array(NAMES)[LABELS]).batch(5),
        pairs(IMAGES.astype(np.float32)).batch(5),
    ],
)
def test_every_form_of_a_dataset_gives_the_same_folder(tmp_path, dataset):
    source = pipelines.from_dataset(dataset, tmp_path / "cells", NAMES)
    check(source)
    assert source.class_names == NAMES
    assert source.spec == f"prepared:{tmp_path / 'cells'}"
    again = pipelines.open_source(source.spec)
    plain = pipelines.from_dataset(pairs(), tmp_path / "plain", NAMES)
    assert source.fingerprint == again.fingerprint == plain.fingerprint
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("tmp")] == []


@pytest.mark.parametrize("shape", [(8, 6, 1), (8, 6)])
def test_grey(tmp_path, shape):
    images = drawn(LABELS, 8, 6, 1)
    for name, size in (("single", 1), ("batch", 5)):
        dataset = pairs(images.reshape(24, *shape))
        source = pipelines.from_dataset(
            dataset.batch(size) if size > 1 else dataset, tmp_path / name, NAMES
        )
        check(source, images, 1)


def test_images_of_many_sizes(tmp_path):
    def examples():
        for i, label in enumerate(LABELS):
            yield drawn([label], 8 + i, 6 + 2 * i)[0], label

    dataset = tf.data.Dataset.from_generator(
        examples,
        output_signature=(tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([], tf.int64)),
    )
    source = pipelines.from_dataset(dataset, tmp_path / "cells", NAMES)
    assert source.image_shape == (None, None, 3)
    seen = {
        (len(x["image"]), x["image"].shape[1]): x
        for x in source.dataset(range(24)).as_numpy_iterator()
    }
    for i, label in enumerate(LABELS):
        example = seen[8 + i, 6 + 2 * i]
        assert np.array_equal(example["image"], drawn([label], 8 + i, 6 + 2 * i)[0])
        assert example["label"] == label


def test_several_datasets_are_the_official_parts(tmp_path):
    cuts = {"Train": slice(0, 12), "val": slice(12, 18), "test": slice(18, 24)}
    datasets = {name: pairs(IMAGES[cut], LABELS[cut]).batch(4) for name, cut in cuts.items()}
    source = pipelines.from_dataset(datasets, tmp_path / "cells", NAMES)
    check(source)
    for part, cut in zip(("train", "validation", "test"), cuts.values(), strict=True):
        there = source.array[source.official_splits[part]]
        assert sorted(x.tobytes() for x in there) == sorted(x.tobytes() for x in IMAGES[cut])
    with pytest.raises(SourceError, match=r"received 'trian' \(did you mean 'train'\?\)"):
        pipelines.from_dataset({"trian": pairs()}, tmp_path / "other")


def test_what_keras_reads_from_folders(tmp_path):
    import keras

    for i, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
        path = tmp_path / "photos" / NAMES[label] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)

    def read(size):
        return keras.utils.image_dataset_from_directory(
            tmp_path / "photos", image_size=size, batch_size=5, verbose=False
        )

    source = pipelines.from_dataset(read((8, 6)), tmp_path / "cells")  # float32, whole numbers
    check(source)
    assert source.class_names == NAMES
    line = r"received float32 from .*: use dataset\.map\(.*tf\.round\(x\)"
    with pytest.raises(SourceError, match=line):
        pipelines.from_dataset(read((7, 7)), tmp_path / "resized")


def test_the_same_images_may_come_again_and_others_may_not(tmp_path):
    first = pipelines.from_dataset(pairs(), tmp_path / "cells", NAMES)
    again = pipelines.from_dataset(pairs().shuffle(24), tmp_path / "cells", NAMES)
    assert again.fingerprint == first.fingerprint
    for other in (pairs(255 - IMAGES), pairs(labels=(LABELS + 1) % 3)):
        with pytest.raises(SourceError, match="was prepared with source_fingerprint"):
            pipelines.from_dataset(other, tmp_path / "cells", NAMES)
    manifest = json.loads((tmp_path / "cells" / "manifest.json").read_text())
    assert manifest["encoding"] == "raw"


@pytest.mark.parametrize(
    ("dataset", "line"),
    [
        (
            pairs(IMAGES / 255.0),
            "received float64 from 0 to 0.7",
        ),
        (
            pairs(IMAGES / 255.0).batch(4),
            ": use dataset.map(lambda x, y: (tf.cast(tf.round(255 * x), tf.uint8), y))",
        ),
        (pairs((IMAGES > 90).astype(np.float32)), "all are 0 or 1: use dataset.map("),
        (pairs(IMAGES / np.float32(127.5) - 1), ": map them to that"),
        (pairs().take(0), "images: the dataset is empty"),
        (pairs().map(lambda image, label: image), "expected (image, label) or {'image', 'label'}"),
        (pairs().map(lambda x, y: (x, y, 1.0)), "expected (image, label)"),
        (pairs().map(lambda x, y: {"x": x, "y": y}), "expected [h, w], [h, w, c] or batches"),
        (pairs(IMAGES.transpose(0, 3, 1, 2)), "the channels come first"),
        (pairs(labels=LABELS - 1), "expected whole numbers from 0, received -1"),
        (
            pairs().map(lambda x, y: (x, tf.ensure_shape(tf.tile(y[None], [y]), [1]))),
            "the dataset fails",
        ),
    ],
)
def test_other_datasets_are_refused_in_one_line_and_nothing_is_written(tmp_path, dataset, line):
    with pytest.raises(SourceError) as refused:
        pipelines.from_dataset(dataset, tmp_path / "cells", NAMES)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
