from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from pipelines.augment import geometry
from pipelines.augment.draws import Op

PICTURE = np.random.default_rng(1).integers(0, 256, (9, 12, 3)).astype(np.uint8)
COLOUR = (10.0, 100.5, 200.25)
FILLS = ("edge", "reflect", COLOUR)
KEYS = [[5, i] for i in range(10)]
Points = tuple[np.ndarray, np.ndarray]


def uniforms(key: list[int], n: int) -> np.ndarray:
    return tf.random.stateless_uniform([n], tf.constant(key, tf.int64), alg="philox").numpy()


def bilinear(image: np.ndarray, points: Points, fill: object) -> np.ndarray:
    """The reference: a wide border by numpy.pad, then four neighbours in float64."""
    border = 60
    around = ((border, border), (border, border), (0, 0))
    if isinstance(fill, str):
        mode = {"edge": "edge", "reflect": "symmetric"}[fill]
        wide = np.pad(image.astype(np.float64), around, mode=mode)
    else:
        colour = np.asarray(fill, np.float64)
        wide = np.pad(image - colour, around) + colour
    y, x = (at + border for at in points)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    dy, dx = (y - top)[..., None], (x - left)[..., None]
    upper = wide[top, left] * (1 - dx) + wide[top, left + 1] * dx
    lower = wide[top + 1, left] * (1 - dx) + wide[top + 1, left + 1] * dx
    return upper * (1 - dy) + lower * dy


def grid(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
    h, w = image.shape[:2]
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    return y - (h - 1) / 2, x - (w - 1) / 2, (h - 1) / 2, (w - 1) / 2


def span(u: float, low: float, high: float) -> float:
    return low + u * (high - low)


def translated(image: np.ndarray, u: np.ndarray) -> Points:
    y, x, cy, cx = grid(image)
    h, w = image.shape[:2]
    return y + cy - span(u[0], -0.4, 0.4) * h, x + cx - span(u[1], -0.4, 0.4) * w


def rotated(image: np.ndarray, u: np.ndarray) -> Points:
    y, x, cy, cx = grid(image)
    a = math.radians(span(u[0], -70, 70))
    return math.sin(a) * x + math.cos(a) * y + cy, math.cos(a) * x - math.sin(a) * y + cx


def stretched(image: np.ndarray, u: np.ndarray) -> Points:
    y, x, cy, cx = grid(image)
    fy, fx = (math.exp(span(v, math.log(0.5), math.log(2.0))) for v in u[:2])
    return y / fy + cy, x / fx + cx


def sheared(image: np.ndarray, u: np.ndarray) -> Points:
    y, x, cy, cx = grid(image)
    slope = math.tan(math.radians(span(u[0], -40, 40)))
    if u[1] < 0.5:
        return y + cy, x - slope * y + cx
    return y - slope * x + cy, x + cx


def bent(image: np.ndarray, u: np.ndarray) -> Points:
    y, x, cy, cx = grid(image)
    k = span(u[0], -0.3, 0.3)
    factor = 1 + k * (y**2 + x**2) / (cy**2 + cx**2)
    return y * factor + cy, x * factor + cx


CASES: dict[str, tuple[Callable[..., Op], Callable[[np.ndarray, np.ndarray], Points], int]] = {
    "translate": (lambda fill: geometry.translate(0.4, fill), translated, 2),
    "rotate": (lambda fill: geometry.rotate(70.0, fill), rotated, 1),
    "stretch": (lambda fill: geometry.stretch((0.5, 2.0), fill), stretched, 2),
    "shear": (lambda fill: geometry.shear(40.0, fill), sheared, 2),
    "lens_distortion": (lambda fill: geometry.lens_distortion(0.3, fill), bent, 1),
}


@pytest.mark.parametrize("fill", FILLS, ids=["edge", "reflect", "colour"])
@pytest.mark.parametrize("name", CASES)
def test_every_pixel_is_where_numpy_puts_it_eagerly_and_in_tf_data(name: str, fill: object) -> None:
    make, points, draws = CASES[name]
    op = make(fill)
    data = tf.data.Dataset.from_tensor_slices(np.array(KEYS, np.int64)).map(
        lambda key: op(tf.constant(PICTURE), key), num_parallel_calls=2
    )
    assert data.element_spec.shape == PICTURE.shape
    unknown = tf.function(op, autograph=False, input_signature=[
        tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([2], tf.int64)
    ])  # fmt: skip
    for key, inside in zip(KEYS, data, strict=True):
        wanted = bilinear(PICTURE, points(PICTURE, uniforms(key, draws + 1)), fill)
        eager = op(tf.constant(PICTURE), tf.constant(key, tf.int64)).numpy()
        assert eager.dtype == np.float32
        # Neighbours differ by up to 255, and float32 coordinates are good to about 1e-6.
        np.testing.assert_allclose(eager, wanted, atol=5e-3)
        np.testing.assert_allclose(inside, wanted, atol=5e-3)
        np.testing.assert_allclose(unknown(PICTURE, tf.constant(key, tf.int64)), wanted, atol=5e-3)
        assert np.abs(wanted - PICTURE).mean() > 0.5  # it does something
        assert eager.min() >= -1e-3
        assert eager.max() <= 255 + 1e-3


@pytest.mark.parametrize("name", CASES)
def test_nothing_drawn_is_the_image_itself(name: str) -> None:
    still = {
        "translate": geometry.translate(0.0, "edge"),
        "rotate": geometry.rotate(0.0, COLOUR),
        "stretch": geometry.stretch((1.0, 1.0), "reflect"),
        "shear": geometry.shear(0.0, COLOUR),
        "lens_distortion": geometry.lens_distortion(0.0, "edge"),
    }
    result = still[name](tf.constant(PICTURE), tf.constant([1, 1], tf.int64))
    np.testing.assert_allclose(result, PICTURE, atol=1e-3)


def test_rotation_above_zero_is_counter_clockwise() -> None:
    """A quarter turn moves the right edge to the top, as numpy.rot90 does."""
    square = PICTURE[:9, :9]
    signs = set()
    for key in KEYS:
        u = uniforms(key, 2)[0]
        degrees = 90.0 / (2 * u - 1)  # so that this key draws a quarter turn
        result = geometry.rotate(degrees, "edge")(
            tf.constant(square), tf.constant(key, tf.int64)
        ).numpy()
        np.testing.assert_allclose(result, np.rot90(square), atol=0.05)
        signs.add(degrees > 0)
    assert signs == {True, False}


def test_a_barrel_shows_more_and_a_pincushion_less() -> None:
    white, black = np.full((31, 31, 1), 255, np.uint8), (0.0,)
    op = geometry.lens_distortion(0.3, black)
    for key in KEYS:
        k = span(uniforms(key, 2)[0], -0.3, 0.3)
        corner = op(tf.constant(white), tf.constant(key, tf.int64)).numpy()[0, 0, 0]
        assert corner == pytest.approx(0.0 if k > 0.1 else 255.0, abs=1e-2) or 0 < k <= 0.1


def test_the_fill_of_a_recipe_is_zero_after_the_mean_is_subtracted() -> None:
    op = geometry.translate(0.9, COLOUR)
    results = [op(tf.constant(PICTURE), tf.constant(key, tf.int64)).numpy() for key in KEYS]
    centred = np.abs(np.stack(results) - np.float32(COLOUR)).max(axis=-1)
    assert (centred < 1e-4).mean() > 0.3


def test_one_row_and_one_pixel() -> None:
    for shape in ((1, 7, 3), (7, 1, 3), (1, 1, 3)):
        flat = np.full(shape, 90, np.uint8)
        for make, _, _ in CASES.values():
            for fill in ("edge", "reflect"):
                result = make(fill)(tf.constant(flat), tf.constant([1, 3], tf.int64))
                np.testing.assert_allclose(result, flat, atol=1e-3)


def test_right_angles_are_as_likely_and_move_pixels_only() -> None:
    square = PICTURE[:8, :8]
    turns = {np.rot90(square, k).astype(np.float32).tobytes(): k for k in range(4)}
    op = geometry.right_angles()
    keys = np.stack([np.zeros(2000, np.int64), np.arange(2000)], axis=1)
    data = tf.data.Dataset.from_tensor_slices(keys).map(
        lambda key: op(tf.constant(square), key), num_parallel_calls=2
    )
    counts = np.bincount([turns[image.numpy().tobytes()] for image in data], minlength=4)
    assert np.abs(counts - 500).max() < 6 * math.sqrt(2000 * 0.25 * 0.75)
    for key in KEYS:
        assert op(tf.constant(square), tf.constant(key, tf.int64)).numpy().tobytes() in turns
        kept = geometry.right_angles(0.0)(tf.constant(square), tf.constant(key, tf.int64))
        np.testing.assert_array_equal(kept, square)
    with pytest.raises(ValueError, match=r"square images, received \(9, 12, 3\); remove"):
        op(tf.constant(PICTURE), tf.constant([1, 2], tf.int64))


def test_probability() -> None:
    op = geometry.rotate(40.0, "edge", probability=0.3)
    keys = np.stack([np.zeros(1500, np.int64), np.arange(1500)], axis=1)
    data = tf.data.Dataset.from_tensor_slices(keys).map(lambda k: op(tf.constant(PICTURE), k))
    changed = np.mean([not np.array_equal(image, PICTURE) for image in data])
    assert abs(changed - 0.3) < 6 * math.sqrt(0.3 * 0.7 / 1500)


def test_bad_settings_are_refused() -> None:
    key = tf.constant([1, 2], tf.int64)
    with pytest.raises(ValueError, match=r"below 1/3, received 0\.4"):
        geometry.lens_distortion(0.4)
    with pytest.raises(ValueError, match="expected edge, reflect or a colour, received 'wrap'"):
        geometry.rotate(fill="wrap")(tf.constant(PICTURE), key)
    with pytest.raises(ValueError, match=r"colour of 3 value\(s\), received 2"):
        geometry.rotate(fill=(1.0, 2.0))(tf.constant(PICTURE), key)
