"""`pipelines.fit_dataset` under Keras's own `fit`, and beside `training_dataset`."""

from __future__ import annotations

import gc
from typing import Any

import keras
import numpy as np
import pytest
from drawn_tree import draw
from in_batches import INDICES, numbered

import pipelines
from pipelines.augment.recipes import PRESETS, Recipe
from pipelines.build import training_dataset

BATCHES = 4


def arrays(data: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(x.numpy(), y.numpy()) for x, y in data]


def assert_equal_batches(some: Any, others: Any) -> None:
    assert len(some) == len(others)
    for (x, y), (a, b) in zip(some, others, strict=True):
        assert np.array_equal(x, a)
        assert np.array_equal(y, b)


def recorder(outputs: list[np.ndarray]) -> keras.Model:
    """A network that keeps what it is trained on."""

    class Recorder(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(5)

        def call(self, images: Any) -> Any:
            return self.dense(images[:, 0, 0, :] / 255.0)

        def train_step(self, batch: Any) -> Any:
            outputs.append(batch[0].numpy()[:, 0, 0, 0].astype(int))
            return super().train_step(batch)

    network = Recorder()
    network.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        run_eagerly=True,
    )
    return network


def test_fit_sees_each_image_once_an_epoch_in_the_orders_of_training_dataset() -> None:
    source, recipe = numbered(), Recipe((8, 8), seed=3)
    data = pipelines.fit_dataset(source, INDICES, recipe, batch_size=10)
    seen: list[np.ndarray] = []
    held_out = pipelines.evaluation_dataset(source, np.arange(5), size=(8, 8), batch_size=5)
    history = recorder(seen).fit(data, validation_data=held_out, epochs=2, shuffle=False, verbose=0)
    assert len(history.history["val_loss"]) == 2
    assert len(seen) == 2 * BATCHES
    first, second = np.concatenate(seen[:BATCHES]), np.concatenate(seen[BATCHES:])
    assert sorted(first) == sorted(second) == sorted(INDICES)
    assert list(first) != list(second)
    expected = training_dataset(source, INDICES, recipe, batch_size=10, epochs=2)
    order = np.concatenate([x[:, 0, 0, 0] for x, _ in arrays(expected)])
    assert np.array_equal(np.concatenate(seen), order)


@pytest.mark.parametrize("kind", ["array", "folder"])
@pytest.mark.parametrize("steps", [(), PRESETS["cifar"], ({"op": "mixup"},)])
def test_iterations_are_the_epochs_of_training_dataset_bit_for_bit(
    kind: str, steps: Any, tmp_path: Any
) -> None:
    spec = "synthetic:classes=5,size=8,examples=60"
    if kind == "folder":
        draw(tmp_path, "cat/30*.png", "dog/30*.png")
        spec = f"folder:{tmp_path}"
    source = pipelines.open_source(spec, memory_limit_bytes=0 if kind == "folder" else 2**30)
    assert (source.array is None) == (kind == "folder")
    colours = pipelines.statistics.fit(source, INDICES).colours
    recipe = Recipe((8, 8), steps, colours, seed=1)
    whole = arrays(training_dataset(source, INDICES, recipe, batch_size=10, epochs=3))
    data = pipelines.fit_dataset(source, INDICES, recipe, batch_size=10)
    gc.collect()
    assert len(data) == BATCHES
    assert data.element_spec[0].shape.as_list() == [None, 8, 8, 3]
    assert_equal_batches(arrays(data) + arrays(data) + arrays(data), whole)
    late = pipelines.fit_dataset(source, INDICES, recipe, batch_size=10, first_epoch=2)
    assert_equal_batches(arrays(late), whole[2 * BATCHES :])


def test_a_look_at_the_first_batch_skips_no_epoch() -> None:
    source, recipe = numbered(), Recipe((8, 8))
    whole = arrays(training_dataset(source, INDICES, recipe, batch_size=20, epochs=2))
    data = pipelines.fit_dataset(source, INDICES, recipe, batch_size=20)
    for _ in range(3):  # the other batch of the two is made ahead meanwhile
        assert_equal_batches(arrays(data.take(1)), whole[:1])
    assert_equal_batches(arrays(data) + arrays(data), whole)


def test_a_number_outside_its_range_is_named() -> None:
    with pytest.raises(ValueError, match="first_epoch: expected from 0"):
        pipelines.fit_dataset(numbered(), INDICES, Recipe((8, 8)), batch_size=8, first_epoch=-1)
    with pytest.raises(ValueError, match="batch_size: expected from 1"):
        pipelines.fit_dataset(numbered(), INDICES, Recipe((8, 8)), batch_size=0)
