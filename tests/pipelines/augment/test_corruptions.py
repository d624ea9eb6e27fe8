"""Corruptions against Pillow, SciPy and sums by hand; the same for whoever asks for an image."""

from __future__ import annotations

import colorsys
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import ndimage

from pipelines import build
from pipelines.augment import corruptions
from pipelines.augment.corruptions import CONSTANTS, NAMES, all_versions, constants_for, version
from pipelines.sources.array_source import ArraySource

ZERO = tf.constant(0, tf.int64)


@pytest.fixture(scope="module")
def photograph():
    """Smooth, with edges and every level: uint8 [224, 224, 3]."""
    random = np.random.default_rng(3)
    coarse = random.uniform(-60, 315, (9, 9, 3))
    smooth = np.array(tf.image.resize(coarse, (224, 224), "bicubic"))
    smooth[60:90, 100:180] = [250, 10, 90]
    smooth[:4] = 0
    return np.clip(smooth, 0, 255).astype(np.uint8)


def made(image, name, severity, index=ZERO):
    return np.asarray(version(tf.constant(image), index, name, severity)).astype(int)


@pytest.mark.parametrize("severity", range(5))
def test_pixelate_is_pillows_box_down_and_up(photograph, severity):
    factor = CONSTANTS["pixelate"]["ImageNet-C"][severity]
    small = Image.fromarray(photograph).resize([int(224 * factor)] * 2, Image.Resampling.BOX)
    expected = np.asarray(small.resize((224, 224), Image.Resampling.BOX)).astype(int)
    difference = np.abs(made(photograph, "pixelate", severity) - expected)
    assert difference.max() <= 1  # Pillow weighs in fixed point
    assert (difference > 0).mean() < 0.001


@pytest.mark.parametrize("severity", range(5))
def test_jpeg_is_what_pillow_writes_and_reads(photograph, severity):
    held = io.BytesIO()
    quality = CONSTANTS["jpeg_compression"]["ImageNet-C"][severity]
    Image.fromarray(photograph).save(held, "JPEG", quality=quality)
    expected = np.asarray(Image.open(held)).astype(int)
    difference = np.abs(made(photograph, "jpeg_compression", severity) - expected)
    assert difference.max() <= 2


@pytest.mark.parametrize("severity", range(5))
@pytest.mark.parametrize("side", [32, 64, 224])
def test_defocus_is_a_disk_softened_and_mirrored_at_the_edge(photograph, severity, side):
    image = photograph[:side, :side]
    radius, deviation = CONSTANTS["defocus_blur"][constants_for((side, side))][severity]
    reach, taps = (8, 1) if radius <= 8 else (10, 2)
    grid = np.arange(-reach, reach + 1)
    disk = np.hypot(*np.meshgrid(grid, grid)) <= radius
    gaussian = np.exp(-(np.arange(-taps, taps + 1) ** 2) / (2 * deviation**2))
    gaussian /= gaussian.sum()
    kernel = ndimage.correlate(disk / disk.sum(), np.outer(gaussian, gaussian), mode="mirror")
    blurred = [
        ndimage.correlate(image[..., c].astype(float), kernel, mode="mirror") for c in range(3)
    ]
    expected = np.clip(np.stack(blurred, axis=-1), 0, 255)
    assert np.abs(made(image, "defocus_blur", severity) + 0.5 - expected).max() < 0.51
    assert kernel.sum() == pytest.approx(1, abs=0.02)  # theirs, too, where the disk meets its rim


def test_brightness_raises_the_value_of_hsv_and_contrast_draws_to_the_mean(photograph):
    image = photograph[::23, ::23]
    for severity, added in enumerate(CONSTANTS["brightness"]["CIFAR-10-C"]):
        flat = []
        for pixel in image.reshape(-1, 3) / 255:
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
            flat.append(colorsys.hsv_to_rgb(hue, saturation, min(1, value + added)))
        expected = 255 * np.array(flat).reshape(image.shape)
        assert np.abs(made(image, "brightness", severity) + 0.5 - expected).max() < 0.51
    for severity, factor in enumerate(CONSTANTS["contrast"]["CIFAR-10-C"]):
        mean = image.mean(axis=(0, 1))
        expected = np.clip((image - mean) * factor + mean, 0, 255)
        assert np.abs(made(image, "contrast", severity) + 0.5 - expected).max() < 0.51


def test_noise_has_the_moments_that_its_constants_say():
    grey = np.full((224, 224, 3), 128, np.uint8)
    for severity in range(5):
        gaussian = made(grey, "gaussian_noise", severity, tf.constant(7, tf.int64))
        if severity == 0:  # later ones are cut off at 0 and 255
            deviation = 255 * CONSTANTS["gaussian_noise"]["ImageNet-C"][severity]
            assert gaussian.mean() == pytest.approx(127.5, abs=0.3)
            assert gaussian.std() == pytest.approx(deviation, rel=0.01)
        photons = CONSTANTS["shot_noise"]["ImageNet-C"][severity]
        shots = made(np.full_like(grey, 40), "shot_noise", severity)
        if severity < 3:
            assert shots.std() == pytest.approx(np.sqrt(40 * 255 / photons), rel=0.02)
        levels = np.floor(255 / photons * np.arange(70) + 1e-3)
        assert set(np.unique(shots)) <= set(np.minimum(levels, 255))
        share = CONSTANTS["impulse_noise"]["ImageNet-C"][severity]
        impulse = made(grey, "impulse_noise", severity)
        assert set(np.unique(impulse)) == {0, 128, 255}
        assert (impulse != 128).mean() == pytest.approx(share, rel=0.05)
        assert (impulse == 0).sum() == pytest.approx((impulse == 255).sum(), rel=0.1)


def test_an_image_looks_the_same_whoever_asks_and_no_two_look_alike():
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)
    pixels[3] = pixels[1]
    source = ArraySource(pixels, [0, 1, 0, 1, 0], ["a", "b"])

    def versions(indices, batch_size, threads=0):
        data = build.corrupted_dataset(
            source, indices, size=(16, 16), batch_size=batch_size, threads=threads
        )
        return np.concatenate([np.asarray(batch) for batch in data])

    every = versions(range(5), 5)
    assert every.shape == (5, corruptions.VERSIONS, 16, 16, 3)
    np.testing.assert_array_equal(versions([4, 1, 3], 2, threads=2), every[[4, 1, 3]])
    np.testing.assert_array_equal(every[2], all_versions(tf.constant(pixels[2]), ZERO + 2))
    noisy = slice(0, 15)
    assert (
        (every[1, noisy] != every[3, noisy]).any(axis=(1, 2, 3)).all()
    )  # equal pixels, other draws
    np.testing.assert_array_equal(every[1, 15:], every[3, 15:])
    flat = every.reshape(5, corruptions.VERSIONS, -1)
    for image in flat:
        assert len(np.unique(image, axis=0)) == corruptions.VERSIONS


def test_every_side_has_its_constants_and_grey_images_work():
    assert [constants_for((side, side)) for side in (8, 32, 40, 64, 96, 224, 299)] == [
        "CIFAR-10-C", "CIFAR-10-C", "CIFAR-10-C", "Tiny ImageNet-C", "Tiny ImageNet-C",
        "ImageNet-C", "ImageNet-C",
    ]  # fmt: skip
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8, 1) * 4
    versions = np.asarray(all_versions(tf.constant(grey), ZERO))
    assert versions.shape == (corruptions.VERSIONS, 8, 8, 1)
    at = 5 * NAMES.index("brightness")
    np.testing.assert_array_equal(versions[at], np.minimum(grey + np.floor(0.05 * 255), 255))
