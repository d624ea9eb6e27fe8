"""How the images of an epoch are cut into batches: never one of a few images at the end."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipelines.augment.recipes import Recipe
from pipelines.build import training_dataset
from pipelines.portions import edges, sizes
from pipelines.sources.open import open_source


@pytest.mark.parametrize(
    ("images", "batch", "each"),
    [
        (1079, 77, [77] * 13 + [39, 39]),  # one image was left over
        (1080, 77, [77] * 13 + [40, 39]),
        (154 + 15, 77, [77, 46, 46]),
        (154 + 16, 77, [77, 77, 16]),  # enough for a mean: as it was
        (154, 77, [77, 77]),
        (78, 77, [39, 39]),
        (3, 77, [3]),
        (10, 4, [4, 4, 2]),
        (9, 4, [4, 3, 2]),
        (5, 2, [2, 2, 1]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_a_last_batch_of_a_few_images_is_shared_with_the_one_before(images, batch, each):
    assert sizes(images, batch).tolist() == each
    assert edges(images, batch).tolist() == [0, *np.cumsum(each)]


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("count", [31, 33, 32, 41])
def test_batches_of_an_epoch_have_these_sizes_and_every_image_once(tmp_path, in_memory, count):
    for i in range(60):
        path = tmp_path / "set" / str(i % 3) / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (4 * i, 0, 0)).save(path)
    limit = 10**9 if in_memory else 0
    source = open_source(f"folder:{tmp_path / 'set'}", memory_limit_bytes=limit)
    assert (source.array is not None) == in_memory
    rows = np.arange(5, 5 + count)
    batches = list(
        training_dataset(source, rows, Recipe((8, 8), (), None, 3), batch_size=16, epochs=2)
    )
    expected = [*sizes(count, 16), *sizes(count, 16)]
    assert [len(labels) for _, labels in batches] == expected
    for half in (batches[: len(batches) // 2], batches[len(batches) // 2 :]):
        reds = np.concatenate([np.asarray(images)[:, 0, 0, 0] for images, _ in half])
        assert sorted(reds) == sorted(4 * (i // 20 + i % 20 * 3) for i in rows)
