from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from in_batches import numbered

from pipelines import build, statistics
from pipelines.augment import mixing, ops
from pipelines.augment.recipes import Recipe
from pipelines.sources.array_source import ArraySource
from pipelines.sources.base import Source

RNG = np.random.default_rng(2)
IMAGES = RNG.uniform(0, 255, (6, 8, 10, 3)).astype(np.float32)
LABELS = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1]]
KEYS = [[7, i << 8] for i in range(12)]


def key(words: list[int]) -> tf.Tensor:
    return tf.constant(words, tf.int64)


def partners(words: list[int], n: int = 6) -> np.ndarray:
    """Drawn as the op draws them."""
    seed = [words[0] ^ mixing.PARTNERS, words[1]]
    u = tf.random.stateless_uniform([n], key(seed), alg="philox").numpy()
    return np.argsort(u, kind="stable")


def over_keys(draw: Any, n: int) -> np.ndarray:
    keys = np.stack([np.ones(n, np.int64), np.arange(n)], axis=1)
    return np.stack([x.numpy() for x in tf.data.Dataset.from_tensor_slices(keys).map(draw)])


def share_of(labels: np.ndarray, partner: np.ndarray) -> float:
    """The share that an image kept of its label, read off a pair of two classes."""
    row = next(i for i in range(6) if LABELS[i].argmax() != LABELS[partner[i]].argmax())
    return float(labels[row, LABELS[row].argmax()])


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_mixup_is_the_formula_of_the_paper(dtype: Any) -> None:
    images = IMAGES.astype(dtype)
    shares = []
    for words in KEYS:
        mixed, labels = mixing.mixup(1.0)(tf.constant(images), tf.constant(LABELS), key(words))
        assert mixed.dtype == dtype
        partner = partners(words)
        share = share_of(labels.numpy(), partner)
        wanted = share * images + (1 - share) * images[partner].astype(np.float64)
        np.testing.assert_allclose(mixed, wanted, atol=0.51 if dtype == np.uint8 else 1e-3)
        np.testing.assert_allclose(
            labels, share * LABELS + (1 - share) * LABELS[partner], atol=1e-6
        )
        shares.append(share)
    assert np.std(shares) > 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_cutmix_pastes_one_box_and_weighs_labels_by_its_area(dtype: Any) -> None:
    images = IMAGES.astype(dtype)
    sizes = set()
    for words in KEYS:
        mixed, labels = mixing.cutmix(1.0)(tf.constant(images), tf.constant(LABELS), key(words))
        mixed = mixed.numpy()
        assert mixed.dtype == dtype
        partner = partners(words)
        moved = [i for i in range(6) if partner[i] != i]
        pasted = (mixed[moved] == images[partner[moved]]).all(axis=(0, 3))
        kept = (mixed == images).all(axis=(0, 3))
        assert np.array_equal(pasted, ~kept)
        rows, columns = pasted.any(axis=1), pasted.any(axis=0)
        assert np.array_equal(pasted, rows[:, None] & columns[None, :])
        assert all(np.abs(np.diff(np.flatnonzero(side))).max(initial=1) == 1
                   for side in (rows, columns))  # fmt: skip
        share = 1 - pasted.mean()
        np.testing.assert_allclose(
            labels, share * LABELS + (1 - share) * LABELS[partner], atol=1e-6
        )
        sizes.add((rows.sum(), columns.sum()))
    assert len(sizes) > 4


def test_boxes_are_those_of_the_authors_code() -> None:
    """rand_bbox: sides int(side * sqrt(1 - share)), halved, about any pixel, clipped."""
    for words in KEYS:
        _, u, v = tf.random.stateless_uniform([3], key(words), alg="philox").numpy()
        cut = math.sqrt(1 - float(mixing._share(1.0, key(words))))
        area = 1
        for side, at in ((8, int(u * 8)), (10, int(v * 10))):
            half = int(side * cut) // 2
            area *= min(at + half, side) - max(at - half, 0)
        _, labels = mixing.cutmix(1.0)(tf.constant(IMAGES), tf.constant(LABELS), key(words))
        assert share_of(labels.numpy(), partners(words)) == pytest.approx(1 - area / 80, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_beta_distributed(alpha: float) -> None:
    from scipy.stats import kstest

    shares = over_keys(lambda k: mixing._share(alpha, k), 2000)
    assert kstest(shares, "beta", args=(alpha, alpha)).pvalue > 1e-4
    # Nor do they follow the partners: the draws of an op are apart.
    first = [partners([1, i])[0] for i in range(300)]
    assert abs(np.corrcoef(shares[:300], first)[0, 1]) < 6 / math.sqrt(300)


def test_a_tiny_alpha_leaves_the_batch() -> None:
    for words in KEYS:
        mixed, labels = mixing.mixup(1e-6)(tf.constant(IMAGES), tf.constant(LABELS), key(words))
        kept = np.array_equal(mixed, IMAGES) and np.array_equal(labels, LABELS)
        partner = partners(words)
        assert kept or np.array_equal(mixed, IMAGES[partner])


@pytest.mark.parametrize("make", [mixing.mixup, mixing.cutmix])
def test_probability_and_single_images(make: Any) -> None:
    op = make(1.0, probability=0.4)
    soft = over_keys(lambda k: op(tf.constant(IMAGES), tf.constant(LABELS), k)[1], 800)
    np.testing.assert_allclose(soft.sum(axis=-1), 1.0, atol=1e-5)
    changed = np.mean([not np.array_equal(labels, LABELS) for labels in soft])
    # A box of no area leaves the batch as well: one in about 20 of these small images.
    assert 0.4 - 0.13 < changed < 0.4 + 0.07
    alone, labels = make(1.0)(tf.constant(IMAGES[:1]), tf.constant(LABELS[:1]), key([1, 1]))
    np.testing.assert_allclose(alone, IMAGES[:1], atol=1e-3)
    np.testing.assert_allclose(labels, LABELS[:1], atol=1e-6)


@pytest.mark.parametrize("make", [mixing.mixup, mixing.cutmix])
def test_in_tf_data_as_eagerly(make: Any) -> None:
    op = make(1.0)
    unknown = [tf.TensorSpec([None, 8, 10, 3], tf.float32), tf.TensorSpec([None, 4], tf.float32)]
    graph = tf.function(
        op, autograph=False, input_signature=[*unknown, tf.TensorSpec([2], tf.int64)]
    )
    data = tf.data.Dataset.from_tensor_slices(np.array(KEYS, np.int64)).map(
        lambda k: graph(tf.constant(IMAGES), tf.constant(LABELS), k), num_parallel_calls=2
    )
    for words, (images, labels) in zip(KEYS, data, strict=True):
        eager = op(tf.constant(IMAGES), tf.constant(LABELS), key(words))
        np.testing.assert_allclose(images, eager[0], atol=1e-4)
        np.testing.assert_allclose(labels, eager[1], atol=1e-6)


class Reading(Source):
    """The same images one by one, as from files."""

    fingerprint = "none"

    def __init__(self, held: ArraySource):
        self.labels, self.class_names = held.labels, held.class_names
        self.image_shape = held.image_shape

    def images(self, index: tf.Tensor, window: object = None) -> tf.Tensor:
        return tf.cast(tf.fill([8, 8, 3], index), tf.uint8)


def train(
    steps: Any, source: Source | None = None, **changes: Any
) -> list[tuple[np.ndarray, np.ndarray]]:
    source = source or numbered()
    settings = {"batch_size": 10, "epochs": 2} | changes
    colours = statistics.fit(source, [0, 1]).colours
    recipe = Recipe((8, 8), steps, colours, seed=settings.pop("seed", 0))
    data = build.training_dataset(source, np.arange(37), recipe, **settings)
    return [(images.numpy(), labels.numpy()) for images, labels in data]


@pytest.mark.parametrize("steps", [
    ({"op": "mixup", "alpha": 1.0},),
    ({"op": "horizontal_flip"}, {"op": "cutmix"}),
    ({"op": "mixup"}, {"op": "cutmix", "probability": 0.5}),
])  # fmt: skip
def test_a_recipe_gives_soft_labels_that_repeat(steps: Any) -> None:
    batches = train(steps)
    assert [images.shape for images, _ in batches] == [(10, 8, 8, 3)] * 3 + [(7, 8, 8, 3)] + [
        (10, 8, 8, 3)
    ] * 3 + [(7, 8, 8, 3)]
    for _, labels in batches:
        assert labels.dtype == np.float32
        np.testing.assert_allclose(labels.sum(axis=1), 1.0, atol=1e-5)
    assert any((labels.max(axis=1) < 0.99).any() for _, labels in batches)
    for again in (train(steps), train(steps, epochs=1, first_epoch=1)):
        for (x, y), (a, b) in zip(batches[-len(again) :], again, strict=True):
            assert np.array_equal(x, a)
            assert np.array_equal(y, b)
    assert not all(
        np.array_equal(y, b) for (_, y), (_, b) in zip(batches, train(steps, seed=1), strict=True)
    )


def test_labels_follow_the_pixels_through_a_recipe() -> None:
    """Images are filled with their number, so a mixed one tells its parts, and these the label."""
    seen = 0
    for images, labels in train(({"op": "cutmix"},)):
        for image, label in zip(images, labels, strict=True):
            numbers, counts = np.unique(image[..., 0].astype(int), return_counts=True)
            wanted = np.bincount(numbers % 5, weights=counts / 64, minlength=5)
            np.testing.assert_allclose(label, wanted, atol=1e-6)
            seen += len(numbers) == 2
    assert seen > 20


def test_images_read_one_by_one_are_mixed_as_those_in_memory() -> None:
    steps = ({"op": "horizontal_flip"}, {"op": "cutmix"})
    for (x, y), (a, b) in zip(train(steps), train(steps, Reading(numbered())), strict=True):
        assert np.array_equal(x, a)
        assert np.array_equal(y, b)


def test_without_batch_steps_labels_stay_whole_numbers() -> None:
    assert ops.mixer(({"op": "horizontal_flip", "probability": 0.5},), 5) is None
    assert train(({"op": "horizontal_flip"},))[0][1].dtype == np.int64
