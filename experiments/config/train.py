"""The train section: update rule, schedule, loss, and what else finds the weights."""

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
    CountOrZero,
    HeldOut,
    Limit,
    Probability,
    Section,
    Threads,
    without_defaults,
)


class Clip(Section):
    """Bound on the gradient of an update, before weight decay enters it: one of the three."""

    norm: PositiveFloat | None = Field(None, description="of each variable's gradient, L2")
    global_norm: PositiveFloat | None = Field(None, description="of all gradients together, L2")
    value: PositiveFloat | None = Field(None, description="of each element, in magnitude")

    @model_validator(mode="after")
    def _one_of_them(self) -> Clip:
        given = [name for name, bound in self if bound is not None]
        if len(given) != 1:
            raise ValueError(
                "expected one of norm, global_norm and value; "
                f"received {' and '.join(given) or 'none'}"
            )
        return self

    @property
    def bound(self) -> tuple[str, float]:
        """Its kind and how much it is."""
        [(kind, bound)] = [(name, bound) for name, bound in self if bound is not None]
        return kind, bound


class Averaging(Section):
    """Moving average of the weights: a <- momentum * a + (1 - momentum) * w after each update.

    Or their plain mean, a <- a + (w - a) / n at the n-th that counts.

    The averages stand in for the weights in whatever is measured and kept: validation, early
    stopping, predictions, layer statistics, the saved network, the test. Training goes on with the
    weights as they are, and train_loss is theirs. Batch normalisation scores with statistics of
    its own, moving averages of what the weights being trained gave.
    """

    kind: Literal["ema", "mean"] = Field(
        "ema",
        description="mean: of the weights after each update, all alike, as Polyak and Juditsky "
        "1992; momentum and warmup are of ema",
    )
    start: Annotated[int, Field(ge=0, le=10**9)] = Field(
        0, description="mean: updates before the first that counts"
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.999
    warmup: bool = Field(
        True,
        description="min(momentum, n / (n + 9)) at update n, as TensorFlow's num_updates, so that "
        "a short run does not end with its first weights; false: momentum from update 2 on",
    )

    @model_serializer(mode="wrap")
    def _without_what_is_not_set(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What came later, as in `Schedule`."""
        return without_defaults(self, serialise(self), ("kind", "start"))


class Factor(Section):
    """What the learning rate and weight decay of some weights are multiplied by."""

    rate: NonNegativeFloat = 1.0
    weight_decay: NonNegativeFloat = Field(1.0, description="of weights that `decay` names")


class Optimizer(Section):
    """Update rule. weight_decay is L2 in the gradient (the papers'), decoupled for adamw."""

    name: Literal["sgd", "rmsprop", "adagrad", "adam", "adamw"] = "sgd"
    learning_rate: PositiveFloat = 0.01
    learning_rate_scaling: Literal["none", "linear", "sqrt"] = Field(
        "none",
        description="the rate used is learning_rate times data.batch_size / learning_rate_for_batch"
        " (linear: Goyal et al. 2017), or its root (sqrt: Krizhevsky 2014); none: as written",
    )
    learning_rate_for_batch: Count | None = Field(
        None, description="batch that learning_rate was found for; with learning_rate_scaling"
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="sgd and rmsprop")
    nesterov: bool = Field(False, description="sgd")
    rho: Annotated[float, Field(gt=0, lt=1)] = Field(0.9, description="rmsprop")
    beta_1: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="adam, adamw")
    beta_2: Annotated[float, Field(ge=0, lt=1)] = Field(0.999, description="adam, adamw")
    epsilon: PositiveFloat = Field(
        1e-7,
        description="rmsprop: inside the root, g / sqrt(v + epsilon), as TensorFlow 1 and the "
        "Inceptions' 1.0; adagrad as well; adam, adamw: outside, m / (sqrt(v) + epsilon)",
    )
    initial_square: NonNegativeFloat = Field(
        0.0,
        description="rmsprop: mean square of the gradient before the first update; 1 in "
        "TensorFlow 1, which trained the Inceptions",
    )
    weight_decay: NonNegativeFloat = 0.0
    decay: Literal["kernels", "all"] = Field(
        "kernels",
        description="kernels: of convolutions and dense layers; not biases, scales, learned slopes",
    )
    factors: dict[str, Factor] = Field(
        default_factory=dict,
        description="by pattern of LAYER/WEIGHT, such as {'*bias': {rate: 2, weight_decay: 0}} of "
        "Caffe's AlexNet (lr_mult, decay_mult); those of all patterns that match are multiplied",
    )
    clip: Clip | None = None
    ema: Averaging | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_not_set(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What came later, as in `Schedule`."""
        return without_defaults(self, serialise(self), ("initial_square", "factors"))

    @model_validator(mode="after")
    def _scaling_has_its_batch(self) -> Optimizer:
        if (self.learning_rate_scaling == "none") != (self.learning_rate_for_batch is None):
            raise ValueError(
                "learning_rate_scaling and learning_rate_for_batch go together; received "
                f"{self.learning_rate_scaling} and {self.learning_rate_for_batch}; set "
                "such as linear and 256, or none and null"
            )
        for pattern, factor in self.factors.items():
            if self.name == "adamw" and factor.weight_decay not in (0, 1):
                raise ValueError(
                    f"factors: {pattern}: weight_decay of adamw is all or nothing, 1 or 0. "
                    f"Received: {factor.weight_decay:g}"
                )
        return self


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


class Loss(Section):
    name: Literal["cross_entropy", "hinge", "mean_squared_error", "map_criterion"] = "cross_entropy"
    label_smoothing: HeldOut = 0.0

    @model_validator(mode="after")
    def _smoothing_needs_cross_entropy(self) -> Loss:
        if self.label_smoothing and self.name != "cross_entropy":
            raise ValueError(
                f"label_smoothing is for cross_entropy; set it to 0 with name: {self.name}"
            )
        return self


SOFT_LOSSES = ("cross_entropy", "mean_squared_error")  # linear in the label, or nearly


class EarlyStopping(Section):
    """Stops when validation gets no better, and restores the best epoch's weights."""

    monitor: Literal["val_top1", "val_loss"] = Field(
        "val_top1", description="a reconstruction has val_loss only"
    )
    patience: Limit = 10
    min_delta: NonNegativeFloat = 0.0


class StageModel(Section):
    """The network of a stage."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class Stage(Section):
    """A network trained before the run itself; what has its layers' names and shapes goes on."""

    model: StageModel
    epochs: Count
    freeze: tuple[str, ...] = Field((), description="layer-name patterns, within this stage")


class Checkpoint(Section):
    """Snapshots of a run, from which the same command goes on after it was stopped anywhere.

    They change no result. The fits of a search have none but those of candidates that may be
    promoted to more epochs; its refits do.
    """

    every_seconds: NonNegativeFloat = Field(
        60.0, description="from one to the next, at least; 0: none"
    )
    keep: Limit = Field(2, description="the newest; each holds the best weights so far too")


class Train(Section):
    """How the weights are found."""

    epochs: CountOrZero = 10
    updates: Limit | None = Field(
        None,
        description="length in updates, in place of epochs; the last epoch may be a part of one",
    )
    optimizer: Optimizer = Field(default_factory=Optimizer)
    schedule: Schedule = Field(default_factory=Schedule)
    loss: Loss = Field(default_factory=Loss)
    class_weights: Literal["balanced"] | dict[str, PositiveFloat] | None = Field(
        None,
        description="weight of each class in the loss, 1 where none is named; rescaled to mean 1 "
        "over the training images, so that the learning rate keeps its meaning: of {a: 2} only the "
        "ratio to the other classes counts. balanced: images / (classes x images of the class)",
    )
    early_stopping: EarlyStopping | None = None
    accumulate: Count = Field(
        1,
        description="parts that a batch is shown in, to need less memory; their gradients make one "
        "update, that of the whole batch but for batch norm, whose statistics are of a part",
    )
    steps_per_execution: Count = Field(
        1,
        description="updates a call, where images come from files; changes no result (images held "
        "in memory have many updates a call as it is)",
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit: bool = Field(False, description="compile updates and scoring with XLA")
    devices: Literal["one", "all", "hosts", "tpu"] = Field(
        "one",
        description="what shares each batch of data.batch_size; all: the accelerators of this "
        "machine, else its processors; hosts: those in ILSVRC_HOSTS, see "
        "experiments/runtime/devices.py",
    )
    threads: Threads = Field(0, description="0: one a core")
    deterministic: bool = True
    initialize_from: str | None = Field(None, description="a run id or a .keras file")
    initialize_layers: tuple[str, ...] = Field(
        (),
        description="layer-name patterns of what initialize_from or a stage hands on, such as "
        "[conv1_1, conv2_1, conv3_*, fc*] of VGG's A; empty: every layer of equal name and shape",
    )
    allow_overlap: bool = Field(
        False,
        description="let initialize_from name a network that was trained on validation or test "
        "images of this run",
    )
    freeze: tuple[str, ...] = Field((), description="layer-name patterns, such as conv*")
    stages: tuple[Stage, ...] = Field(
        (),
        description="networks trained one after another before the run; layers of equal name and "
        "shape are carried on; as train otherwise, without early stopping",
    )
    layer_statistics: bool = Field(
        False,
        description="activations and gradients of every layer at the start and after each epoch, "
        "as layers.csv and layers.png",
    )
    checkpoint: Checkpoint = Field(default_factory=Checkpoint)

    @model_serializer(mode="wrap")
    def _with_one_length(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Updates, or epochs: of updates they follow from the images, which have a hash."""
        document: dict[str, Any] = serialise(self)
        document.pop("updates" if self.updates is None else "epochs", None)
        return without_defaults(self, document, ("initialize_layers",))

    @model_validator(mode="after")
    def _layers_come_from_somewhere(self) -> Train:
        if self.initialize_layers and not (self.initialize_from or self.stages):
            raise ValueError("initialize_layers needs initialize_from or stages; leave it out")
        return self

    @model_validator(mode="after")
    def _schedule_lasts(self) -> Train:
        if self.updates is not None:  # as many epochs as the images make of it
            return self
        if self.schedule.epochs is not None and self.schedule.epochs < self.epochs:
            raise ValueError(
                f"schedule.epochs: must last as long as the run, {self.epochs} epochs. "
                f"Received: {self.schedule.epochs}; raise it, or leave it out"
            )
        return self
