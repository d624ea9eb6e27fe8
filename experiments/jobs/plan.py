"""From a config to jobs: open the data, split it, settle what was left open, check it all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, Literal

import models
import pipelines
from experiments.config.augment import Augment
from experiments.config.data import Data
from experiments.config.identity import config_hash, graph_key
from experiments.config.schema import Config
from experiments.config.train import Loss, Train
from experiments.errors import BadInput
from experiments.jobs import baseline, pretrained
from experiments.jobs.composition import composition
from experiments.jobs.dataset import (
    PHOTOGRAPH_CROP,
    check_class_weights,
    image_size,
    open_source,
    reads_files,
    split_of,
    with_test_fraction,
)
from experiments.jobs.folds import splits
from experiments.jobs.job import FitPath, Job, run_directory
from experiments.jobs.length import with_epochs
from experiments.runtime.machine import check_holds
from experiments.runtime.startup import keras_backend, load_tensorflow
from models.registry import check_options
from pipelines.augment.ops import OPS

RESERVED = {
    "weights": "model.weights",
    "input_shape": "data.image_size",
    "classes": "data.source to images of so many classes",
}  # what models.build takes beside options


@dataclass(frozen=True)
class Plan:
    """One run, settled: the resolved config, its data and its split; of a run on all folds that
    of the first."""

    config: Config
    source: Any
    split: Any
    input_shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", with_epochs(self.config, len(self.split.train)))

    @property
    def classes(self) -> int:
        return len(self.source.class_names)

    @cached_property
    def parts(self) -> dict[str, dict[str, Any]]:
        """Where the images come from, as `composition`."""
        split = self.split
        return composition(self.source, split.train, split.validation, split.test)

    @property
    def to_beat(self) -> str:
        """What a network that has learnt nothing scores, in a line; empty where nothing tells."""
        return baseline.in_words(baseline.baselines(self.config, self.parts, self.classes))

    def job(self, path: FitPath, axes: Mapping[str, Any] | None = None) -> Job:
        """The fit that the plan describes; of one on a fold the path ends with it."""
        directory = run_directory(self.config.name, config_hash(self.config))
        fold = self.config.validation.one_fold
        return Job(
            path=path if fold is None else (*path, "fold", fold),
            config=self.config,
            train=self.split.train,
            validation=self.split.validation,
            test=self.split.test,
            graph_key=graph_key(self.config, self.input_shape, self.classes),
            directory=str(directory),
            axes=axes or {},
            fingerprint=self.source.fingerprint,
        )


def prepare(config: Config, source: Any = None, split: Any = None) -> Plan:
    """Check a config against its data and its network, and fill in what it leaves open.

    Args:
        config: as written.
        source: the opened source, where the caller has it already.
        split: its parts, where the caller has made them.

    Raises:
        BadInput: unknown architecture, images too small for it, a class with too few images, a
            step that does not suit the images, a backend that Keras cannot have.
    """
    config = check_settings(config)
    card = models.card(config.model.name)
    source = source or open_source(config.data)
    config = with_test_fraction(config, source)
    size = image_size(config, source, card)
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
            "search": None,
        }
    )
    if split is None and config.validation.fold is None:
        split = split_of(config, source)
    elif split is None:
        split = splits(config, source)[config.validation.one_fold or 0]
    _check_validation(config.train, split)
    if config.launch.executor != "ray":  # whose nodes may be larger
        _check_batches(config.data, len(split.train), (*size, source.image_shape[2]))
    check_class_weights(config, source)
    for name in (config.model.name, *(stage.model.name for stage in config.train.stages)):
        _check_size(size, models.card(name))
    return Plan(resolved, source, split, (*size, source.image_shape[2]))


def prepare_fits(
    config: Config, source: Any = None, known: dict[str, list[Any]] | None = None
) -> tuple[Plan, list[Plan]]:
    """The plan of a config, and those of its fits: itself alone, or one on each of its folds.

    Args:
        config: as written.
        source: the opened source, where the caller has it already.
        known: folds that were drawn before, which is added to; configs of one source share theirs.

    Raises:
        BadInput: as `prepare`, or there cannot be so many folds.
    """
    if config.validation.fits == 1 or config.validation.one_fold is not None:
        plan = prepare(config, source)
        return plan, [plan]
    if source is None:
        check_settings(config)
        source = open_source(config.data)
    whole, known = with_fold(config, "all"), {} if known is None else known
    key = config.validation.model_dump_json() + config.data.model_dump_json()
    if key not in known:
        known[key] = splits(whole, source)
    parts = known[key]
    plan = prepare(whole, source, parts[0])
    return plan, [
        replace(plan, config=with_fold(plan.config, number), split=split)
        for number, split in enumerate(parts)
    ]


def with_fold(config: Config, fold: int | Literal["all"]) -> Config:
    """The config of a run on one of its folds, or of the run above all of them."""
    validation = config.validation.model_copy(update={"fold": fold})
    return config.model_copy(update={"validation": validation})


def check_settings(config: Config) -> Config:
    """Check what is known without the images, before they are opened and TensorFlow is loaded.

    Returns:
        The config as `settled`.

    Raises:
        BadInput: as `prepare`.
    """
    keras_backend()  # refused before anything is tracked
    card = _card("model", config.model)
    config = settled(config, card)
    _check_options("model", config.model)
    cards = [card]
    for position, stage in enumerate(config.train.stages):
        where = f"train.stages.{position}.model"
        cards.append(_card(where, stage.model))
        _check_options(where, stage.model)
        if cards[-1].task != card.task:
            raise BadInput(
                f"{where}.name: {cards[-1].name} is a {cards[-1].task}, {card.name} a "
                f"{card.task}; a stage shares the run's loss"
            )
    if size := config.data.image_size:
        for each in cards:
            _check_size((size, size) if isinstance(size, int) else size, each)
    _check_transfer(config, steps_in(config))
    pretrained.check(config)
    if config.model.options and reads_files(config.data):  # which need TensorFlow themselves
        _check_assembles(config.model.name, json.dumps(config.model.options, sort_keys=True))
    return config


def _card(where: str, model: Any) -> Any:
    try:
        return models.card(model.name)
    except ValueError as error:
        raise BadInput(f"{where}.name: {error}") from None


def _check_options(where: str, model: Any) -> None:
    try:
        check_options(model.name, model.options)
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from None


@cache
def _check_assembles(name: str, options: str) -> None:
    """Values of a network's own options; at the size of its paper, as that of the images may not
    be known."""
    load_tensorflow()
    try:
        models.outline(name, **json.loads(options))
    except ValueError as error:
        raise BadInput(f"model: {error}") from None


def settled(config: Config, card: Any) -> Config:
    """The config with what depends on the network's task filled in, and what clashes refused.

    A reconstruction learns from the squared error of pixels of 0..1, and by default sees them so.

    Raises:
        BadInput: settings that exclude each other, or that the task has no use for.
    """
    train, model, samples = config.train, config.model, config.evaluate.dropout_samples
    for key, value in (("train.stages", train.stages), ("model.weights", model.weights)):
        if value and train.initialize_from:
            raise BadInput(f"{key} and train.initialize_from exclude each other; leave one out")
    if train.stages and model.weights:
        raise BadInput("train.stages and model.weights exclude each other; leave one out")
    for where, options in (
        ("model", model.options),
        *((f"train.stages.{i}.model", x.model.options) for i, x in enumerate(train.stages)),
    ):
        for name, instead in RESERVED.items():
            if name in options:
                raise BadInput(f"{where}.options.{name}: no option of a network; set {instead}")
    reconstructs = card.task == "reconstruction"
    if reconstructs:
        train = _of_reconstruction(train, card.name)
    if samples > 1 and not model.options.get("monte_carlo"):
        raise BadInput(
            f"evaluate.dropout_samples: {samples} passes differ only with dropout at inference; "
            "set model.options.monte_carlo=true"
        )
    if samples > 1 and train.loss.name != "cross_entropy":
        raise BadInput(
            "evaluate.dropout_samples averages probabilities, which train.loss.name="
            f"{train.loss.name} does not train; set cross_entropy"
        )
    normalise = config.data.normalise or ("unit" if reconstructs else "mean_std")
    data = config.data.model_copy(update={"normalise": normalise})
    return config.model_copy(update={"data": data, "train": train})


def _of_reconstruction(train: Train, name: str) -> Train:
    if train.early_stopping and train.early_stopping.monitor == "val_top1":
        raise BadInput(
            f"train.early_stopping.monitor: {name} is a reconstruction and has no val_top1; "
            "set train.early_stopping.monitor=val_loss"
        )
    if train.schedule.name == "plateau" and train.schedule.monitor == "val_top1":
        raise BadInput(
            f"train.schedule.monitor: {name} is a reconstruction and has no val_top1; "
            "set train.schedule.monitor=val_loss"
        )
    if train.schedule.warmup:
        raise BadInput(
            f"train.schedule.warmup: {name} is a reconstruction and has no training error; "
            "set train.schedule.warmup_epochs"
        )
    if train.class_weights is not None:
        raise BadInput(
            f"train.class_weights: {name} is a reconstruction and uses no classes; leave it out"
        )
    loss = train.loss
    if loss.name not in ("cross_entropy", "mean_squared_error") or loss.label_smoothing:
        raise BadInput(
            f"train.loss: {name} is a reconstruction and is trained on the squared error of "
            f"pixels. Received: {loss.name}, label_smoothing {loss.label_smoothing:g}; "
            "leave the section out"
        )
    return train.model_copy(update={"loss": Loss(name="mean_squared_error")})


def _check_batches(data: Data, images: int, shape: tuple[int, int, int]) -> None:
    each = math.prod(shape) * 4  # bytes in float32
    batches = {"batch_size": min(data.batch_size, images), "eval_batch_size": data.eval_batch_size}
    for key, count in batches.items():
        what = f"data.{key}: a batch of {count:,} images of {shape[0]}x{shape[1]}x{shape[2]}"
        check_holds(count * each, what)


def _check_validation(train: Train, split: Any) -> None:
    """Once it is known which parts the source brings, and which are held out."""
    waiting = {
        "train.early_stopping": train.early_stopping,
        "train.schedule.name plateau": train.schedule.name == "plateau",
    }
    for key, waits in waiting.items():
        if waits and split.validation is None:
            raise BadInput(
                f"{key} needs validation images, and the source brings none; "
                "set validation.validation_fraction=0.2"
            )


def _check_size(size: tuple[int, int], card: Any) -> None:
    smallest = card.smallest_input
    if size[0] < smallest[0] or size[1] < smallest[1]:
        raise BadInput(
            f"data.image_size: {card.name} takes images of {smallest[0]}x{smallest[1]} or larger. "
            f"Received: {size[0]}x{size[1]}; set data.image_size={max(smallest)} or more to enlarge"
        )


def steps_in(config: Config) -> tuple[Any, ...]:
    """The recipe's steps as config models, presets spelt out."""
    if config.augment.steps is not None:
        return tuple(config.augment.steps)
    preset = pipelines.recipes.PRESETS[config.augment.preset or "none"]
    return Augment.model_validate_json(json.dumps({"steps": preset})).steps or ()


def _check_transfer(config: Config, steps: Sequence[Any]) -> None:
    if config.data.transfer == "uint8" and any(OPS[step.op].on_device for step in steps[:-1]):
        raise BadInput(
            "data.transfer: uint8 leaves pca_jitter to the device, which comes after all else; "
            "make it the last step of augment, or set data.transfer=float32"
        )


def _steps(config: Config, source: Any) -> tuple[Any, ...]:
    """As `steps_in`, refused where they do not suit the images."""
    steps = steps_in(config)
    coloured = [step.op for step in steps if step.op in pipelines.recipes.COLOUR_OPS]
    if source.image_shape[2] != 3 and coloured:
        raise BadInput(
            f"augment: {coloured[0]} needs RGB images; {source.spec} has "
            f"{source.image_shape[2]} channel; take the step out"
        )
    return steps
