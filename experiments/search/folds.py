"""Which images each fit of a search trains on and is scored by: index arrays, made once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import pipelines
from experiments.config.schema import INNER, Config
from experiments.errors import BadInput
from experiments.jobs.dataset import check_trainable, duplicate_groups, test_fraction

Pair = tuple[np.ndarray, np.ndarray]
REPEATS, KFOLD, INNER_AGAIN = 4, 5, 6  # tags of the draws; pipelines.splits.resolve has 1 to 3
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
    """The folds of `ilsvrc search`: over all images but the official or held-out test part.

    `validation.folds` k: stratified k-fold, `repeats` times reshuffled. Without: the official
    validation part once, or `validation_fraction` held out, `repeats` times reshuffled (the first
    time as `ilsvrc train` holds it out). Identical images stay together.

    Raises:
        BadInput: a class has too few images, or there is nothing to validate on.
    """
    check_trainable(source)
    settings = config.validation
    official = dict(source.official_splits or {})
    brought = "validation" in official and settings.repeats == 1  # else it is reshuffled
    if settings.folds is None and not (settings.validation_fraction or brought):
        raise BadInput(
            "validation: a search needs images to validate on; set "
            "validation.validation_fraction=0.2 or validation.folds=3"
        )
    groups = duplicate_groups(config, source)

    def resolve(fraction: float, given: dict[str, np.ndarray]) -> Any:
        return pipelines.splits.resolve(
            source.labels,
            given,
            fraction,
            test_fraction(config, source),
            None,
            settings.seed,
            source.class_names,
            groups,
        )

    try:
        if settings.folds is None and settings.repeats == 1:
            split = resolve(settings.validation_fraction, official)
            pairs = [(split.train, split.validation)]
            return Folds(pairs, _union(*pairs[0]), split.test)
        # Folds share out everything but the test part, an official validation part included.
        held = official.pop("validation", None)
        split = resolve(0.0, official)
        learning = split.train if held is None else _union(split.train, held)
        pairs = []
        for repeat in range(settings.repeats):
            if settings.folds is not None:
                pairs += pipelines.splits.kfold(
                    source.labels,
                    settings.folds,
                    (settings.seed, KFOLD, repeat),
                    indices=learning,
                    groups=groups,
                    class_names=source.class_names,
                )
            elif repeat == 0 and held is None:
                first = resolve(settings.validation_fraction, official)
                pairs.append((first.train, first.validation))
            else:
                pool = len(official.get("train", source.labels)) + (
                    0 if held is None else len(held)
                )
                pairs.append(
                    pipelines.splits.holdout(
                        source.labels,
                        settings.validation_fraction * pool / len(learning),
                        (settings.seed, REPEATS, repeat),
                        indices=learning,
                        groups=groups,
                        class_names=source.class_names,
                    )
                )
    except pipelines.SplitError as error:
        raise BadInput(f"validation: {error}") from None
    return Folds(pairs, learning, split.test)


def nested_folds(config: Config, source: Any) -> list[Folds]:
    """The outer folds of `ilsvrc nested`, each with its inner folds. Varma and Simon 2006.

    Every image is tested once, by one outer fold; an official test part stays out altogether. The
    inner folds are reshuffled `repeats` times. Shared, they are the other outer folds in ascending
    order, over again for each repeat: `train` is all but the outer fold and the inner one.

    Raises:
        BadInput: a class has too few images.
    """
    settings = config.validation
    shared = settings.inner == "shared"
    inner = INNER if settings.inner in (None, "shared") else int(settings.inner)
    official = source.official_splits or {}
    labels = np.asarray(source.labels)
    parts = [indices for name, indices in official.items() if name != "test"]
    pool = _union(*parts) if parts else np.arange(len(labels))
    groups = duplicate_groups(config, source)
    try:
        if shared:
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
    settings, learning = config.validation, _union(folds.learning, folds.test)
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
                (settings.seed, INNER, settings.outer, repeat),  # outer folds are numbered from 0
                indices=learning,
                groups=groups,
                class_names=source.class_names,
            )
        ]
    except pipelines.SplitError as error:
        raise BadInput(f"validation: {error}") from None
    return Folds(pairs, learning, None)


def thinned(config: Config, source: Any, train: np.ndarray) -> np.ndarray:
    """The stratified part of training images that `data.train_fraction` asks for."""
    fraction = config.data.train_fraction
    if fraction == 1.0:
        return train
    return pipelines.splits.subset(source.labels, train, fraction, (config.validation.seed, 3))


def _union(*parts: np.ndarray) -> np.ndarray:
    return np.sort(np.concatenate(parts))
