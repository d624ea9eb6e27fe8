"""The data section made real: source, image size, split, class weights, view."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

import pipelines
from experiments.config.data import Data
from experiments.config.schema import TEST_FRACTION, Config
from experiments.errors import BadInput, FailedWork, first_line
from experiments.runtime.startup import load_tensorflow
from pipelines.errors import DamageError
from pipelines.sources.some_classes import some_classes

PHOTOGRAPH_CROP = 0.875  # centre 224 of short side 256, the ILSVRC single-crop protocol


def open_source(data: Data) -> Any:
    """The source that the data section names.

    Raises:
        BadInput: it cannot be opened, or holds bad images.
    """
    if reads_files(data):
        load_tensorflow()  # it decodes them
    try:
        source = pipelines.open_source(
            data.source,
            on_corrupt=data.on_corrupt,
            max_corrupt_fraction=data.max_corrupt_fraction,
            channels=data.channels,
            max_pixels=data.max_pixels,
            verify=data.verify,
        )
        return source if data.classes is None else some_classes(source, data.classes)
    except ValueError as error:
        raise BadInput(f"data.source: {error}") from None


def reads_files(data: Data) -> bool:
    """Is the source more than images that are made, or that a library brings along?"""
    return data.source.partition(":")[0] not in ("digits", "directions", "synthetic")


@contextlib.contextmanager
def files_unchanged(source: Any) -> Iterator[None]:
    """Hold the files of a source against what they were when it was opened, once they were read.

    Raises:
        FailedWork: one has changed or gone, whatever became of the work, or the work failed by one
            that does not decode; it is named.
    """

    def check(but: str = "") -> None:
        try:
            source.check_unchanged()
        except pipelines.SourceError as change:
            raise FailedWork(f"data.source: {change}{but}") from None

    try:
        yield
    except (BadInput, FailedWork):
        raise
    except pipelines.SourceError as error:
        check()
        if isinstance(error, DamageError):
            raise FailedWork(f"data.source: {error}") from None
        raise
    except Exception as error:
        check(f" ({first_line(error)})")
        try:
            source.check_decodes(error)
        except DamageError as damage:
            raise FailedWork(f"data.source: {damage}") from None
        raise
    check()


def check_same_images(source: Any, fingerprint: str, since: str, change: str = "") -> None:
    """Refuse a source that no longer holds what it held.

    It may be known by the fingerprint of former versions, and keeps that one then: what goes on is
    compared with what was there before.

    Args:
        fingerprint: then; empty where it is not known.
        since: when that was, for the message.
        change: what is known to have changed; else the files are named that this opening met.

    Raises:
        BadInput: it holds something else.
    """
    if not fingerprint:
        return
    if source.is_known_as(fingerprint):
        source.go_on_as(fingerprint)
        return
    if source.changed and not change:
        change = source.changed[0]
        if len(source.changed) > 1:
            change += f" and {len(source.changed) - 1} more files"
    raise BadInput(
        f"data.source: {source.spec} has other contents than {since}"
        f"{f': {change}' if change else ''} (fingerprint "
        f"{fingerprint[:12]} then, {source.fingerprint[:12]} now); put the images back, or give "
        "the experiment another name to begin anew"
    )


def source_key(data: Data) -> str:
    """Equal for data sections that open the same source; what opens it (`verify`) is no part of it.

    Journals have it, and what they recorded must be met again.
    """
    keys = {"source", "channels", "on_corrupt", "max_corrupt_fraction", "max_pixels", "classes"}
    return data.model_dump_json(include=keys)


def test_fraction(config: Config, source: Any) -> float:
    """Share of the images that is held out as the test part of a source that brings none.

    Left open, nothing is of a set whose published results are of its own validation part.
    """
    fraction = config.validation.test_fraction
    if fraction is not None:
        return fraction
    return 0.0 if source.headline == "validation" else TEST_FRACTION


def with_test_fraction(config: Config, source: Any) -> Config:
    """The config with `validation.test_fraction` settled."""
    update = {"test_fraction": test_fraction(config, source)}
    return config.model_copy(update={"validation": config.validation.model_copy(update=update)})


def check_trainable(source: Any) -> None:
    """Refuse a set that was given out to be scored alone, such as ImageNet's validation part."""
    official = source.official_splits
    if official and "train" not in official:
        raise BadInput(
            f"data.source: {source.spec} has no training images, only {' and '.join(official)}; "
            "`ilsvrc evaluate` scores networks on it"
        )


def split_of(config: Config, source: Any) -> Any:
    """The parts of a run: official ones, and what is held out beside them."""
    check_trainable(source)
    try:
        return pipelines.splits.resolve(
            source.labels,
            source.official_splits,
            config.validation.validation_fraction,
            test_fraction(config, source),
            config.data.train_fraction,
            config.validation.seed,
            source.class_names,
            duplicate_groups(config, source),
        )
    except ValueError as error:
        raise BadInput(f"validation: {error}") from None


def view(config: Config) -> tuple[tuple[int, int], float]:
    """Size [height, width] and crop fraction of a resolved config."""
    size, crop_fraction = config.data.image_size, config.data.crop_fraction
    if not isinstance(size, tuple) or crop_fraction is None:
        raise FailedWork(
            "the config of a job must be resolved first (experiments.jobs.plan.prepare)"
        )
    return size, crop_fraction


def steps_of(config: Config) -> tuple[dict[str, Any], ...]:
    """The recipe's steps as the pipeline takes them."""
    return config.augment.as_data()


def duplicate_groups(config: Config, source: Any) -> np.ndarray | None:
    """A number an image, equal for identical images; None where there are none, or if not asked.

    Sources that know no digests are read for them, once; generated images have no copies.
    """
    if not config.data.group_duplicates:
        return None
    from pipelines.sources import duplicates

    return duplicates.groups(duplicates.content_digests(source))


def image_size(config: Config, source: Any, card: Any) -> tuple[int, int]:
    """[height, width] that the network sees: as set, else the source's, else the network's own."""
    wanted = config.data.image_size or source.default_size or card.input_shape[:2]
    height, width = (wanted, wanted) if isinstance(wanted, int) else wanted
    return int(height), int(width)


def class_weights(config: Config, source: Any, train: np.ndarray) -> np.ndarray | None:
    """Weight of each class in the loss, mean 1 over the training images; None for equal weights.

    `balanced` weighs by images / (classes x images of the class).
    """
    setting = config.train.class_weights
    if setting is None:
        return None
    counts = np.bincount(source.labels[train], minlength=len(source.class_names))
    if setting == "balanced":
        weights = counts.sum() / (len(counts) * np.maximum(counts, 1))
    else:
        weights = np.array([setting.get(name, 1.0) for name in source.class_names])
        weights = weights * counts.sum() / (weights * counts).sum()
    return np.asarray(weights, np.float32)


def check_class_weights(config: Config, source: Any) -> None:
    setting = config.train.class_weights
    if isinstance(setting, dict):
        unknown = sorted(set(setting) - set(source.class_names))
        if unknown:
            known = ", ".join(source.class_names[:20])
            raise BadInput(f"train.class_weights.{unknown[0]}: no such class. Classes: {known}")
