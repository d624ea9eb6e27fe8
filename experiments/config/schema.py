"""The configuration: typed sections, written in YAML, overridable as key.path=value.

Each section is in the file of its name; `experiments.config` has all of their names.
"""

from __future__ import annotations

import warnings
from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, NonNegativeInt, model_serializer, model_validator

from experiments.config.augment import Augment
from experiments.config.bench import Bench
from experiments.config.data import Data
from experiments.config.evaluate import Evaluate
from experiments.config.launch import Launch
from experiments.config.search import Search
from experiments.config.section import AtLeastTwo, Count, CountOrZero, HeldOut, Section
from experiments.config.train import SOFT_LOSSES, Train


class Model(Section):
    """An architecture of the registry and its options."""

    name: str = "lenet5"
    options: dict[str, Any] = Field(default_factory=dict)
    weights: str | None = Field(
        None,
        description="start from published weights: imagenet (Keras's), or a torchvision or timm "
        "file FILE.safetensors or FILE.pth; set data.normalise=published with them",
    )


class Validation(Section):
    """Hold-out parts; official splits of the source are kept instead."""

    validation_fraction: HeldOut = 0.2
    test_fraction: HeldOut | None = Field(
        None,
        description="null: 0.2, or 0 where published results are of the set's own validation "
        "part (ilsvrc:)",
    )
    seed: int = Field(1, description="of the split, apart from the run's seed")
    # What follows says how many fits there are, and which of them this is: see PROTOCOL.
    folds: AtLeastTwo | None = Field(
        None,
        description="train, sweep, search: of the images that are not for the test, a fit on each; "
        "null: one hold-out",
    )
    repeats: Count = Field(
        1,
        description="of folds or hold-out, reshuffled each time; of shared ones with other weights",
    )
    test_folds: AtLeastTwo | None = Field(
        None,
        description="train, sweep: instead of folds; each is the test part once, with "
        "validation_fraction held out of the others; test_fraction is not used then",
    )
    fold: CountOrZero | Literal["all"] | None = Field(
        None, description="train, sweep: one of the folds alone, from 0; null or all: all of them"
    )
    outer: AtLeastTwo = Field(5, description="nested: folds that test")
    inner: Literal["shared"] | AtLeastTwo | None = Field(
        None,
        description="nested: folds that choose; shared: the other outer folds, each pair of which "
        "is left out of one fit that is scored on both; null: shared where that can be, else 3",
    )

    @property
    def fits(self) -> int:
        """Of a configuration that is trained on each fold, or on each hold-out."""
        return (self.folds or self.test_folds or 1) * self.repeats

    @property
    def inner_apart(self) -> int:
        """Inner folds of each outer fold where fits are not shared."""
        return self.inner if isinstance(self.inner, int) else INNER

    @property
    def one_fold(self) -> int | None:
        """The fold that a single fit is of; None where it is of none, or of all."""
        return self.fold if isinstance(self.fold, int) else None

    @model_validator(mode="after")
    def _folds_of_one_kind(self) -> Self:
        if self.folds and self.test_folds:
            raise ValueError(
                f"folds: {self.folds}, and test_folds: {self.test_folds}; folds are either for "
                "validation or for the test: leave one out"
            )
        if self.fold is not None and self.fits == 1:
            raise ValueError(f"fold: {self.fold}, and there are none; set folds, or leave it out")
        if self.one_fold is not None and self.one_fold >= self.fits:
            raise ValueError(
                f"fold: {self.fold} of {self.fits}, which are counted from 0; set "
                f"{self.fits - 1} or less"
            )
        return self


INNER = 3
"""What Validation.inner comes to where it is left open and cannot be shared."""
TEST_FRACTION = 0.2
"""What Validation.test_fraction comes to where it is left open and the source decides nothing."""
PROTOCOL = frozenset({"folds", "repeats", "test_folds", "fold", "outer", "inner"})
"""Keys of Validation that a training run depends on if it is of a fold or of all, and only then."""


class Seeds(Section):
    """Of the draws of a training one by one, where they are not to follow `seed`."""

    weights: NonNegativeInt | None = Field(None, description="of the initial weights; null: seed")
    order: NonNegativeInt | None = Field(
        None,
        description="of the order of the images, so of which ones share a batch and, in mixup and "
        "cutmix, a picture; null: seed",
    )
    augmentation: NonNegativeInt | None = Field(
        None, description="of the steps of augment; null: seed"
    )
    dropout: NonNegativeInt | None = Field(
        None,
        description="of dropout and other layers that draw, and of evaluate.dropout_samples; null: "
        "seed",
    )

    @property
    def given(self) -> dict[str, int]:
        """Those that are no null, by draw."""
        return {draw: seed for draw, seed in self if seed is not None}


Draw = Literal["weights", "order", "augmentation", "dropout"]
"""The fields of Seeds."""


class Tracking(Section):
    uri: str | None = Field(None, description="null: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db")
    save_model: Literal["best", "last", "none"] = "last"
    system_metrics: bool = Field(True, description="load of this machine, every ten seconds")


MOST_RUNS = 100_000  # of a sweep


class Until(Section):
    """When a sweep has seeds enough: as soon as every row is beaten or equivalent to the leader."""

    alpha: Annotated[float, Field(gt=0, le=0.5)] = Field(
        0.05, description="bound on the probability that anything wrong is said of any row"
    )
    margin: Annotated[float, Field(gt=0, lt=100)] | None = Field(
        0.5, description="points of accuracy that make no difference; null: rows are only beaten"
    )
    at_most: Annotated[int, Field(ge=2, le=MOST_RUNS)] = Field(20, description="seeds of a row")


class Sweep(Section):
    """Axes, each a dotted key of the config and its values; and when to stop adding seeds."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, list[Any]]
    until: Until | None = Field(
        None,
        description="sweep: add seeds until it is settled which rows are beaten; an axis seed then "
        "names those to begin with",
    )

    @property
    def axes(self) -> dict[str, list[Any]]:
        """Values by dotted key, in the order of the file."""
        return self.__pydantic_extra__

    @model_serializer(mode="wrap")
    def _without_until_if_there_is_none(self, write: Any) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        if self.until is None:
            del written["until"]
        return written

    @model_validator(mode="before")
    @classmethod
    def _axes_are_no_settings_of_launch(cls, axes: Any) -> Any:
        for key in axes if isinstance(axes, dict) else ():
            if key in Launch.model_fields:
                raise ValueError(f"{key} is no axis; write launch.{key}")
        return axes

    @model_validator(mode="after")
    def _axes_have_values(self) -> Self:
        for key, values in self.axes.items():
            if not values:
                raise ValueError(f"axis {key} has no values")
            if len({repr(v) for v in values}) < len(values):
                raise ValueError(f"axis {key} names a value twice: {values}")
        rows = prod(len(values) for key, values in self.axes.items() if key != "seed")
        seeds = len(self.axes.get("seed", [None]))
        runs = rows * max(seeds, self.until.at_most if self.until else 0)
        if runs > MOST_RUNS:
            raise ValueError(
                f"the axes come to {runs:,} runs, and {MOST_RUNS:,} are the most; name fewer "
                "values, or draw from them with `ilsvrc search`"
            )
        if self.until and seeds > self.until.at_most:
            raise ValueError(
                f"until.at_most: {self.until.at_most}, and the axis seed names {seeds} to begin "
                "with; raise it, or name fewer"
            )
        return self


NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
LONGEST_NAME = 200  # file systems take 255 bytes, and endings come behind it


class Config(Section):
    """Everything that a run depends on."""

    name: Annotated[str, Field(max_length=LONGEST_NAME, pattern=NAME)] = "experiment"
    seed: NonNegativeInt = 1
    data: Data = Field(default_factory=Data)
    model: Model = Field(default_factory=Model)
    augment: Augment = Field(default_factory=Augment)
    train: Train = Field(default_factory=Train)
    validation: Validation = Field(default_factory=Validation)
    seeds: Seeds = Field(default_factory=Seeds)
    sweep: Sweep = Field(default_factory=Sweep)
    search: Search | None = None
    evaluate: Evaluate = Field(default_factory=Evaluate)
    tracking: Tracking = Field(default_factory=Tracking)
    launch: Launch = Field(default_factory=Launch)
    bench: Bench = Field(default_factory=Bench)

    def seed_of(self, draw: Draw) -> int:
        """The seed that all draws of a kind come from."""
        return self.seeds.given.get(draw, self.seed)

    @model_validator(mode="after")
    def _one_fit_a_candidate_in_brackets(self) -> Self:
        protocol, search = self.validation, self.search
        if not search or not search.declaration.brackets:
            return self
        if not protocol.folds and protocol.repeats == 1:
            return self
        warnings.warn(
            "validation.folds and repeats are ignored: strategy "
            f"{search.strategy} stops candidates early on one score each",
            stacklevel=1,
        )
        single = protocol.model_copy(update={"folds": None, "repeats": 1, "fold": None})
        return self.model_copy(update={"validation": single})

    @model_validator(mode="after")
    def _soft_labels_where_possible(self) -> Config:
        if self.augment.mixes and self.train.loss.name not in SOFT_LOSSES:
            raise ValueError(
                f"train.loss.name: {self.train.loss.name} has one right class an image, and mixup "
                f"and cutmix give two; set {' or '.join(SOFT_LOSSES)}, or take the step out"
            )
        return self

    @model_validator(mode="after")
    def _accumulation_where_possible(self) -> Config:
        parts, batch = self.train.accumulate, self.data.batch_size
        if parts > batch:
            raise ValueError(
                f"train.accumulate: a batch of {batch} images has no {parts} parts; lower it, or "
                "raise data.batch_size"
            )
        if parts > 1 and self.train.jit:
            raise ValueError(
                "train.accumulate: XLA compiles no parts whose size varies; set train.jit=false, "
                "or train.accumulate=1"
            )
        return self
