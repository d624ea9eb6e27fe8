"""Which images each fit of a search trains on and is scored by: index arrays, made once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import pipelines
from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.jobs.dataset import duplicate_groups
from experiments.jobs.folds import Pair, union, validation_folds

INNER = 6  # tag of the draws, beside those of jobs.folds


@dataclass(frozen=True)
class Folds:
    """What one search may see, and what it may not."""

    pairs: list[Pair]
    """(train, validation) of each fold."""
    learning: np.ndarray
    """Every image but the test images: what the winner is trained on in the end."""
    test: np.ndarray | None
    """Seen by the winner once, by no fold."""

    def ratio(self, train_fraction: float = 1.0) -> float:
        """Validation over training images, mean over folds."""
        shares = [len(held) / len(train) for train, held in self.pairs]
        return float(np.mean(shares)) / train_fraction


def search_folds(config: Config, source: Any) -> Folds:
    """The folds of `ilsvrc search`: over all images but the official or held-out test part; see
    `validation_folds`, which raises BadInput."""
    return Folds(*validation_folds(config, source))


def nested_folds(config: Config, source: Any) -> list[Folds]:
    """The outer folds of `ilsvrc nested`, each with its inner folds. Varma and Simon 2006.

    Every image is tested once, by one outer fold; an official test part stays out altogether. The
    inner folds are reshuffled `repeats` times.

    Raises:
        BadInput: a class has too few images.
    """
    settings = config.validation
    official = source.official_splits or {}
    labels = np.asarray(source.labels)
    parts = [indices for name, indices in official.items() if name != "test"]
    pool = union(*parts) if parts else np.arange(len(labels))
    groups = duplicate_groups(config, source)
    try:
        outer = pipelines.splits.nested(
            labels[pool],
            settings.outer,
            settings.inner,
            settings.seed,
            None if groups is None else groups[pool],
            class_names=source.class_names,
        )
    except pipelines.SplitError as error:
        raise BadInput(f"validation: {error}") from None
    return [
        Folds(
            [(pool[i.train], pool[i.validation]) for i in fold.inner]
            + [
                pair
                for repeat in range(1, settings.repeats)
                for pair in pipelines.splits.kfold(
                    source.labels,
                    settings.inner,
                    (settings.seed, INNER, at, repeat),
                    indices=pool[fold.learning],
                    groups=groups,
                    class_names=source.class_names,
                )
            ],
            pool[fold.learning],
            pool[fold.test],
        )
        for at, fold in enumerate(outer)
    ]
