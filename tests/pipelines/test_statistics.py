from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipelines import splits, statistics
from pipelines.sources.array_source import ArraySource
from pipelines.sources.base import Source
from pipelines.sources.open import open_source


def coloured(n: int = 40, channels: int = 3) -> ArraySource:
    rng = np.random.default_rng(4)
    mixing = rng.normal(size=(channels, channels)) * 25
    values = 120 + rng.normal(size=(n, 12, 10, channels)) @ mixing
    pixels = np.clip(values, 0, 255).astype(np.uint8)
    labels = np.arange(n) % 2
    shape = (12, 10, channels)
    return ArraySource(lambda: pixels, labels, ["a", "b"], image_shape=shape)


def check(fitted: statistics.Statistics, pixels: np.ndarray) -> None:
    values = pixels.reshape(-1, pixels.shape[-1]).astype(np.float64)
    np.testing.assert_allclose(fitted.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(fitted.std, values.std(axis=0), rtol=1e-10)
    covariance = np.cov(values / 255.0, rowvar=False, bias=True).reshape(2 * values.shape[1:])
    axes, spread = fitted.eigenvectors, fitted.eigenvalues
    np.testing.assert_allclose(axes @ np.diag(spread) @ axes.T, covariance, atol=1e-12)
    np.testing.assert_allclose(axes.T @ axes, np.eye(len(spread)), atol=1e-12)
    assert np.all(np.diff(spread) <= 0)
    assert np.all(np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], 0) > 0)


def test_against_numpy_on_raw_pixels() -> None:
    source = coloured()
    chosen = np.array([1, 5, 8, 30])
    fitted = statistics.fit(source, chosen)
    assert fitted.images == 4
    check(fitted, source.array[chosen])


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_the_largest_part_of_an_axis_is_positive(order: tuple[int, ...]) -> None:
    pixels = coloured().array[..., order]
    for part in (pixels, 255 - pixels[..., :2], pixels[:7], pixels[:, :5]):
        source = ArraySource(
            part.copy, np.arange(len(part)) % 2, ["a", "b"], image_shape=part.shape[1:]
        )
        check(statistics.fit(source, range(len(part))), part)


def test_many_chunks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    source = coloured()
    whole = statistics.fit(source, range(40))
    monkeypatch.setattr(statistics, "CHUNK_BYTES", 20000)
    np.testing.assert_allclose(statistics.fit(source, range(40)).mean, whole.mean, rtol=1e-13)


def test_grey() -> None:
    source = coloured(channels=1)
    fitted = statistics.fit(source, range(40))
    assert fitted.eigenvalues.shape == (1,)
    assert fitted.eigenvectors.tolist() == [[1.0]]
    check(fitted, source.array)


def test_nothing_of_the_held_out_images_enters() -> None:
    source = coloured()
    clean = statistics.fit(source, range(30))
    pixels = source.array.copy()
    pixels[30:] = (255, 0, 255)  # a marker colour in what is held out
    marked = ArraySource(pixels, source.labels, ["a", "b"])
    fitted = statistics.fit(marked, range(30))
    assert fitted.to_dict() == clean.to_dict()
    assert statistics.fit(marked, range(31)).to_dict() != clean.to_dict()


def test_at_the_size_of_the_network() -> None:
    source = open_source("digits")
    fitted = statistics.fit(source, range(50), size=(16, 16))
    assert source.array is not None
    seen = tf.image.resize(source.array[:50], (16, 16)).numpy()
    check(fitted, seen)
    assert statistics.fit(source, range(50), size=(8, 8)).to_dict() == (
        statistics.fit(source, range(50)).to_dict()
    )


def reading(held: ArraySource) -> Source:
    """The same images, not held in memory."""

    class Reading(ArraySource):
        array = None  # type: ignore[assignment]  # as a folder of many sizes has it

        def images(self, index: tf.Tensor, window: object = None) -> tf.Tensor:
            return tf.gather(held.array, index)

    return Reading(held.array, held.labels, ["a", "b"])


def test_sources_that_are_not_in_memory() -> None:
    held = coloured()
    check(statistics.fit(reading(held), [3, 4, 9]), held.array[[3, 4, 9]])


def test_huge_sets_are_sampled_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "DECODED_LIMIT", 39)
    monkeypatch.setattr(statistics, "SAMPLE", 4)
    held = coloured()
    sampled = statistics.fit(reading(held), range(40))
    assert (sampled.images, sampled.sampled_from) == (4, 40)
    check(sampled, held.array[[0, 13, 26, 39]])
    whole = statistics.fit(reading(held), range(39))
    assert (whole.images, whole.sampled_from, whole.standard_error) == (39, None, None)
    assert "standard_error" not in whole.to_dict()
    assert statistics.fit(reading(held), range(40), limit=40).images == 40
    assert statistics.fit(held, range(40)).images == 40  # in memory every image costs nothing


def test_nothing_held_out_enters_from_files_at_the_networks_size(tmp_path: Path) -> None:
    """Marked held-out files, decoded and resized: by a split, and none of the colour is found."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(20):
            grey = rng.integers(90, 110, (30 + i % 3, 26, 1), dtype=np.uint8)
            Image.fromarray(grey.repeat(3, 2)).save(tmp_path / name / f"{i:02d}.png")
    source = open_source(f"folder:{tmp_path}")
    split = splits.resolve(source.labels, None, 0.2, 0.2, 1.0, 1, source.class_names)
    assert split.validation is not None
    assert split.test is not None
    files = sorted(tmp_path.glob("*/*.png"))
    for index in (*split.validation, *split.test):
        with Image.open(files[index]) as image:
            Image.new("RGB", image.size, (255, 0, 255)).save(files[index])
    source = open_source(f"folder:{tmp_path}")
    fitted = statistics.fit(source, split.train, size=(16, 16), crop_fraction=0.875)
    # All that is trained on is grey; the marker is the only colour there is.
    assert np.ptp(fitted.mean) < 1e-3
    assert fitted.eigenvalues[1] < 1e-9
    assert 95 < fitted.mean[0] < 105
    leaked = statistics.fit(source, [*split.train, split.test[0]], size=(16, 16))
    assert np.ptp(leaked.mean) > 1


def test_limit_is_spread_over_the_indices() -> None:
    source = coloured()
    fitted = statistics.fit(source, range(40), limit=4)
    assert fitted.images == 4
    check(fitted, source.array[[0, 13, 26, 39]])
    assert statistics.fit(source, range(40), limit=400).images == 40


def test_json_round_trip_is_exact() -> None:
    fitted = statistics.fit(coloured(), range(7))
    again = statistics.Statistics.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again.to_dict() == fitted.to_dict()
    assert np.array_equal(again.eigenvectors, fitted.eigenvectors)


def test_no_images() -> None:
    with pytest.raises(ValueError, match="at least one training image"):
        statistics.fit(coloured(), [])
    with pytest.raises(ValueError, match="limit of at least 1"):
        statistics.fit(coloured(), [1], limit=0)


def test_a_sample_goes_through_json() -> None:
    fitted = statistics.fit(coloured(), range(40), limit=4)
    again = statistics.Statistics.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again.to_dict() == fitted.to_dict()
    assert fitted.to_dict()["sampled_from"] == 40


@pytest.mark.parametrize("sorted_by_class", [False, True])
def test_the_stated_error_covers_the_truth_as_often_as_it_says(sorted_by_class: bool) -> None:
    """Of 300 populations each sampled once: 95 % within 1.96 errors, of classes in order more."""
    covered, errors, stated = 0, [], []
    images, sample, trials = 600, 60, 300
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        brightness = rng.gamma(2.0, 25.0, (images, 1, 1, 3))  # skewed, as photographs are
        if sorted_by_class:
            brightness += 40 * np.sort(rng.integers(0, 4, images))[:, None, None, None]
        pixels = np.clip(brightness + rng.normal(0, 10, (images, 3, 3, 3)), 0, 255).astype(np.uint8)
        source = ArraySource(pixels, np.arange(images) % 2, ["a", "b"])
        fitted = statistics.fit(source, range(images), limit=sample)
        assert fitted.standard_error is not None
        wrong = fitted.mean - pixels.reshape(-1, 3).mean(axis=0)
        covered += int((np.abs(wrong) <= 1.96 * fitted.standard_error).sum())
        errors.append(wrong)
        stated.append(fitted.standard_error)
    rate = covered / (3 * trials)
    if sorted_by_class:
        assert rate > 0.97
    else:
        assert 0.92 < rate < 0.98
        assert np.mean(stated) == pytest.approx(np.std(errors), rel=0.1)


def test_images_of_many_sizes_count_by_their_pixels() -> None:
    """The error of a mean over pixels, where a large image weighs more: against resampling."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(50, 2000, 4000).astype(float)
    means = 100 + 0.02 * pixels + rng.normal(0, 30, 4000)  # large ones are brighter
    sums = np.stack([pixels * means, pixels], axis=1)
    drawn = [sums[rng.choice(4000, 200, replace=False)] for _ in range(500)]
    spread = np.std([part[:, 0].sum() / part[:, 1].sum() for part in drawn])
    stated = np.mean([statistics.error_of_mean(part, 4000)[0] for part in drawn])
    assert stated == pytest.approx(spread, rel=0.1)
