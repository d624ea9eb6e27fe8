"""What an example is and how it becomes a batch. Importing it never imports TensorFlow."""

from __future__ import annotations

from pipelines import recipes, splits, statistics
from pipelines.sources import Source, SourceError, open_source
from pipelines.splits import SplitError

__all__ = [
    "Source",
    "SourceError",
    "SplitError",
    "open_source",
    "recipes",
    "splits",
    "statistics",
]
