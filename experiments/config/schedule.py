"""The schedule of the train section: the learning rate over the run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from experiments.config.section import (
    MILLION,
    Count,
    Limit,
    Probability,
    Section,
    without_defaults,
)


class WarmUp(Section):
    """A rate to begin with, until the network errs less on its training images.

    Measured after each epoch, on the training images without augmentation: He et al. 2016, section
    4.2, begin ResNet-110 at 0.01 until the training error is below 80 %, about an epoch.
    """

    rate: PositiveFloat = Field(description="as learning_rate is written")
    until_train_error: Annotated[float, Field(gt=0, lt=1)]


def _by_position(boundaries: Any) -> Any:
    """Numbers as keys, which JSON makes words of, as words of one spelling in their order."""
    if not isinstance(boundaries, Mapping):
        return boundaries
    known = {}
    for at, rate in boundaries.items():
        try:
            position = float(at)
        except (TypeError, ValueError):
            position = math.nan
        if isinstance(at, bool) or not 0 < position <= 10**9:
            raise ValueError(f"expected numbers above 0 as keys. Received: {at}")
        known[position] = rate
    return {repr(at).removesuffix(".0"): known[at] for at in sorted(known)}


class Schedule(Section):
    """Learning rate over the run; every kind but one_cycle may start with a linear warm-up."""

    name: Literal[
        "constant",
        "step",
        "cosine",
        "plateau",
        "exponential",
        "polynomial",
        "piecewise",
        "one_cycle",
    ] = "constant"
    warmup_epochs: Annotated[float, Field(ge=0, le=MILLION)] = 0.0
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5, 0.75), description="step: fractions of the run after which the rate is multiplied"
    )
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(0.1, description="step and plateau")
    patience: Limit = Field(5, description="plateau: epochs without a better `monitor`")
    monitor: Literal["val_loss", "val_top1"] = Field(
        "val_loss",
        description="plateau: val_top1 is the validation error, as of AlexNet and VGG; a "
        "reconstruction has val_loss only",
    )
    smallest_rate: NonNegativeFloat = Field(
        0.0, description="plateau: no lower than this, as learning_rate is written"
    )
    final_fraction: Probability = Field(
        0.0,
        description="cosine: last rate over first; one_cycle: over the highest (PyTorch: 4e-6)",
    )
    epochs: Count | None = Field(
        None,
        description="length that it is made for, of a run that ends before; null: train.epochs",
    )
    rate: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="exponential: what the rate is multiplied by, such as 0.94"
    )
    every_epochs: PositiveFloat | None = Field(
        None, description="exponential: epochs from one multiplication to the next; or every_steps"
    )
    every_steps: Limit | None = Field(
        None, description="exponential: updates from one multiplication to the next"
    )
    staircase: bool = Field(
        True, description="exponential: all at once, as in the papers; false: a part every update"
    )
    power: PositiveFloat = Field(1.0, description="polynomial: 1 falls in a line, 0.5 as a root")
    boundaries: Annotated[dict[str, NonNegativeFloat], BeforeValidator(_by_position)] = Field(
        default_factory=dict,
        description="piecewise: {at: rate from there on, as learning_rate is written}, by how much "
        "was trained before, such as {30: 0.01, 60: 0.001}",
    )
    unit: Literal["epochs", "updates"] = Field(
        "epochs", description="piecewise: what boundaries count"
    )
    start_fraction: Probability = Field(0.04, description="one_cycle: first rate over the highest")
    peak_at: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.3, description="one_cycle: fraction of the run after which the rate is learning_rate"
    )
    end: NonNegativeFloat = Field(
        0.0, description="polynomial: rate after the last update, as learning_rate is written"
    )

    warmup: WarmUp | None = Field(
        None, description="{rate: 0.01, until_train_error: 0.8}, in place of warmup_epochs"
    )

    @model_validator(mode="after")
    def _kind_has_what_it_needs(self) -> Schedule:
        if self.name == "exponential":
            periods = [x for x in (self.every_epochs, self.every_steps) if x is not None]
            if self.rate is None or len(periods) != 1:
                raise ValueError(
                    "exponential needs rate and one of every_epochs and every_steps, "
                    "such as {name: exponential, rate: 0.94, every_epochs: 2}"
                )
        if self.name == "piecewise" and not self.boundaries:
            raise ValueError(
                "piecewise needs boundaries, such as {name: piecewise, boundaries: {30: 0.01}}"
            )
        if self.name == "one_cycle" and self.warmup_epochs:
            raise ValueError("one_cycle rises by itself: set peak_at, and warmup_epochs to 0")
        if self.warmup and (self.warmup_epochs or self.name == "one_cycle"):
            other = "warmup_epochs" if self.warmup_epochs else "one_cycle"
            raise ValueError(f"warmup and {other} exclude each other; leave one out")
        parts = [at for at in self.boundaries if not float(at).is_integer()]
        if self.unit == "updates" and parts:
            raise ValueError(
                f"boundaries: {parts[0]} is no whole number of updates; set unit: epochs"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_set(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What came later: without it, a config and its hashes are what they were before."""
        return without_defaults(self, serialise(self), SCHEDULE_CAME_LATER)


OVER_ITS_LENGTH = ("step", "cosine", "polynomial", "one_cycle")
"""Schedules whose first rates depend on how many there are."""
SCHEDULE_CAME_LATER = (
    "epochs", "rate", "every_epochs", "every_steps", "staircase", "power", "end", "boundaries",
    "unit", "start_fraction", "peak_at", "monitor", "smallest_rate",
    "warmup",
)  # fmt: skip
