"""Small sources in memory, and the batches that training has of them."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines import build, statistics
from pipelines.augment.recipes import Recipe
from pipelines.sources.array_source import ArraySource
from pipelines.sources.base import Source
from pipelines.sources.open import open_source

if TYPE_CHECKING:
    import tensorflow as tf

INDICES = np.random.default_rng(0).permutation(60)[:37]


def numbered(n: int = 60, size: int = 8) -> ArraySource:
    """Image i is filled with i, so that a batch tells which images it holds."""
    pixels = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, size, size, 3), np.uint8
    )
    return ArraySource(pixels, np.arange(n) % 5, list("abcde"))


def noisy() -> Source:
    """60 images of which no two pixels are alike."""
    return open_source("synthetic:classes=5,size=8,examples=60")


def train(source: Source, steps: Any = (), **changes: Any) -> tf.data.Dataset:
    """Batches of `indices`; `part` is what the statistics are of, if not these."""
    settings: dict[str, Any] = {"size": (8, 8), "batch_size": 10, "epochs": 3} | changes
    indices = settings.pop("indices", INDICES)
    colours = statistics.fit(source, settings.pop("part", indices)).colours
    of_recipe = {f.name: settings.pop(f.name) for f in fields(Recipe) if f.name in settings}
    recipe = Recipe(steps=steps, colours=colours, **of_recipe)
    return build.training_dataset(source, indices, recipe, **settings)
