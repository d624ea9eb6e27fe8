"""From a config to jobs: open the data, split it, settle what was left open, check it all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

import models
import pipelines
from experiments.config import Augment, Config, Data
from experiments.errors import BadInput
from experiments.jobs import Job, config_hash, graph_key
from experiments.journal import of_run
from experiments.quiet import load_tensorflow

PHOTOGRAPH_CROP = 0.875  # centre 224 of short side 256, the ILSVRC single-crop protocol


@dataclass(frozen=True)
class Plan:
    """One run, settled: the resolved config, its data and its split."""

    config: Config
    source: Any
    split: Any
    input_shape: tuple[int, int, int]

    @property
    def classes(self) -> int:
        return len(self.source.class_names)

    def job(self, path: tuple[str | int, ...]) -> Job:
        """The fit that the plan describes."""
        journal = of_run(self.config.name, config_hash(self.config))
        return Job(
            path=path,
            config=self.config,
            train=self.split.train,
            validation=self.split.validation,
            test=self.split.test,
            graph_key=graph_key(self.config, self.input_shape, self.classes),
            directory=str(journal.directory),
        )


def open_source(data: Data) -> Any:
    """The source that the data section names.

    Raises:
        BadInput: it cannot be opened, or holds bad images.
    """
    if data.source.startswith("folder:"):
        load_tensorflow()  # it decodes the files
    try:
        return pipelines.open_source(
            data.source,
            on_corrupt=data.on_corrupt,
            max_corrupt_fraction=data.max_corrupt_fraction,
            channels=data.channels,
        )
    except ValueError as error:
        raise BadInput(f"data.source: {error}") from None


def prepare(config: Config, source: Any = None) -> Plan:
    """Check a config against its data and its network, and fill in what it leaves open.

    Args:
        config: as written.
        source: the opened source, where the caller has it already.

    Raises:
        BadInput: unknown architecture, images too small for it, a class with too few images, a
            step that does not suit the images.
    """
    try:
        card = models.card(config.model.name)
    except ValueError as error:
        raise BadInput(f"model.name: {error}") from None
    source = source or open_source(config.data)
    size = image_size(config, source, card)
    _check_size(config, size, card)
    varies = source.image_shape[0] is None
    crop_fraction = config.data.crop_fraction or (PHOTOGRAPH_CROP if varies else 1.0)
    steps = _steps(config, source)
    resolved = config.model_copy(
        update={
            "data": config.data.model_copy(
                update={
                    "source": source.spec,
                    "image_size": size,
                    "channels": source.image_shape[2],
                    "crop_fraction": crop_fraction,
                }
            ),
            "augment": config.augment.model_copy(update={"preset": None, "steps": steps}),
            "sweep": {},
        }
    )
    try:
        split = pipelines.splits.resolve(
            source.labels,
            source.official_splits,
            config.validation.validation_fraction,
            config.validation.test_fraction,
            config.data.train_fraction,
            config.validation.seed,
            source.class_names,
        )
    except ValueError as error:
        raise BadInput(f"validation: {error}") from None
    _check_class_weights(config, source)
    return Plan(resolved, source, split, (*size, source.image_shape[2]))


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


def _check_size(config: Config, size: tuple[int, int], card: Any) -> None:
    smallest = card.smallest_input
    if size[0] < smallest[0] or size[1] < smallest[1]:
        raise BadInput(
            f"data.image_size: {card.name} takes images of {smallest[0]}x{smallest[1]} or larger. "
            f"Received: {size[0]}x{size[1]}; set data.image_size={max(smallest)} or more to enlarge"
        )


def _steps(config: Config, source: Any) -> tuple[Any, ...]:
    """The recipe's steps as config models, presets spelt out."""
    if config.augment.steps is not None:
        steps = config.augment.steps
    else:
        preset = pipelines.recipes.PRESETS[config.augment.preset or "none"]
        steps = Augment.model_validate_json(json.dumps({"steps": preset})).steps or ()
    if source.image_shape[2] != 3 and any(step.op == "pca_jitter" for step in steps):
        raise BadInput(
            f"augment: pca_jitter needs RGB images; {source.spec} has "
            f"{source.image_shape[2]} channel; take the step out"
        )
    return steps


def _check_class_weights(config: Config, source: Any) -> None:
    setting = config.train.class_weights
    if isinstance(setting, dict):
        unknown = sorted(set(setting) - set(source.class_names))
        if unknown:
            known = ", ".join(source.class_names[:20])
            raise BadInput(f"train.class_weights.{unknown[0]}: no such class. Classes: {known}")
