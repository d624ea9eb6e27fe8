from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from pipelines import open_source, statistics
from pipelines.sources import ArraySource, Source


def coloured(n: int = 40, channels: int = 3) -> ArraySource:
    rng = np.random.default_rng(4)
    mixing = rng.normal(size=(channels, channels)) * 25
    values = 120 + rng.normal(size=(n, 12, 10, channels)) @ mixing
    pixels = np.clip(values, 0, 255).astype(np.uint8)
    labels = np.arange(n) % 2
    return ArraySource("test", labels, ["a", "b"], (12, 10, channels), lambda: pixels)


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
    marked = ArraySource("test", source.labels, ["a", "b"], (12, 10, 3), lambda: pixels)
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


def test_sources_that_are_not_in_memory() -> None:
    held = coloured()

    class Reading(ArraySource):
        array = None  # type: ignore[assignment]  # as a folder of many sizes has it

        def images(self, index: tf.Tensor, window: object = None) -> tf.Tensor:
            return tf.gather(held.array, index)

    source: Source = Reading("test", held.labels, ["a", "b"], (12, 10, 3), lambda: held.array)
    check(statistics.fit(source, [3, 4, 9]), held.array[[3, 4, 9]])


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
