"""What an example is and how it becomes a batch. Importing it never imports TensorFlow."""

from __future__ import annotations

from pipelines import splits, statistics
from pipelines.augment import recipes
from pipelines.build import evaluation_dataset, fit_dataset
from pipelines.errors import SourceError, SplitError
from pipelines.sources.array_source import ArraySource
from pipelines.sources.arrays.dataset import from_dataset
from pipelines.sources.base import Source
from pipelines.sources.open import open_source

__all__ = [
    "ArraySource",
    "Source",
    "SourceError",
    "SplitError",
    "evaluation_dataset",
    "fit_dataset",
    "from_dataset",
    "open_source",
    "recipes",
    "splits",
    "statistics",
]
