from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipelines.augment import draws
from pipelines.augment.colour import pca_jitter
from pipelines.augment.crops import Window, pad_and_crop, random_resized_crop, scale_and_crop
from pipelines.augment.draws import Drawn, Op
from pipelines.augment.geometry import horizontal_flip, vertical_flip
from pipelines.resize import resize_centre, resize_window

AXES = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
SPREAD = np.array([0.2, 0.05, 0.01])


def key(i: int, seed: int = 1) -> tf.Tensor:
    return tf.constant([seed, i], tf.int64)


def picture(height: int = 10, width: int = 12, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, channels)).astype(np.uint8)


def many(op: Op, image: np.ndarray, n: int) -> np.ndarray:
    """op at keys 0..n-1, in one graph."""
    keys = tf.stack([tf.ones(n, tf.int64), tf.range(n, dtype=tf.int64)], axis=1)
    constant = tf.constant(image)

    @tf.function(autograph=False)
    def run() -> tf.Tensor:
        return tf.map_fn(lambda k: op(constant, k), keys, fn_output_signature=tf.float32)

    return run().numpy()


def resized(size: tuple[int, int], window: Window) -> Op:
    """The window cut out and resized, as the loader does it."""

    def op(image: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        y, x, h, w = tf.unstack(window(tf.shape(image)[:2], key))
        part = tf.slice(image, tf.stack([y, x, 0]), tf.stack([h, w, image.shape[-1]]))
        return resize_window(size)(part)

    return op


def drawn_by(made: tuple[Drawn, Op]) -> Op:
    """The op of an augmentation whose draws are made apart."""
    drawn, op = made
    return lambda image, key: op(image, drawn(key))


def windows(window: Window, shape: tuple[int, int], n: int) -> np.ndarray:
    keys = tf.stack([tf.ones(n, tf.int64), tf.range(n, dtype=tf.int64)], axis=1)

    @tf.function(autograph=False)
    def run() -> tf.Tensor:
        return tf.map_fn(
            lambda k: window(tf.constant(shape), k), keys, fn_output_signature=tf.int32
        )

    return run().numpy()


OPS = {
    "pad_and_crop": pad_and_crop((8, 8), [1.0, 2.0, 3.0], padding=2),
    "random_resized_crop": resized((8, 8), random_resized_crop()),
    "scale_and_crop": resized((8, 8), scale_and_crop((8, 8), (9, 14))),
    "horizontal_flip": drawn_by(horizontal_flip()),
    "vertical_flip": drawn_by(vertical_flip()),
    "pca_jitter": drawn_by(pca_jitter(SPREAD, AXES)),
}


@pytest.mark.parametrize("name", OPS)
def test_same_key_same_image_eagerly_and_in_a_graph(name: str) -> None:
    op, image = OPS[name], tf.constant(picture())
    graph = tf.function(op, autograph=False)
    unknown = tf.function(
        op,
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, None, 3], tf.uint8),
            tf.TensorSpec([2], tf.int64),
        ],
    )
    results = [op(image, key(i)).numpy() for i in range(12)]
    for i, result in enumerate(results):
        assert np.array_equal(result, op(image, key(i)).numpy())
        np.testing.assert_allclose(result, graph(image, key(i)), atol=1e-4)
        np.testing.assert_allclose(result, unknown(image, key(i)), atol=1e-4)
    assert len({result.tobytes() for result in results}) > 1
    other = [op(image, key(i, seed=2)).numpy() for i in range(12)]
    assert any(not np.array_equal(a, b) for a, b in zip(results, other, strict=True))


@pytest.mark.parametrize("shape", [[], [7], [3, 5]])
def test_draws_are_those_of_tensorflow(shape: list[int]) -> None:
    theirs = tf.random.stateless_uniform(shape, key(3), alg="philox")
    assert np.array_equal(draws.uniform(shape, key(3)), theirs)
    theirs = tf.random.stateless_normal(shape, key(3), alg="philox")
    np.testing.assert_allclose(draws.normal(shape, key(3)), theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [[], [3], [22]])
def test_draws_of_many_keys_are_those_of_each(shape: list[int]) -> None:
    keys = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, (19, 2))
    for drawn in (draws.uniform, draws.normal):
        each = [drawn(shape, tf.constant(one)).numpy() for one in keys]
        for count in (1, 16, 19):  # also where the numbers do not fill the processor's vectors
            assert np.array_equal(drawn(shape, tf.constant(keys[:count])), each[:count])


@pytest.mark.parametrize("window", [scale_and_crop((32, 32), (32, 64)), random_resized_crop()])
def test_windows_of_many_images_are_those_of_each(window: Window) -> None:
    shapes = np.random.default_rng(2).integers(1, 400, (60, 2)).astype(np.int32)
    shapes[:20, 1] = 3000  # nothing fits: the fallback
    keys = np.stack([key(i) for i in range(60)])
    each = [
        window(tf.constant(s), tf.constant(k)).numpy() for s, k in zip(shapes, keys, strict=True)
    ]
    assert np.array_equal(window(tf.constant(shapes), tf.constant(keys)), each)


def test_colour_offsets_of_many_images_are_those_of_each() -> None:
    drawn, _ = pca_jitter(SPREAD, AXES)
    keys = np.stack([key(i) for i in range(21)])
    each = [drawn(tf.constant(k)).numpy() for k in keys]
    assert np.array_equal(drawn(tf.constant(keys)), each)


def test_pad_and_crop_gives_every_window_of_the_padded_image() -> None:
    image, fill = picture(6, 6), np.array([10.25, 20.5, 30.125])
    padded = np.broadcast_to(fill, (10, 10, 3)).astype(np.float32).copy()
    padded[2:8, 2:8] = image
    expected = {padded[y : y + 6, x : x + 6].tobytes(): (y, x) for y in range(5) for x in range(5)}
    results = many(pad_and_crop((6, 6), fill, padding=2), image, 2000)
    counts = dict.fromkeys(expected.values(), 0)
    for result in results:
        counts[expected[result.tobytes()]] += 1  # a KeyError here is a window that cannot be
    # 25 places, 80 each: six standard deviations of a binomial count.
    assert max(abs(count - 80) for count in counts.values()) < 6 * math.sqrt(80)


def test_padding_is_zero_after_the_mean_is_subtracted() -> None:
    mean = np.array([123.456, 78.9, 0.1])
    result = many(pad_and_crop((4, 4), mean), np.full((4, 4, 3), 255, np.uint8), 200)
    centred = result - mean.astype(np.float32)
    inside = centred == 255 - mean.astype(np.float32)
    assert np.all(inside | (centred == 0))
    assert (centred == 0).any()


def test_inception_windows_lie_inside_and_cover_everything() -> None:
    shape, n = (60, 90), 4000
    drawn = windows(random_resized_crop(), shape, n)
    y, x, h, w = drawn.T
    assert min(y.min(), x.min()) == 0
    assert (y + h).max() == 60
    assert (x + w).max() == 90
    assert min(h.min(), w.min()) >= 1
    area = h * w / (60 * 90)
    assert 0.07 < area.min() < 0.12
    assert area.max() > 0.8
    aspect = np.log(w / h)
    assert np.abs(aspect).max() < math.log(4 / 3) + 0.1


def test_the_ratio_of_inception_windows_is_width_over_height() -> None:
    drawn = windows(random_resized_crop((0.1, 0.3), (2.0, 2.0)), (60, 90), 200)
    _, _, h, w = drawn.T
    assert np.abs(w / h - 2.0).max() < 0.1


def reference_inception(
    shape: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    tall, wide = shape
    for _ in range(10):
        area = tall * wide * rng.uniform(0.08, 1.0)
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= wide and 0 < h <= tall:
            return int(rng.integers(tall - h + 1)), int(rng.integers(wide - w + 1)), h, w
    raise AssertionError("unlikely for this shape")


def test_inception_windows_are_distributed_as_the_reference_sampler_says() -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(0)
    drawn = windows(random_resized_crop(), (80, 80), 3000)
    wanted = np.array([reference_inception((80, 80), rng) for _ in range(3000)])
    for column in range(4):
        assert ks_2samp(drawn[:, column], wanted[:, column]).pvalue > 1e-4


def test_inception_falls_back_to_the_centre() -> None:
    drawn = windows(random_resized_crop(scale=(0.9, 1.0)), (10, 400), 50)
    assert np.all(drawn == [0, (400 - 13) // 2, 10, 13])


def test_random_resized_crop_of_the_whole_image_is_a_resize() -> None:
    image = picture(9, 9)
    op = resized((14, 14), random_resized_crop(scale=(1.0, 1.0), ratio=(1.0, 1.0)))
    expected = tf.image.resize(image, (14, 14), antialias=False)
    np.testing.assert_allclose(op(tf.constant(image), key(1)), expected, atol=1e-3)


def test_far_shrinking_is_antialiased() -> None:
    image = np.zeros((64, 64, 1), np.uint8)
    image[:, ::4] = 255  # a quarter of the columns
    op = resized((8, 8), random_resized_crop(scale=(1.0, 1.0), ratio=(1.0, 1.0)))
    assert np.abs(op(tf.constant(image), key(1)).numpy() - 255 / 4).max() < 10
    for wide in (image[:8], image.transpose(1, 0, 2)[:, :8]):  # and shrunk along one axis alone
        assert np.abs(resize_window((8, 8))(wide).numpy() - 255 / 4).max() < 10


def test_scale_windows_cover_scales_and_positions() -> None:
    drawn = windows(scale_and_crop((32, 32), (32, 64)), (100, 150), 3000)
    y, x, h, w = drawn.T
    assert np.array_equal(h, w)
    assert set(h) == {round(32 * 100 / side) for side in range(32, 65)}
    assert (y + h).max() <= 100
    assert (x + w).max() == 150
    assert (y.min(), x.min()) == (0, 0)
    # Each position is as likely: its mean is the middle of the free space.
    assert abs((x / (150 - w)).mean() - 0.5) < 0.03
    with pytest.raises(ValueError, match="low at least 32"):
        scale_and_crop((32, 32), (31, 64))


def test_scale_and_crop_at_scale_one_is_a_crop() -> None:
    image = picture(20, 30)
    crops = {image[y : y + 12, x : x + 12].tobytes() for y in range(9) for x in range(19)}
    for result in many(resized((12, 12), scale_and_crop((12, 12), (20, 20))), image, 50):
        assert result.astype(np.uint8).tobytes() in crops


@pytest.mark.parametrize("name", OPS)
def test_same_in_tf_data_on_several_threads(name: str) -> None:
    op, image = OPS[name], tf.constant(picture())
    data = tf.data.Dataset.range(12).map(
        lambda i: op(image, tf.stack([tf.constant(1, tf.int64), i])), num_parallel_calls=2
    )
    for i, result in enumerate(data):
        np.testing.assert_allclose(result, op(image, key(i)), atol=1e-4)


@pytest.mark.parametrize(
    ("flip", "mirror"),
    [
        (horizontal_flip, lambda image: image[:, ::-1]),
        (vertical_flip, lambda image: image[::-1]),
    ],
    ids=["horizontal", "vertical"],
)
def test_flip_frequency_and_pixels(flip: Any, mirror: Any) -> None:
    image = picture()
    op = drawn_by(flip(0.25))
    results = many(lambda im, k: tf.cast(op(im, k), tf.float32), image, 2000)
    flipped = np.array([np.array_equal(result, mirror(image)) for result in results])
    kept = np.array([np.array_equal(result, image) for result in results])
    assert np.all(flipped ^ kept)
    assert abs(flipped.mean() - 0.25) < 6 * math.sqrt(0.25 * 0.75 / 2000)
    assert drawn_by(flip())(tf.constant(image), key(0)).dtype == tf.uint8
    for probability, expected in ((0.0, image), (1.0, mirror(image))):
        result = drawn_by(flip(probability))(tf.constant(image), key(3))
        assert np.array_equal(result, expected)


def test_pca_jitter_adds_the_formula_of_the_paper() -> None:
    image = picture()
    for i in range(5):
        alpha = tf.random.stateless_normal([3], key(i), alg="philox").numpy() * 0.1
        offset = 255.0 * AXES @ (alpha * SPREAD)
        result = drawn_by(pca_jitter(SPREAD, AXES))(tf.constant(image), key(i)).numpy()
        assert result.dtype == np.float32
        np.testing.assert_allclose(result - image, np.broadcast_to(offset, image.shape), atol=1e-4)


def test_pca_jitter_has_the_covariance_of_the_paper() -> None:
    n = 8000
    results = many(drawn_by(pca_jitter(SPREAD, AXES)), np.zeros((1, 1, 3), np.uint8), n)
    offsets = results.reshape(n, 3)
    expected = AXES @ np.diag((0.1 * SPREAD) ** 2) @ AXES.T * 255.0**2
    scale = (0.1 * SPREAD[0] * 255.0) ** 2
    assert np.abs(np.cov(offsets, rowvar=False) - expected).max() < 6 * scale * math.sqrt(2 / n)
    along = (offsets @ AXES).std(axis=0)
    np.testing.assert_allclose(along, 0.1 * SPREAD * 255.0, rtol=0.05)


def test_pca_jitter_needs_colour() -> None:
    with pytest.raises(ValueError, match=r"expected RGB.*remove pca_jitter.*data\.channels"):
        pca_jitter([0.2], [[1.0]])


@pytest.mark.parametrize(
    ("shape", "size", "fraction"),
    [
        ((40, 60), (16, 16), 1.0),
        ((60, 40), (16, 16), 0.875),
        ((33, 47), (24, 20), 0.8),
        ((8, 8), (32, 32), 1.0),
        ((16, 16), (16, 16), 0.5),
    ],
)
def test_resize_centre_equals_resize_then_crop(
    shape: tuple[int, int], size: tuple[int, int], fraction: float
) -> None:
    image = picture(*shape)
    sides = [math.floor(side / fraction) for side in size]
    factor = max(sides[0] / shape[0], sides[1] / shape[1])
    scaled = [int(side * factor) if size[0] == size[1] else round(side * factor) for side in shape]
    whole = tf.image.resize(image, scaled, antialias=True).numpy()
    y, x = (round((made - wanted) / 2) for made, wanted in zip(scaled, size, strict=True))
    expected = whole[y : y + size[0], x : x + size[1]]
    view = resize_centre(size, fraction)
    np.testing.assert_allclose(view(tf.constant(image)), expected, atol=2e-2)
    batch = view(tf.constant(np.stack([image, image[::-1]])))
    assert np.array_equal(batch[0], view(tf.constant(image)))
    assert batch.shape == (2, *size, 3)


def test_resize_centre_is_exact_at_the_right_size() -> None:
    image = picture(16, 16)
    view = resize_centre((16, 16))
    assert np.array_equal(view(tf.constant(image)), image)
    unknown = tf.function(
        view, autograph=False, input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)]
    )
    assert np.array_equal(unknown(tf.constant(image)), image)
    assert view(tf.constant(image)).dtype == tf.float32
    with pytest.raises(ValueError, match="crop_fraction"):
        resize_centre((16, 16), 0.0)
