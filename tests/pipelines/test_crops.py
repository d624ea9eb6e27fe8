from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines import build, views
from pipelines.resize import resize_centre, resized_sides
from pipelines.sources.array_source import ArraySource
from pipelines.sources.base import Source
from pipelines.sources.open import open_source


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.float32)
    image = tf.image.resize(small, (height, width), "bicubic")
    return np.clip(image.numpy(), 0, 255).astype(np.uint8)


def photographs(folder: Path, shapes: list[tuple[int, int]]) -> Source:
    for name in ("a", "b"):
        (folder / name).mkdir()
        for i, shape in enumerate(shapes):
            encoded = tf.io.encode_jpeg(
                smooth(*shape, seed=i), quality=95, chroma_downsampling=True
            )
            (folder / name / f"{i}.jpg").write_bytes(encoded.numpy())
    return open_source(f"folder:{folder}", memory_limit_bytes=0)


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Antialiased bilinear in NumPy float64: a triangle of the shrinking factor's half width."""

    def weights(stored: int, made: int) -> np.ndarray:
        factor = stored / made
        at = (np.arange(made) + 0.5) * factor - 0.5
        away = np.abs(np.arange(stored)[None] - at[:, None]) / max(factor, 1.0)
        kernel = np.maximum(0.0, 1.0 - away)
        return kernel / kernel.sum(axis=1, keepdims=True)

    rows, columns = weights(image.shape[0], height), weights(image.shape[1], width)
    return np.einsum("yh,hwc,xw->yxc", rows, image.astype(np.float64), columns, optimize=True)


def published_sides(height: int, width: int, short: int) -> tuple[int, int]:
    """As torchvision's Resize(short) has them."""
    long = int(short * max(height, width) / min(height, width))
    return (long, short) if width < height else (short, long)


SHAPES = [(75, 100), (100, 75), (90, 91), (200, 60), (300, 400), (31, 47), (512, 33)]


@pytest.mark.parametrize("fraction", [0.875, 1.0, 0.8])
def test_evaluation_from_files_is_exact_though_only_a_window_is_decoded(
    tmp_path: Path, fraction: float
) -> None:
    source = photographs(tmp_path, SHAPES)
    data = build.evaluation_dataset(
        source, range(7), size=(32, 32), batch_size=3, crop_fraction=fraction
    )
    images = np.concatenate([x.numpy() for x, _ in data])
    for image, index in zip(images, range(7), strict=True):
        stored = source.images(tf.constant(index, tf.int64))
        whole = resize_centre((32, 32), fraction)(stored)
        assert np.abs(image - whole).max() < 0.01
        # The published protocol in NumPy: short side to 32 / fraction, then the central window.
        tall, wide = published_sides(*stored.shape[:2], math.floor(32 / fraction))
        y, x = round((tall - 32) / 2), round((wide - 32) / 2)
        plain = resized(stored.numpy(), tall, wide)[y : y + 32, x : x + 32]
        assert np.abs(image - plain).max() < 0.01


PHOTOGRAPHS = [
    (375, 500), (500, 375), (333, 500), (427, 640), (640, 427), (768, 1025), (1025, 768),
    (300, 301), (400, 400), (257, 255), (256, 341), (224, 224), (100, 130), (31, 47), (33, 512),
    (512, 33), (736, 883), (817, 624), (455, 700), (5, 1200), (1, 7),
]  # fmt: skip


@pytest.mark.parametrize(("side", "fraction", "short"), [(224, 0.875, 256), (299, 0.875, 341)])
def test_the_view_is_pillows_of_the_published_protocol(
    side: int, fraction: float, short: int
) -> None:
    """To the row and the column; Pillow rounds to whole grey levels after each of its passes."""
    view = resize_centre((side, side), fraction)
    for number, (height, width) in enumerate(PHOTOGRAPHS):
        rng = np.random.default_rng(number)
        grain = rng.integers(-20, 21, (height, width, 3))
        stored = np.clip(smooth(height, width, number) + grain, 0, 255).astype(np.uint8)
        tall, wide = published_sides(height, width, short)
        y, x = round((tall - side) / 2), round((wide - side) / 2)
        scaled = Image.fromarray(stored).resize((wide, tall), Image.Resampling.BILINEAR)
        truth = np.asarray(scaled)[y : y + side, x : x + side].astype(np.float32)
        shape = tf.constant([height, width])
        window = views.CentreWindow((side, side), fraction)
        top, left, h, w = window(shape).numpy()
        part = window.finish(tf.constant(stored[top : top + h, left : left + w]), shape).numpy()
        whole = view(tf.constant(stored)).numpy()
        for made in (whole, part):
            assert np.abs(made - truth).max() <= 1.02, (height, width)
            assert np.abs(made - truth).mean() < 0.35, (height, width)
        if (tall, wide) == (height, width):
            assert np.array_equal(whole, truth)


def test_sides_that_are_not_whole_are_floored_and_exact_fractions_are_not() -> None:
    assert resized_sides((224, 224), 0.875) == (256, 256)
    assert resized_sides((299, 299), 0.875) == (341, 341)
    assert resized_sides((224, 192), 0.9) == (248, 213)
    for short in range(224, 640):
        assert resized_sides((224, 224), 224 / short) == (short, short)


@pytest.mark.parametrize("shape", [(75, 100), (100, 75), (91, 97), (300, 41)])
def test_a_view_that_is_not_square_is_as_timm_makes_it(shape: tuple[int, int]) -> None:
    ratio = min(shape[0] / 36, shape[1] / 25)
    tall, wide = (round(side / ratio) for side in shape)
    y, x = round((tall - 32) / 2), round((wide - 22) / 2)
    image = smooth(*shape)
    plain = resized(image, tall, wide)[y : y + 32, x : x + 22]
    np.testing.assert_allclose(resize_centre((32, 22), 0.88)(tf.constant(image)), plain, atol=0.01)


def test_the_window_is_a_small_part_of_a_long_image() -> None:
    y, x, height, width = views.CentreWindow((32, 32), 0.875)(tf.constant([400, 3200])).numpy()
    assert (height, width) < (400, 600)
    assert y > 0
    assert x > 1200


def reference_five(image: np.ndarray, size: int) -> list[np.ndarray]:
    h, w = image.shape[0] - size, image.shape[1] - size
    corners = [(0, 0), (0, w), (h, 0), (h, w), (round(h / 2), round(w / 2))]
    return [image[y : y + size, x : x + size] for y, x in corners]


def reference_ten(image: np.ndarray, size: int, side: int) -> list[np.ndarray]:
    scaled = resized(image, *published_sides(*image.shape[:2], side))
    five = reference_five(scaled, size)
    return five + [crop[:, ::-1] for crop in five]


def made(protocol: views.Protocol, image: np.ndarray) -> list[np.ndarray]:
    return [group.numpy() for group in protocol.views(tf.constant(image))]


@pytest.mark.parametrize("shape", [(60, 80), (80, 60), (64, 64), (61, 80), (75, 91)])
def test_ten_crops_are_where_the_papers_have_them(shape: tuple[int, int]) -> None:
    image = smooth(*shape)
    (ten,) = made(views.ten_crop((28, 28)), image)  # 256 / 224 of 28 is 32
    np.testing.assert_allclose(ten, reference_ten(image, 28, 32), atol=0.01)


def test_alexnets_ten_crops_are_of_the_central_square() -> None:
    image = smooth(60, 90)
    (ten,) = made(views.alexnet((28, 28)), image)
    square = resized(image, 32, 48)[:, 8:40]
    five = reference_five(square, 28)
    np.testing.assert_allclose(ten, five + [crop[:, ::-1] for crop in five], atol=0.01)


@pytest.mark.parametrize("upright", [False, True])
def test_googlenets_144_crops(upright: bool) -> None:
    image = smooth(60, 90)
    if upright:
        image = image.transpose(1, 0, 2)
    (found,) = made(views.googlenet((28, 28)), image)
    expected = []
    for side in (32, 36, 40, 44):  # of 28 what 256, 288, 320 and 352 are of 224
        long = round(side * 1.5)
        scaled = resized(image, *((long, side) if upright else (side, long)))
        for at in (0, round((long - side) / 2), long - side):
            cut = slice(at, at + side)
            square = scaled[cut] if upright else scaled[:, cut]
            six = [*reference_five(square, 28), resized(square, 28, 28)]
            expected += six + [crop[:, ::-1] for crop in six]
    assert found.shape == (144, 28, 28, 3)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_multi_scale_is_ten_crops_at_each_scale() -> None:
    image = smooth(60, 90)
    (found,) = made(views.multi_scale((28, 28)), image)
    sides = (28, 32, 48, 60, 80)
    expected = [crop for side in sides for crop in reference_ten(image, 28, side)]
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_dense_is_the_whole_image_and_its_mirror_at_each_scale() -> None:
    image = smooth(60, 90)
    groups = made(views.dense((28, 28), sides=(224, 384)), image)
    assert [group.shape for group in groups] == [(2, 28, 42, 3), (2, 48, 72, 3)]
    for group, (height, width) in zip(groups, [(28, 42), (48, 72)], strict=True):
        whole = resized(image, height, width)
        np.testing.assert_allclose(group, [whole, whole[:, ::-1]], atol=0.01)


PROTOCOLS = (
    views.centre, views.ten_crop, views.alexnet, views.googlenet, views.multi_scale, views.dense
)  # fmt: skip


@pytest.mark.parametrize("make", PROTOCOLS)
def test_crops_and_cost_are_known_before_running(make: Callable[..., views.Protocol]) -> None:
    protocol = make((28, 28))
    groups = made(protocol, smooth(60, 60))
    assert sum(len(group) for group in groups) == protocol.crops
    pixels = sum(group.shape[0] * group.shape[1] * group.shape[2] for group in groups)
    assert protocol.cost == pytest.approx(pixels / 28**2)


def test_costs_of_the_papers() -> None:
    protocols = [make((224, 224)) for make in PROTOCOLS]
    assert {protocol.name: round(protocol.cost, 2) for protocol in protocols} == {
        "centre": 1,
        "ten_crop": 10,
        "alexnet": 10,
        "googlenet": 144,
        "multi_scale": 50,
        "dense": round(2 * sum(s * s for s in (224, 256, 384, 480, 640)) / 224**2, 2),
    }


def test_every_image_comes_once_in_order() -> None:
    pixels = np.arange(23, dtype=np.uint8)[:, None, None, None] * np.ones((1, 12, 12, 3), np.uint8)
    labels = np.arange(23) % 4
    source = ArraySource(pixels, labels, list("abcd"))
    protocol = views.ten_crop((8, 8))
    seen: list[int] = []
    for index, (ten,), label in views.crop_dataset(source, range(22, -1, -1), protocol):
        assert ten.shape == (10, 8, 8, 3)
        assert np.all(np.abs(ten.numpy() - int(index)) < 0.01)
        assert int(label) == int(index) % 4
        seen.append(int(index))
    assert seen == list(range(22, -1, -1))


def test_bad_requests_are_refused() -> None:
    source = open_source("digits")
    with pytest.raises(ValueError, match="of which 1 differ"):
        views.crop_dataset(source, [3, 3], views.centre((8, 8)))
