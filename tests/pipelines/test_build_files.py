"""Batches of files: those of the same images in memory, whatever reads them; uint8, and windows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from in_batches import noisy, train

from pipelines import build, in_memory
from pipelines.augment.recipes import PRESETS
from pipelines.sources.base import Source
from pipelines.sources.open import open_source


def drawn_files(folder: Path, kind: str, shapes: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(0)
    encode = {"png": tf.io.encode_png, "jpg": tf.io.encode_jpeg}[kind]
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for i, shape in enumerate(shapes):
            small = rng.integers(0, 256, (5, 5, 3)).astype(np.float32)
            image = tf.cast(tf.image.resize(small, shape), tf.uint8)
            (folder / name / f"{i}.{kind}").write_bytes(encode(image).numpy())


def from_source(source: Source, preset: Any, **changes: Any) -> list[Any]:
    settings: dict[str, Any] = {"size": (16, 16), "batch_size": 3, "seed": 3, "epochs": 2}
    steps = PRESETS[preset] if isinstance(preset, str) else preset
    data = train(source, steps, indices=np.arange(len(source)), **settings | changes)
    return [tf.nest.map_structure(lambda t: t.numpy(), batch) for batch in data]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Ten files of five shapes."""
    folder = tmp_path_factory.mktemp("photographs")
    drawn_files(folder, "jpg", [(40 + i, 60) for i in range(5)])
    return open_source(f"folder:{folder}")


@pytest.fixture(scope="module")
def batches_of(photographs: Source) -> Callable[..., list[Any]]:
    """`from_source` on these, three epochs, made once: a pipeline of files takes seconds."""
    return functools.cache(partial(from_source, photographs, epochs=3))


def same(one: list[Any], other: list[Any]) -> bool:
    flat, again = tf.nest.flatten(one), tf.nest.flatten(other)
    return len(flat) == len(again) and all(map(np.array_equal, flat, again))


@pytest.mark.parametrize(("kind", "transfer"), [("png", "uint8"), ("jpg", "float32")])
@pytest.mark.parametrize("preset", ["resnet", "inception", "cifar", "none"])
def test_files_give_bit_for_bit_what_memory_gives(
    tmp_path: Path, kind: str, transfer: str, preset: str
) -> None:
    drawn_files(tmp_path, kind, [(16, 16)] * 4 if preset == "cifar" else [(40, 30)] * 4)
    memory = open_source(f"folder:{tmp_path}")
    files = open_source(f"folder:{tmp_path}", memory_limit_bytes=0)
    assert memory.array is not None
    assert files.array is None
    held = from_source(memory, preset, transfer=transfer)
    read = from_source(files, preset, transfer=transfer)
    if preset == "none":  # the evaluation view is exact to 0.01 grey levels, not to the bit
        for a, b in zip(tf.nest.flatten(held), tf.nest.flatten(read), strict=True):
            assert np.abs(a.astype(np.float32) - b).max() < (0.01 if transfer == "float32" else 2)
    else:
        assert same(held, read)


def test_the_number_of_threads_changes_nothing(
    photographs: Source, batches_of: Callable[..., list[Any]]
) -> None:
    base = batches_of("resnet")
    for threads in (1, 3):
        assert same(base, batches_of("resnet", threads=threads))
    held_out = [
        build.evaluation_dataset(
            photographs, [1, 0, 7], size=(16, 16), batch_size=2, threads=threads
        )
        for threads in (0, 1, 3)
    ]
    views = [[(x.numpy(), y.numpy()) for x, y in data] for data in held_out]
    assert same(views[0], views[1])
    assert same(views[0], views[2])
    assert held_out[2].options().threading.private_threadpool_size == 3
    with pytest.raises(ValueError, match=r"data.threads: expected 0"):
        train(noisy(), threads=-1)


def test_epochs_of_files_never_mix(
    photographs: Source, batches_of: Callable[..., list[Any]]
) -> None:
    batches = batches_of("inception")
    assert [len(y) for _, y in batches] == [3, 3, 3, 1] * 3
    for epoch in range(3):
        labels = np.concatenate([y for _, y in batches[4 * epoch : 4 * epoch + 4]])
        assert sorted(labels) == sorted(photographs.labels)
    late = batches_of("inception", epochs=1, first_epoch=2)
    assert same(batches[8:], late)


def test_a_window_mirrored_before_the_resize_is_the_mirror_image(photographs: Source) -> None:
    """The flip draws with its own key, and acts on the small uint8 window."""
    crop = PRESETS["resnet"][0]
    runs = {
        p: from_source(photographs, (crop, {"op": "horizontal_flip", "probability": p}), epochs=1)
        for p in (0.0, 0.5, 1.0)
    }
    plain, some, all_of_them = (np.concatenate([x for x, _ in run]) for run in runs.values())
    np.testing.assert_allclose(all_of_them, plain[:, :, ::-1], atol=1e-3)
    flipped = [np.allclose(a, b, atol=1e-3) for a, b in zip(some, all_of_them, strict=True)]
    kept = [np.allclose(a, b, atol=1e-3) for a, b in zip(some, plain, strict=True)]
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    assert 0 < sum(flipped) < 10


def test_uint8_is_the_float_image_rounded_and_leaves_the_jitter_to_the_device(
    batches_of: Callable[..., list[Any]],
) -> None:
    for of in (batches_of, partial(from_source, noisy())):
        plain = zip(of("inception"), of("inception", transfer="uint8"), strict=True)
        for (exact, _), (levels, _) in plain:
            assert levels.dtype == np.uint8
            assert np.abs(exact - levels).max() <= 0.5 + 1e-3
        jittered = zip(of("resnet"), of("resnet", transfer="uint8"), strict=True)
        for (exact, _), ((levels, offsets), _) in jittered:
            assert levels.dtype == np.uint8
            assert offsets.shape == (len(levels), 3)
            assert len(np.unique(offsets, axis=0)) == len(levels)
            on_device = levels.astype(np.float32) + offsets[:, None, None, :]
            assert np.abs(exact - on_device).max() <= 0.5 + 1e-3


def test_uint8_clips_where_it_would_wrap_around_and_keeps_whole_levels() -> None:
    left = tf.constant([[-3.0, 0.4, 0.6, 254.6, 300.0]])
    assert in_memory.whole_levels(left, clip=True).numpy().tolist() == [[0, 0, 1, 255, 255]]
    every = tf.range(256, dtype=tf.float32)
    assert in_memory.whole_levels(every).numpy().tolist() == list(range(256))


def test_uint8_refuses_what_would_follow_the_jitter() -> None:
    steps = ({"op": "pca_jitter", "sigma": 0.1}, {"op": "horizontal_flip"})
    with pytest.raises(ValueError, match="make it the last step of augment"):
        train(noisy(), steps, transfer="uint8")
    with pytest.raises(ValueError, match=r"data.transfer: expected float32 or uint8"):
        train(noisy(), (), transfer="float16")


def test_large_windows_are_antialiased_unless_asked_otherwise(tmp_path: Path) -> None:
    """Stripes two pixels wide, shrunk to a sixth: grey when averaged, noise when sampled."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    stripes = np.tile(np.array([0, 0, 255, 255], np.uint8), 24)[None, :, None]
    png = tf.io.encode_png(np.broadcast_to(stripes, (100, 96, 3))).numpy()
    (tmp_path / "a" / "1.png").write_bytes(png)
    (tmp_path / "b" / "1.png").write_bytes(png)
    source = open_source(f"folder:{tmp_path}")
    whole = ({"op": "random_resized_crop", "scale": [1.0, 1.0], "ratio": [0.95, 0.97]},)
    (smooth, _), *_ = from_source(source, whole, epochs=1)
    (rough, _), *_ = from_source(source, whole, epochs=1, antialias=False)
    assert smooth.std() < 40 < rough.std()
