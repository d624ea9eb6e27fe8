from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pipelines.errors import SourceError
from pipelines.sources.open import open_source
from pipelines.sources.synthetic import class_name


def test_digits() -> None:
    source = open_source("digits")
    assert (len(source), source.image_shape, source.default_size) == (1797, (8, 8, 1), 32)
    assert source.spec == "digits"
    assert source.class_names == [str(i) for i in range(10)]
    assert source.labels.dtype == np.int64
    assert source.official_splits is None
    assert source.array is not None
    assert source.array.dtype == np.uint8
    truth = load_digits()
    assert np.array_equal(source.labels, truth.target)
    assert np.abs(source.array[..., 0] / 255 - truth.images / 16).max() <= 0.5 / 255
    assert (source.array.min(), source.array.max()) == (0, 255)


def test_digits_in_three_channels() -> None:
    source = open_source("digits", channels=3)
    assert source.image_shape == (8, 8, 3)
    assert source.array is not None
    assert np.array_equal(source.array[..., 0], source.array[..., 2])
    assert source.fingerprint != open_source("digits").fingerprint


def test_dataset_follows_the_indices() -> None:
    source = open_source("digits")
    assert source.array is not None
    wanted = np.array([5, 3, 3, 1700])
    examples = list(source.dataset(wanted))
    assert [int(example["index"]) for example in examples] == wanted.tolist()
    for example, i in zip(examples, wanted, strict=True):
        assert example["image"].dtype == np.uint8
        assert example["image"].shape == (8, 8, 1)
        assert np.array_equal(example["image"], source.array[i])
        assert int(example["label"]) == source.labels[i]


def test_images_and_windows_by_index() -> None:
    import tensorflow as tf

    source = open_source("synthetic:examples=20,size=16")
    assert source.array is not None
    assert np.array_equal(source.images(tf.constant(7)), source.array[7])
    part = source.images(tf.constant(7, tf.int64), lambda shape: tf.stack([2, 3, shape[0] - 4, 5]))
    assert np.array_equal(part, source.array[7, 2:14, 3:8])


def test_synthetic_shape_balance_and_names() -> None:
    source = open_source("synthetic:classes=7,size=24,examples=100,seed=3")
    assert source.image_shape == (24, 24, 3)
    assert source.default_size == 24
    assert len(source) == 100
    assert source.spec == "synthetic:classes=7,size=24,examples=100,seed=3,channels=3"
    per_class = np.bincount(source.labels)
    assert per_class.max() - per_class.min() <= 1
    assert len(per_class) == 7
    assert open_source("synthetic").spec == open_source("synthetic:seed=1,classes=10").spec
    assert open_source("synthetic:examples=20,channels=1").array.shape == (20, 64, 64, 1)  # type: ignore[union-attr]  # held in memory
    assert len({class_name(i) for i in range(2000)}) == 2000


def test_synthetic_image_depends_on_seed_and_index_only() -> None:
    short, long, other = (
        open_source(f"synthetic:size=16,{rest}").array
        for rest in ("examples=40,seed=0", "examples=90,seed=0", "examples=40,seed=1")
    )
    assert short is not None
    assert long is not None
    assert other is not None
    assert np.array_equal(short, long[:40])
    assert not (short == other).all(axis=(1, 2, 3)).any()
    assert len({image.tobytes() for image in long}) == 90


def test_synthetic_can_be_learned_but_not_from_the_mean_colour() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    source = open_source("synthetic:classes=8,size=16,examples=1200")
    assert source.array is not None
    pixels = source.array.reshape(1200, -1).astype(np.float32)
    means = source.array.mean(axis=(1, 2))

    def accuracy(values: np.ndarray) -> float:
        model = KNeighborsClassifier(5).fit(values[:1000], source.labels[:1000])
        return float(model.score(values[1000:], source.labels[1000:]))

    assert accuracy(pixels) > 0.2
    assert accuracy(means) < 0.6


def test_synthetic_classes_beyond_the_combinations_differ() -> None:
    source = open_source("synthetic:classes=300,size=32,examples=300")
    assert source.array is not None
    # Same shape, colour and texture, another variation: drawn differently at the same place.
    from pipelines.sources.synthetic import draw

    labels = np.array([11, 11 + 256])
    swapped = draw(labels, 32, 1, 3)
    plain = draw(np.array([11, 11]), 32, 1, 3)
    assert np.array_equal(swapped[0], plain[0])
    assert np.abs(swapped[1].astype(int) - plain[1]).mean() > 1


def test_directions() -> None:
    source = open_source("directions")
    assert source.spec == "directions:examples=1000,seed=1"
    assert (len(source), source.image_shape, source.default_size) == (1000, (4, 4, 1), 4)
    assert source.class_names == ["none", "vertical", "horizontal", "diagonal"]
    assert np.bincount(source.labels).tolist() == [250] * 4
    assert source.array is not None
    assert source.array.dtype == np.uint8
    short, other = open_source("directions:examples=40"), open_source("directions:seed=2")
    assert np.array_equal(short.array, source.array[:40])  # type: ignore[arg-type]  # in memory
    assert not (source.array == other.array).all(axis=(1, 2, 3)).any()  # type: ignore[union-attr]
    three = open_source("directions", channels=3)
    assert three.image_shape == (4, 4, 3)
    assert np.array_equal(three.array, source.array.repeat(3, axis=-1))  # type: ignore[arg-type]


def test_directions_hold_lines_of_every_place_on_a_grey_ground() -> None:
    source = open_source("directions:examples=4000")
    assert source.array is not None
    pixels = source.array[..., 0] / 255.0
    none, vertical, horizontal, diagonal = (pixels[source.labels == label] for label in range(4))

    def places(images: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How often each candidate mask is the brightest, and by how much it is brighter."""
        on = np.einsum("nij,kij->nk", images, candidates) / 4
        off = (images.sum(axis=(1, 2))[:, None] - 4 * on) / (16 - 4)
        contrast = (on - off).max(axis=1)
        return np.bincount((on - off).argmax(axis=1), minlength=len(candidates)), contrast

    eye = np.eye(4)
    columns = np.stack([np.tile(e, (4, 1)) for e in eye])
    rows = columns.transpose(0, 2, 1)
    diagonals = np.stack([eye, eye[::-1]])
    for images, candidates in ((vertical, columns), (horizontal, rows), (diagonal, diagonals)):
        counts, contrast = places(images, candidates)
        assert counts.min() > 0.8 * 1000 / len(candidates)
        assert contrast.mean() == pytest.approx(0.5, abs=0.02)  # 0.3 to 0.7 brighter
    assert none.mean() == pytest.approx(0.2, abs=0.01)  # ground 0.1 to 0.3
    assert none.std(axis=(1, 2)).mean() == pytest.approx(0.2 / 3**0.5, abs=0.015)  # uniform +-0.2


def test_directions_are_a_task_beyond_brightness_and_beyond_single_pixels() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    source = open_source("directions:examples=2000")
    assert source.array is not None
    pixels = source.array.reshape(2000, -1) / 255.0
    train, test = slice(0, 1500), slice(1500, 2000)

    def accuracy(model: Any, values: np.ndarray) -> float:
        model.fit(values[train], source.labels[train])
        return float(model.score(values[test], source.labels[test]))

    assert accuracy(KNeighborsClassifier(5), pixels) > 0.9
    assert 0.4 < accuracy(LogisticRegression(max_iter=1000), pixels) < 0.75
    assert accuracy(KNeighborsClassifier(15), pixels.mean(axis=1, keepdims=True)) < 0.5


def test_fingerprint_covers_pixels_labels_and_names() -> None:
    from pipelines.sources.array_source import fingerprint

    pixels, labels, names = np.zeros((2, 2, 2, 1), np.uint8), np.array([0, 1]), ["a", "b"]
    base = fingerprint([pixels], labels, names)
    changed = pixels.copy()
    changed[0, 0, 0, 0] = 1
    assert base == fingerprint([pixels.copy()], labels, names)
    assert len({
        base,
        fingerprint([changed], labels, names),
        fingerprint([pixels], labels[::-1], names),
        fingerprint([pixels], labels, ["a", "c"]),
        fingerprint([pixels.reshape(2, 4, 1, 1)], labels, names),
    }) == 5  # fmt: skip
    assert len(base) == 64


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digit", "did you mean 'digits'"),
        ("imagenet", "expected one of 'digits', 'directions:.*', 'synthetic:"),
        ("direction", "did you mean 'directions'"),
        ("directions:classes=3", "directions: unknown setting 'classes'; expected examples, seed"),
        ("directions:examples=3", "examples: expected a whole number from 4, received '3'"),
        ("directions:examples=99999999", "examples: expected 10000000 or fewer"),
        ("directions:seed=9223372036854775808", r"seed: expected a number below 2\*\*63"),
        ("digits:size=3", "takes no settings"),
        ("synthetic:class=3", "unknown setting 'class' .did you mean 'classes'"),
        ("synthetic:classes=1", "classes: expected a whole number from 2, received '1'"),
        ("synthetic:size=big", "size: expected a whole number from 8, received 'big'"),
        ("synthetic:seed=-1", "seed: expected a whole number from 0"),
        ("synthetic:seed=1,seed=2", "given twice"),
        ("synthetic:channels=2", "expected 1 or 3"),
        ("synthetic:classes=20,examples=10", "cannot fill 20 classes"),
        ("synthetic:size=4096,examples=1000", "use fewer examples"),
    ],
)
def test_bad_specs_are_refused_in_one_line(spec: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        open_source(spec)
    assert "\n" not in str(caught.value)


def test_bad_settings_and_bare_directories(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"'folder:{tmp_path}'"):
        open_source(str(tmp_path))
    with pytest.raises(SourceError, match="on_corrupt"):
        open_source("digits", on_corrupt="ignore")  # type: ignore[arg-type]  # that is the test
    with pytest.raises(SourceError, match=r"data\.channels"):
        open_source("digits", channels=2)
    with pytest.raises(SourceError, match="channels=1 in the spec"):
        open_source("synthetic:channels=1", channels=3)
