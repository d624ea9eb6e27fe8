"""Batches: order, draws, views and recipes, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from in_batches import INDICES, noisy, numbered, train

from pipelines import build, in_memory
from pipelines.augment import crops, keys, recipes
from pipelines.augment.recipes import PRESETS, render
from pipelines.resize import resize_centre, resize_window
from pipelines.sources.array_source import ArraySource
from pipelines.sources.open import open_source


@pytest.mark.parametrize("steps", [(), ({"op": "horizontal_flip"},)])
def test_epochs_are_permutations_that_never_mix(steps: Any) -> None:
    data = train(numbered(), steps)
    assert int(data.cardinality()) == 12
    assert data.element_spec[0].shape.as_list() == [None, 8, 8, 3]
    assert data.element_spec[0].dtype == tf.float32
    assert data.element_spec[1].dtype == tf.int64
    batches = [(x.numpy(), y.numpy()) for x, y in data]
    assert [len(x) for x, _ in batches] == [10, 10, 10, 7] * 3
    epochs = []
    for e in range(3):
        x = np.concatenate([x for x, _ in batches[4 * e : 4 * e + 4]])
        y = np.concatenate([y for _, y in batches[4 * e : 4 * e + 4]])
        order = x[:, 0, 0, 0].astype(int)
        assert sorted(order) == sorted(INDICES)
        assert np.array_equal(y, order % 5)
        epochs.append(order.tolist())
    assert len({tuple(order) for order in epochs}) == 3


@pytest.mark.parametrize("batch_size", [1, 37, 50])
def test_batch_sizes_at_the_edges(batch_size: int) -> None:
    data = train(numbered(), batch_size=batch_size, epochs=2)
    sizes = [len(y) for _, y in data]
    assert len(sizes) == int(data.cardinality()) == 2 * math.ceil(37 / batch_size)
    assert sum(sizes) == 74


def by_image(data: tf.data.Dataset, order: list[int]) -> dict[int, np.ndarray]:
    images = np.concatenate([x.numpy() for x, _ in data])
    return dict(zip(order, images, strict=True))


def order_of(**changes: Any) -> list[int]:
    """The indices in the order in which a dataset with these settings gives them."""
    batches = [x.numpy()[:, 0, 0, 0] for x, _ in train(numbered(), **changes)]
    return np.concatenate(batches).astype(int).tolist()


def test_same_seed_same_batches_and_zero_is_a_seed() -> None:
    steps = PRESETS["cifar"]
    runs = [
        np.concatenate([x.numpy() for x, _ in train(noisy(), steps, seed=seed)])
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    assert order_of(seed=0) != order_of(seed=1)


def test_starting_at_an_epoch_gives_what_a_whole_run_gives_there() -> None:
    steps = PRESETS["inception"]
    whole = [x.numpy() for x, _ in train(noisy(), steps, epochs=3)]
    late = [x.numpy() for x, _ in train(noisy(), steps, epochs=1, first_epoch=2)]
    assert len(late) == 4
    for a, b in zip(whole[8:], late, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("preset", ["cifar", "inception"])
def test_augmentation_depends_on_seed_epoch_and_index_only(preset: str) -> None:
    steps = PRESETS[preset]
    base = by_image(train(noisy(), steps, epochs=1), order_of(epochs=1))
    # Another batch size and other companions: the same images look the same.
    few = {"indices": INDICES[:9], "batch_size": 4, "epochs": 1}
    data = train(noisy(), steps, part=INDICES, **few)
    for index, image in by_image(data, order_of(**few)).items():
        assert np.array_equal(image, base[index])
    # Another epoch or seed: they do not.
    for other in ({"first_epoch": 1}, {"seed": 1}):
        again = by_image(train(noisy(), steps, epochs=1, **other), order_of(epochs=1, **other))
        same = [np.array_equal(again[i], base[i]) for i in base]
        assert np.mean(same) < 0.3


def test_another_order_is_of_the_same_pictures() -> None:
    steps = ({"op": "pad_and_crop", "padding": 2}, {"op": "horizontal_flip"})

    def epochs(**seeds: int) -> list[np.ndarray]:
        images = np.concatenate([x.numpy() for x, _ in train(noisy(), steps, **seeds)])
        return [rows.reshape(len(rows), -1) for rows in np.split(images, 3)]

    plain = epochs(seed=4)
    assert all(map(np.array_equal, plain, epochs(seed=4, order_seed=4)))
    for one, other in zip(plain, epochs(seed=4, order_seed=5), strict=True):
        assert not np.array_equal(one, other)
        assert sorted(map(bytes, one)) == sorted(map(bytes, other))


def test_ops_of_a_recipe_draw_independently() -> None:
    """Crop and flip of an image must not share a key: all nine crops occur with both flips."""
    pixels = np.zeros((400, 3, 3, 1), np.uint8)
    pixels[:] = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]])[..., None]
    source = ArraySource(pixels, np.arange(400) % 2, ["a", "b"])
    steps = ({"op": "pad_and_crop", "padding": 1}, {"op": "horizontal_flip"})
    data = train(source, steps, indices=np.arange(400), size=(3, 3), epochs=2)
    seen = {image.tobytes() for x, _ in data for image in x.numpy()}
    assert len(seen) == 18


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_give_the_size_asked_for(preset: str) -> None:
    source = open_source("synthetic:classes=5,size=24,examples=60")
    for size in ((16, 16), (32, 32)):
        data = train(source, PRESETS[preset], size=size, epochs=1)
        images = np.concatenate([x.numpy() for x, _ in data])
        assert images.shape == (37, *size, 3)
        assert np.isfinite(images).all()
        assert images.max() > 60
        assert images.min() > -60


def test_no_recipe_is_the_evaluation_view() -> None:
    source = open_source("digits")
    assert source.array is not None
    data = train(source, size=(32, 32), epochs=1)
    view = resize_centre((32, 32))
    for index, image in by_image(data, order_of(epochs=1)).items():
        np.testing.assert_allclose(image, view(tf.constant(source.array[index])), atol=1e-3)


@pytest.mark.parametrize("limit", [in_memory.VIEW_LIMIT_BYTES, 0])
@pytest.mark.parametrize(("size", "fraction"), [((8, 8), 1.0), ((32, 24), 1.0), ((16, 16), 0.8)])
def test_evaluation_is_in_order_and_complete(
    monkeypatch: pytest.MonkeyPatch, limit: int, size: tuple[int, int], fraction: float
) -> None:
    monkeypatch.setattr(in_memory, "VIEW_LIMIT_BYTES", limit)
    source = open_source("digits")
    assert source.array is not None
    data = build.evaluation_dataset(
        source, INDICES, size=size, batch_size=10, crop_fraction=fraction
    )
    assert int(data.cardinality()) == 4
    assert data.element_spec[0].shape.as_list() == [None, *size, 1]
    images = np.concatenate([x.numpy() for x, _ in data])
    labels = np.concatenate([y.numpy() for _, y in data])
    assert np.array_equal(labels, source.labels[INDICES])
    expected = resize_centre(size, fraction)(tf.constant(source.array[INDICES]))
    np.testing.assert_allclose(images, expected, atol=1e-3)


def test_folders_of_many_sizes_and_windows_before_decoding(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(4):
            small = rng.integers(0, 256, (4, 4, 3)).astype(np.float32)
            smooth = tf.cast(tf.image.resize(small, (40 + 5 * i, 60)), tf.uint8)
            (tmp_path / name / f"{i}.jpg").write_bytes(tf.io.encode_jpeg(smooth).numpy())
    source = open_source(f"folder:{tmp_path}")
    assert source.array is None
    step = {"op": "random_resized_crop"}
    data = train(source, (step,), indices=np.arange(8), size=(16, 16), epochs=1, seed=7)
    images = np.concatenate([x.numpy() for x, _ in data])
    # The same crops cut out of the fully decoded images, in whatever order.
    window, resize = crops.random_resized_crop(), resize_window((16, 16))

    def cropped(i: int) -> np.ndarray:
        image, key = source.images(tf.constant(i)), [7, i << keys.OP_BITS]
        y, x, h, w = window(tf.shape(image)[:2], tf.constant(key, tf.int64)).numpy()
        return resize(image[y : y + h, x : x + w]).numpy()

    expected = [cropped(i) for i in range(8)]
    for image in images:
        assert min(np.abs(image - other).max() for other in expected) < 1e-3
    held_out = build.evaluation_dataset(source, [7, 0], size=(16, 16), batch_size=2)
    (x, y), *rest = list(held_out)
    assert not rest
    assert y.numpy().tolist() == [1, 0]
    view = resize_centre((16, 16))
    np.testing.assert_allclose(x[0], view(source.images(tf.constant(7))), atol=1e-3)


def test_render() -> None:
    assert recipes.render(PRESETS["none"]) == "none"
    cifar = "pad_and_crop(padding=4) | horizontal_flip(probability=0.5)"
    assert render(PRESETS["cifar"]) == cifar
    assert render([{"op": "random_resized_crop"}]) == (
        "random_resized_crop(scale=[0.08, 1], ratio=[0.75, 1.33333])"
    )
    assert "reference=224" in render(PRESETS["resnet"])


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"op": "horizontal_flop"}], "did you mean 'horizontal_flip'"),
        ([{}], "expected one of pad_and_crop"),
        ([{"op": "pad_and_crop", "pad": 4}], "unknown setting 'pad' .did you mean 'padding'"),
        ([{"op": "pad_and_crop", "padding": -1}], r"a whole number within 0\.\.16384, received -1"),
        ([{"op": "horizontal_flip", "probability": 1.5}], "within 0..1"),
        ([{"op": "pca_jitter", "sigma": -1}], "sigma"),
        ([{"op": "random_resized_crop", "scale": [0.5, 2]}], "scale"),
        ([{"op": "scale_and_crop", "short_side": 256}], "scale_and_crop"),
        ([{"op": "pad_and_crop"}, {"op": "random_resized_crop"}], "one crop"),
    ],
)
def test_bad_steps_are_refused(steps: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipes.check_steps(steps)
    with pytest.raises(ValueError, match=message):
        train(numbered(), steps)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"epochs": 0}, "epochs"),
        ({"seed": -1}, "seed"),
        ({"first_epoch": -1}, "first_epoch"),
    ],
)
def test_bad_numbers_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(numbered(), **changes)


def test_bad_indices_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        build.evaluation_dataset(numbered(), [], size=(8, 8), batch_size=2)
    with pytest.raises(ValueError, match="from 0 to 59"):
        build.evaluation_dataset(numbered(), [60], size=(8, 8), batch_size=2)


def test_grey_images_refuse_colour_jitter() -> None:
    source = open_source("digits")
    with pytest.raises(ValueError, match="remove pca_jitter"):
        train(source, PRESETS["alexnet"], size=(32, 32))


def test_recipes_without_tensorflow() -> None:
    import subprocess
    import sys

    code = "import sys, pipelines.build; from pipelines.augment.recipes import PRESETS, render;"
    code += "render(PRESETS['resnet']);"
    code += "assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_autotuner_is_off():
    """Its thread can hold up the closing of an iterator for many seconds (pipelines/threads.py)."""
    import pipelines

    source = pipelines.open_source("digits")
    for data in (
        source.dataset([0, 1]),
        build.evaluation_dataset(source, [0, 1], size=(32, 32), batch_size=2),
        train(source, ({"op": "pad_and_crop", "padding": 2},), indices=[0, 1], size=(32, 32)),
    ):
        assert data.options().autotune.enabled is False
