"""Windows and crops of images of any size: inside the image, of the size asked for, all counted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import views
from pipelines.augment import crops, geometry
from pipelines.files.decode import decode, decode_window
from pipelines.resize import resize_centre

SIDES = st.one_of(st.integers(1, 40), st.integers(1, 5000), st.sampled_from([1, 2, 3, 4999]))
SMALL = st.integers(1, 60)
KEYS = st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**63 - 1))
DRAWS = 32  # windows of each example, in one call

Window = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def many(window: Window) -> Callable[[tuple[int, int], tuple[int, int]], np.ndarray]:
    """[DRAWS, 4] windows of one shape, from keys that follow a first one; traced once."""
    shape = tf.TensorSpec([2], tf.int32)

    @tf.function(input_signature=[shape, tf.TensorSpec([DRAWS, 2], tf.int64)], autograph=False)
    def call(shape: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(lambda key: window(shape, key), keys, fn_output_signature=tf.int32)

    def drawn(shape: tuple[int, int], key: tuple[int, int]) -> np.ndarray:
        keys = [(key[0], (key[1] + i) % 2**63) for i in range(DRAWS)]
        return np.asarray(call(np.int32(shape), np.int64(keys)))

    return drawn


WINDOWS = {
    "inception": many(crops.random_resized_crop()),
    "thin": many(crops.random_resized_crop((0.0001, 0.01), (0.1, 10.0))),
    "whole": many(crops.random_resized_crop((1.0, 1.0), (1.0, 1.0))),
    "scale": many(crops.scale_and_crop((24, 24))),
    "upright": many(crops.scale_and_crop((40, 16), (40, 41))),
}


@given(st.sampled_from(sorted(WINDOWS)), SIDES, SIDES, KEYS)
def test_a_window_lies_inside_the_image(
    name: str, height: int, width: int, key: tuple[int, int]
) -> None:
    found = WINDOWS[name]((height, width), key)
    y, x, h, w = found.T
    assert min(y.min(), x.min()) >= 0
    assert min(h.min(), w.min()) >= 1
    assert (y + h).max() <= height
    assert (x + w).max() <= width
    assert np.array_equal(WINDOWS[name]((height, width), key), found)


@given(SIDES, SIDES, KEYS)
def test_a_resized_crop_has_its_area_and_aspect(
    height: int, width: int, key: tuple[int, int]
) -> None:
    _, _, h, w = WINDOWS["inception"]((height, width), key).astype(float).T
    fits = (h - 0.5) * (w - 0.5) <= height * width
    assert fits.all()
    inside = 3 / 4 <= width / height <= 4 / 3
    if inside:  # sides are rounded to whole pixels
        assert ((h + 0.5) * (w + 0.5) >= 0.08 * height * width).all()
    wide, narrow = (w - 0.5) / (h + 0.5), (w + 0.5) / np.maximum(h - 0.5, 1e-9)
    if min(height, width) >= 2:
        assert (wide <= 4 / 3 + 1e-4).all()
        assert (narrow >= 3 / 4 - 1e-4).all()


@given(SIDES, SIDES, st.integers(1, 64), st.integers(1, 64), st.floats(0.1, 1.0))
def test_the_centre_window_lies_inside_and_is_central(
    height: int, width: int, tall: int, wide: int, fraction: float
) -> None:
    window = views.CentreWindow((tall, wide), fraction)
    y, x, h, w = np.asarray(window(tf.constant([height, width]))).tolist()
    assert y >= 0
    assert x >= 0
    assert 1 <= h <= height - y
    assert 1 <= w <= width - x
    # the resized image may have one pixel more on one side, of so many stored ones
    pixel = max(height / tall, width / wide) + 1
    assert abs(2 * y + h - height) <= pixel + 1
    assert abs(2 * x + w - width) <= pixel + 1


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    rows, columns = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    return ((rows * 7 + columns * 5 + np.arange(channels) * 40) % 256).astype(np.uint8)


@settings(max_examples=25)
@given(SMALL, SMALL, st.integers(1, 24), st.integers(1, 24), st.floats(0.3, 1.0))
def test_the_part_gives_what_the_whole_image_gives(
    height: int, width: int, tall: int, wide: int, fraction: float
) -> None:
    image = tf.constant(picture(height, width))
    whole = resize_centre((tall, wide), fraction)(image).numpy()
    window = views.CentreWindow((tall, wide), fraction)
    shape = tf.constant([height, width])
    y, x, h, w = window(shape).numpy().tolist()
    part = window.finish(image[y : y + h, x : x + w], shape).numpy()
    assert whole.shape == part.shape == (tall, wide, 3)
    assert np.abs(whole - part).max() < 0.02
    assert whole.min() >= -1e-3
    assert whole.max() <= 255 + 1e-3


PROTOCOLS = (
    views.alexnet, views.centre, views.dense, views.googlenet, views.multi_scale, views.ten_crop
)  # fmt: skip


@settings(max_examples=30)
@given(st.sampled_from(PROTOCOLS), SMALL, SMALL, st.integers(8, 24), st.booleans())
def test_a_protocol_has_as_many_crops_as_it_says(
    make: Callable[..., views.Protocol], height: int, width: int, side: int, oblong: bool
) -> None:
    size = (side, side - 3) if oblong else (side, side)
    protocol = make(size)
    image = picture(height, width)
    groups = [group.numpy() for group in protocol.views(tf.constant(image))]
    assert sum(len(group) for group in groups) == protocol.crops
    for group in groups:
        assert group.shape[3] == 3
        assert np.isfinite(group).all()
        assert group.min() >= -1e-2
        assert group.max() <= 255 + 1e-2
        if make is not views.dense:
            assert group.shape[1:3] == size
        else:
            assert min(group.shape[1:3]) >= min(size)
    if make is not views.dense:
        assert protocol.cost == protocol.crops


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 60))
def test_a_resized_image_keeps_its_proportions(height: int, width: int, side: int) -> None:
    image = tf.zeros([height, width, 1], tf.uint8)
    h, w = views.resize_short_side(image, side).shape[:2]
    assert min(h, w) == side
    long = int(side * max(height, width) / min(height, width))
    assert (h, w) == ((side, long) if height <= width else (long, side))


MOVES = {
    "translate": geometry.translate(0.9, "edge"),
    "rotate": geometry.rotate(180.0, (1.0, 2.0, 3.0)),
    "stretch": geometry.stretch((0.2, 5.0), "reflect"),
    "shear": geometry.shear(80.0, "reflect"),
    "lens_distortion": geometry.lens_distortion(0.3, "edge"),
    "right_angles": geometry.right_angles(),
}


@settings(max_examples=60)
@given(st.sampled_from(sorted(MOVES)), st.integers(1, 20), st.integers(1, 20), KEYS)
def test_moving_pixels_makes_no_new_ones(
    name: str, height: int, width: int, key: tuple[int, int]
) -> None:
    image = picture(height, height if name == "right_angles" else width)
    moved = MOVES[name](tf.constant(image), tf.constant(key, tf.int64)).numpy()
    assert moved.shape == image.shape
    assert np.isfinite(moved).all()
    assert moved.min() >= -1e-3
    assert moved.max() <= 255 + 1e-3


@settings(max_examples=30)
@given(SMALL, SMALL, st.sampled_from(["jpeg", "png"]), st.sampled_from([1, 3]), st.data())
def test_any_window_of_a_file_is_that_part_of_the_whole(
    height: int, width: int, kind: str, channels: int, data: st.DataObject
) -> None:
    image = tf.constant(picture(height, width, channels))
    contents = tf.io.encode_jpeg(image) if kind == "jpeg" else tf.io.encode_png(image)
    h, w = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    y, x = data.draw(st.integers(0, height - h)), data.draw(st.integers(0, width - w))
    whole = decode(contents, channels).numpy()
    part = decode_window(contents, channels, lambda _: tf.constant([y, x, h, w])).numpy()
    assert np.array_equal(part, whole[y : y + h, x : x + w])
