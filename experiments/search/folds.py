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

INNER_AGAIN = 6  # tag of the draws, beside those of jobs.folds
OUTER = 1  # the tag that pipelines.splits.nested gives the outer folds


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
    inner folds are reshuffled `repeats` times. Shared, they are the other outer folds in ascending
    order, over again for each repeat: `train` is all but the outer fold and the inner one.

    Raises:
        BadInput: a class has too few images.
    """
    settings = config.validation
    inner = settings.inner_apart
    official = source.official_splits or {}
    labels = np.asarray(source.labels)
    parts = [indices for name, indices in official.items() if name != "test"]
    pool = union(*parts) if parts else np.arange(len(labels))
    groups = duplicate_groups(config, source)
    try:
        if settings.inner == "shared":
            return _shared_folds(config, source, pool, groups)
        outer = pipelines.splits.nested(
            labels[pool],
            settings.outer,
            inner,
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
                    inner,
                    (settings.seed, INNER_AGAIN, at, repeat),
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


def _shared_folds(
    config: Config, source: Any, pool: np.ndarray, groups: np.ndarray | None
) -> list[Folds]:
    """The outer folds are those that inner folds of their own would have."""
    settings = config.validation
    parts = pipelines.splits.kfold(
        np.asarray(source.labels)[pool],
        settings.outer,
        (settings.seed, OUTER),
        groups=None if groups is None else groups[pool],
        class_names=source.class_names,
    )
    outer = [(pool[learning], pool[test]) for learning, test in parts]
    return [
        Folds(
            [
                (np.setdiff1d(learning, held), held)
                for at, (_, held) in enumerate(outer)
                if at != one
            ]
            * settings.repeats,
            learning,
            test,
        )
        for one, (learning, test) in enumerate(outer)
    ]


def final_folds(config: Config, source: Any, folds: Folds, inner: int | None = None) -> Folds:
    """All images that a search shares out, its test part too, for a fit that is not tested.

    Args:
        config: its validation.seed and repeats draw the folds.
        source: the images.
        folds: of any one outer fold, or of a plain search.
        inner: the number of folds that choose what is fitted; None: another search has chosen.

    Raises:
        BadInput: a class has too few images.
    """
    assert folds.test is not None
    settings, learning = config.validation, union(folds.learning, folds.test)
    if inner is None:
        return Folds([], learning, None)
    groups = duplicate_groups(config, source)
    try:
        pairs = [
            pair
            for repeat in range(settings.repeats)
            for pair in pipelines.splits.kfold(
                source.labels,
                inner,
                # outer folds are numbered from 0
                (settings.seed, INNER_AGAIN, settings.outer, repeat),
                indices=learning,
                groups=groups,
                class_names=source.class_names,
            )
        ]
    except pipelines.SplitError as error:
        raise BadInput(f"validation: {error}") from None
    return Folds(pairs, learning, None)
