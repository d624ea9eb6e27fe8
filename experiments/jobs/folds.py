"""Which images each fit on folds trains on and is scored by: index arrays, made once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import pipelines
from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.jobs.dataset import check_trainable, duplicate_groups, test_fraction
from pipelines.splits import Split

if TYPE_CHECKING:
    from tuning.statistics.significance import Interval

Pair = tuple[np.ndarray, np.ndarray]
REPEATS, KFOLD = 4, 5  # tags of the draws; pipelines.splits.resolve has 1 to 3
TEST_FOLDS, BESIDE = 7, 8  # of experiments.search.folds is 6


def splits(config: Config, source: Any) -> list[Split]:
    """The parts of each fit of a configuration on folds, thinned by `data.train_fraction`.

    `validation.test_folds`: each fold is the test part once, beside a validation part that is held
    out of the others. Otherwise each fold, or hold-out, is the validation part once, and all have
    one test part; the folds are those of `ilsvrc search`.

    Raises:
        BadInput: a class has too few images, or there is nothing to hold out.
    """
    if config.validation.test_folds is not None:
        made = list(_test_folds(config, source))
    else:
        pairs, _, test = validation_folds(config, source)
        made = [Split(train, held, test) for train, held in pairs]
    return [Split(thinned(config, source, s.train), s.validation, s.test) for s in made]


def held_out(config: Config) -> str:
    """The part that the folds share out: test, or validation as scores begin, val."""
    return "test" if config.validation.test_folds else "val"


def is_share(score: str) -> bool:
    """Is a score a share of images, by its name? A mean over classes is none."""
    return score.endswith(("top1", "top5")) and not score.endswith("balanced_top1")


def interval_of(
    scores: Sequence[float],
    train: Sequence[float],
    held: Sequence[float],
    images: int | None = None,
) -> Interval | None:
    """95 % interval of the score on new images, from those of folds, made by
    `tuning.statistics.intervals.of_folds`; None of a single fold, and where a score is no number.

    Args:
        scores: one a fold.
        train, held: images that each was trained on, and scored by.
        images: different ones in all folds, of a share of them; None of another score.
    """
    from tuning.statistics.intervals import of_folds

    if len(scores) < 2 or not all(map(math.isfinite, scores)):
        return None
    return of_folds(scores, trained=train, held=held, images=images)


def notes(config: Config, source: Any) -> list[str]:
    """What a user must know of the folds before believing their scores, a line each."""
    settings, train = config.validation, config.train
    lines = []
    if "validation" in (source.official_splits or {}):
        lines.append(
            f"{source.spec}: its own validation images are shared out among the folds with its "
            "training images"
        )
    looks = [
        key
        for key, does in (
            ("train.early_stopping", train.early_stopping is not None),
            ("train.schedule.name=plateau", train.schedule.name == "plateau"),
        )
        if does
    ]
    if looks and settings.test_folds is None:
        lines.append(
            f"{' and '.join(looks)}: looks at the fold that the network is then scored by, so that "
            "val scores are a little too good; validation.test_folds scores on images it never saw"
        )
    return lines


def validation_folds(
    config: Config, source: Any
) -> tuple[list[Pair], np.ndarray, np.ndarray | None]:
    """(train, validation) of each fold, all images but those of the test, and those of the test.

    `validation.folds` k: stratified k-fold, `repeats` times reshuffled. Without: the official
    validation part once, or `validation_fraction` held out, `repeats` times reshuffled (the first
    time as on a single split). Identical images stay together.

    Raises:
        BadInput: a class has too few images, or there is nothing to validate on.
    """
    check_trainable(source)
    settings = config.validation
    official = dict(source.official_splits or {})
    brought = "validation" in official and settings.repeats == 1  # else it is reshuffled
    if settings.folds is None and not (settings.validation_fraction or brought):
        raise BadInput(
            "validation: there are no images to validate on; set "
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
            return pairs, union(*pairs[0]), split.test
        # Folds share out everything but the test part, an official validation part included.
        held = official.pop("validation", None)
        split = resolve(0.0, official)
        learning = split.train if held is None else union(split.train, held)
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
    return pairs, learning, split.test


def _test_folds(config: Config, source: Any) -> Iterator[Split]:
    check_trainable(source)
    settings, official = config.validation, source.official_splits or {}
    assert settings.test_folds
    if "test" in official or source.headline == "validation":
        part = "test" if "test" in official else "validation"
        raise BadInput(
            f"validation.test_folds: {source.spec} has a {part} part of its own, which results are "
            "compared on; set validation.folds instead, which leaves the test to it"
        )
    rest = 1 - 1 / settings.test_folds
    if settings.validation_fraction >= rest:
        raise BadInput(
            f"validation.validation_fraction: {settings.validation_fraction:g} of all images "
            f"leaves nothing to train on beside a fold of 1/{settings.test_folds}; set less than "
            f"{rest:g}"
        )
    groups, pool = duplicate_groups(config, source), np.arange(len(source.labels))
    if official:
        pool = union(*official.values())
    try:
        for repeat in range(settings.repeats):
            folds = pipelines.splits.kfold(
                source.labels,
                settings.test_folds,
                (settings.seed, TEST_FOLDS, repeat),
                indices=pool,
                groups=groups,
                class_names=source.class_names,
            )
            for at, (learning, test) in enumerate(folds):
                if not settings.validation_fraction:
                    yield Split(learning, None, test)
                    continue
                train, validation = pipelines.splits.holdout(
                    source.labels,
                    settings.validation_fraction * len(pool) / len(learning),
                    (settings.seed, BESIDE, repeat, at),
                    indices=learning,
                    groups=groups,
                    class_names=source.class_names,
                )
                yield Split(train, validation, test)
    except pipelines.SplitError as error:
        raise BadInput(f"validation: {error}") from None


def thinned(config: Config, source: Any, train: np.ndarray) -> np.ndarray:
    """The stratified part of training images that `data.train_fraction` asks for."""
    fraction = config.data.train_fraction
    if fraction == 1.0:
        return train
    return pipelines.splits.subset(source.labels, train, fraction, (config.validation.seed, 3))


def union(*parts: np.ndarray) -> np.ndarray:
    """Indices of all parts, ascending."""
    return np.sort(np.concatenate(parts))
