"""The configuration: typed sections, written in YAML, overridable as key.path=value."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from experiments.search_config import Search
from experiments.sections import Fraction, Probability, Section
from experiments.steps import STEPS as STEPS
from experiments.steps import Augment

HeldOut = Annotated[float, Field(ge=0, lt=1)]
Size = PositiveInt | tuple[PositiveInt, PositiveInt]


class Data(Section):
    """What is trained on, and in which batches."""

    source: str = Field(
        "digits",
        description="digits, directions, synthetic:..., {folder,ilsvrc,prepared}:DIR, tfds:NAME",
    )
    image_size: Size | None = Field(
        None, description="pixels, side or [height, width]; null: the source's, else the network's"
    )
    channels: Literal[1, 3] | None = None
    batch_size: PositiveInt = 64
    eval_batch_size: PositiveInt = 256
    train_fraction: Fraction = Field(1.0, description="stratified part of the training data")
    crop_fraction: Fraction | None = Field(
        None, description="centre crop over short side in evaluation; null: 0.875 for photographs"
    )
    normalise: Literal["mean_std", "mean", "unit", "published"] | None = Field(
        None,
        description="mean_std, mean (as the papers, on 0..255): of the training part; unit: pixels "
        "/ 255; published: as model.weights expect; null: mean_std, unit for a reconstruction",
    )
    on_corrupt: Literal["error", "skip"] = "error"
    max_corrupt_fraction: HeldOut = 0.01
    max_pixels: PositiveInt = Field(
        178_956_970, description="height x width above which an image file counts as corrupt"
    )
    transfer: Literal["float32", "uint8"] = Field(
        "float32",
        description="training images as they go to the device; uint8: whole grey levels, "
        "and a pca_jitter at the end of augment is added on the device",
    )
    antialias: bool = Field(
        True, description="of training windows that shrink to less than half; false: faster"
    )
    threads: NonNegativeInt = Field(
        0, description="of the input pipeline alone; 0: TensorFlow's, shared with the network"
    )
    group_duplicates: bool = Field(
        True, description="identical images (same bytes) stay on one side of every split"
    )


class Model(Section):
    """An architecture of the registry and its options."""

    name: str = "lenet5"
    options: dict[str, Any] = Field(default_factory=dict)
    weights: str | None = Field(
        None,
        description="start from published weights: imagenet (Keras's), or a torchvision or timm "
        "file FILE.safetensors or FILE.pth; set data.normalise=published with them",
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

    The averages stand in for the weights in whatever is measured and kept: validation, early
    stopping, predictions, layer statistics, the saved network, the test. Training goes on with the
    weights as they are, and train_loss is theirs. Batch normalisation scores with statistics of
    its own, moving averages of what the weights being trained gave.
    """

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.999
    warmup: bool = Field(
        True,
        description="min(momentum, n / (n + 9)) at update n, as TensorFlow's num_updates, so that "
        "a short run does not end with its first weights; false: momentum from update 2 on",
    )


class Optimizer(Section):
    """Update rule. weight_decay is L2 in the gradient (the papers'), decoupled for adamw."""

    name: Literal["sgd", "rmsprop", "adagrad", "adam", "adamw"] = "sgd"
    learning_rate: PositiveFloat = 0.01
    learning_rate_scaling: Literal["none", "linear", "sqrt"] = Field(
        "none",
        description="the rate used is learning_rate times data.batch_size / learning_rate_for_batch"
        " (linear: Goyal et al. 2017), or its root (sqrt: Krizhevsky 2014); none: as written",
    )
    learning_rate_for_batch: PositiveInt | None = Field(
        None, description="batch that learning_rate was found for; with learning_rate_scaling"
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="sgd and rmsprop")
    nesterov: bool = Field(False, description="sgd")
    rho: Annotated[float, Field(gt=0, lt=1)] = Field(0.9, description="rmsprop")
    beta_1: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="adam, adamw")
    beta_2: Annotated[float, Field(ge=0, lt=1)] = Field(0.999, description="adam, adamw")
    epsilon: PositiveFloat = 1e-7
    weight_decay: NonNegativeFloat = 0.0
    decay: Literal["kernels", "all"] = Field(
        "kernels", description="kernels: not biases, not batch-norm scales"
    )
    clip: Clip | None = None
    ema: Averaging | None = None

    @model_validator(mode="after")
    def _scaling_has_its_batch(self) -> Optimizer:
        if (self.learning_rate_scaling == "none") != (self.learning_rate_for_batch is None):
            raise ValueError(
                "learning_rate_scaling and learning_rate_for_batch go together; received "
                f"{self.learning_rate_scaling} and {self.learning_rate_for_batch}; set "
                "such as linear and 256, or none and null"
            )
        return self


class Schedule(Section):
    """Learning rate over the run; every kind may start with a linear warm-up."""

    name: Literal["constant", "step", "cosine", "plateau"] = "constant"
    warmup_epochs: NonNegativeFloat = 0.0
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5, 0.75), description="step: fractions of the run after which the rate is multiplied"
    )
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(0.1, description="step and plateau")
    patience: PositiveInt = Field(5, description="plateau: epochs without a better val_loss")
    final_fraction: Probability = Field(0.0, description="cosine: last rate over first")


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
    patience: PositiveInt = 10
    min_delta: NonNegativeFloat = 0.0


class StageModel(Section):
    """The network of a stage."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class Stage(Section):
    """A network trained before the run itself; what has its layers' names and shapes goes on."""

    model: StageModel
    epochs: PositiveInt
    freeze: tuple[str, ...] = Field((), description="layer-name patterns, within this stage")


class Checkpoint(Section):
    """Snapshots of a run, from which the same command goes on after it was stopped anywhere.

    They change no result. The fits of a search have none; its refits do.
    """

    every_seconds: NonNegativeFloat = Field(
        60.0, description="from one to the next, at least; 0: none"
    )
    keep: PositiveInt = Field(2, description="the newest; each holds the best weights so far too")


class Train(Section):
    """How the weights are found."""

    epochs: NonNegativeInt = 10
    optimizer: Optimizer = Field(default_factory=Optimizer)
    schedule: Schedule = Field(default_factory=Schedule)
    loss: Loss = Field(default_factory=Loss)
    class_weights: Literal["balanced"] | dict[str, PositiveFloat] | None = None
    early_stopping: EarlyStopping | None = None
    accumulate: PositiveInt = Field(
        1,
        description="parts that a batch is shown in, to need less memory; their gradients make one "
        "update, that of the whole batch but for batch norm, whose statistics are of a part",
    )
    steps_per_execution: PositiveInt = Field(
        1,
        description="updates a call, where images come from files; changes no result (images held "
        "in memory have many updates a call as it is)",
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit: bool = Field(False, description="compile updates and scoring with XLA")
    devices: Literal["one", "all", "hosts", "tpu"] = Field(
        "one",
        description="what shares each batch of data.batch_size; all: the accelerators of this "
        "machine, else its processors; hosts: those in ILSVRC_HOSTS, see experiments/devices.py",
    )
    threads: NonNegativeInt = Field(0, description="0: one a core")
    deterministic: bool = True
    initialize_from: str | None = Field(None, description="a run id or a .keras file")
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


class Validation(Section):
    """Hold-out parts; official splits of the source are kept instead."""

    validation_fraction: HeldOut = 0.2
    test_fraction: HeldOut = 0.2
    seed: int = Field(1, description="of the split, apart from the run's seed")
    # What follows is read by `ilsvrc search` and `nested` alone: see PROTOCOL.
    folds: Annotated[int, Field(ge=2)] | None = Field(
        None, description="search: of the images that are not for the test; null: one hold-out"
    )
    repeats: PositiveInt = Field(1, description="of folds or hold-out, reshuffled each time")
    outer: Annotated[int, Field(ge=2)] = Field(5, description="nested: folds that test")
    inner: Annotated[int, Field(ge=2)] = Field(3, description="nested: folds that choose")

    @model_validator(mode="after")
    def _something_is_left(self) -> Validation:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction + test_fraction must stay below 1")
        return self


PROTOCOL = frozenset({"folds", "repeats", "outer", "inner"})
"""Keys of Validation that no single training run depends on."""


class Ensemble(Section):
    """Which networks `ilsvrc ensemble` averages."""

    kind: Literal["seeds", "top", "checkpoints"] = Field(
        "seeds",
        description="seeds: same settings, other initial weights and order of images; top: the "
        "best candidates of the config's finished search; checkpoints: late epochs of one run",
    )
    size: Annotated[int, Field(ge=2)] = Field(5, description="number of members")
    every: PositiveInt = Field(1, description="checkpoints: epochs from one to the next")


class Evaluate(Section):
    """How the trained network is scored."""

    dropout_samples: PositiveInt = Field(
        1,
        description="stochastic passes whose probabilities the final validation and test scores "
        "average; above 1 it needs model.options.monte_carlo",
    )
    # What follows is read by `ilsvrc evaluate` and `predict` alone: see AFTER_TRAINING.
    protocol: Literal["centre", "ten_crop", "alexnet", "144_crop", "multi_scale", "dense"] = Field(
        "centre", description="crops of an image whose probabilities are averaged"
    )
    sides: tuple[PositiveInt, ...] = Field(
        (), description="short sides to resize to, for a network of 224; empty: as the paper's"
    )
    part: Literal["train", "validation", "test", "all"] | None = Field(
        None,
        description="images to score; null: a run's test part, else the set's official test or "
        "validation part, else all",
    )
    classes: Literal["equal", "restrict", "map"] = Field(
        "equal",
        description="equal: network and set have the same classes; where the set has some of them, "
        "restrict: probabilities over these alone; map: over all, the others' count as wrong",
    )
    class_names: str | None = Field(
        None, description="file with the network's class names, a line each, in its order"
    )
    reuse: bool = Field(
        False, description="score runs by the predictions they kept, without their models"
    )
    ensemble: Ensemble | None = Field(None, description="for `ilsvrc ensemble`")


AFTER_TRAINING = frozenset(
    {"protocol", "sides", "part", "classes", "class_names", "reuse", "ensemble"}
)
"""Keys of Evaluate that no training run depends on."""


class Tracking(Section):
    uri: str | None = Field(None, description="null: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db")
    save_model: Literal["best", "last", "none"] = "last"
    system_metrics: bool = Field(True, description="load of this machine, every ten seconds")


class Launch(Section):
    """Where fits run. None of it changes a result, for the same number of threads."""

    executor: Literal["processes", "inline", "ray"] = "processes"
    workers: PositiveInt = 1
    runs_per_worker: PositiveInt | None = Field(
        None, description="runs after which a worker's process is replaced; null: never"
    )
    retries: NonNegativeInt | None = Field(
        None, description="of a run whose worker died; null: 2 with ray, where nodes go, else 0"
    )
    cpus: PositiveFloat | None = Field(
        None,
        description="cores of each worker, and its threads where train.threads is 0; null: this "
        "machine's divided by the workers, on an existing Ray cluster 1",
    )
    gpus: NonNegativeFloat | None = Field(
        None,
        description="of each worker, below 1 to share one; null: this machine's dealt out in "
        "turn, on an existing Ray cluster 0",
    )
    resources: dict[str, PositiveFloat] = Field(
        default_factory=dict, description="ray: what else each worker needs, such as {TPU: 4}"
    )
    address: str | None = Field(
        None,
        description="ray: auto, ray://HOST:10001 or HOST:6379; null starts a Ray of this machine",
    )
    grace_seconds: PositiveFloat = Field(
        20.0, description="that workers have, once asked to stop, to write their snapshots"
    )

    @model_validator(mode="after")
    def _one_executor(self) -> Launch:
        for key in ("address", "resources"):
            if getattr(self, key) and self.executor != "ray":
                raise ValueError(
                    f"{key} is Ray's, and the executor {self.executor}; set executor: ray, or "
                    f"leave {key} out"
                )
        return self


class Bench(Section):
    """How cost is measured: at the end of a run, and by `ilsvrc bench`."""

    latency_calls: PositiveInt = 50
    throughput_batches: PositiveInt = 5
    images: str | None = Field(
        None,
        description="pipeline: a folder of JPEG files, for all rows, or another source, for ours; "
        "null: drawn ones, which say little about photographs",
    )
    count: PositiveInt = Field(640, description="pipeline: images at most")
    rounds: PositiveInt = Field(5, description="of every row, interleaved")
    passes: PositiveInt = Field(1, description="pipeline: over the images, in each round")
    cores: tuple[PositiveInt, ...] = Field((1, 2), description="pipeline: numbers of cores")
    size: PositiveInt = 224
    batch_size: PositiveInt = 64
    only: tuple[str, ...] = Field((), description="names of rows; empty: all that can run")
    limit: str | None = Field(
        None, description="pipeline: C source of the decoder's limits, compiled where possible"
    )
    # What follows is read by `ilsvrc bench train` and `infer` alone: see OF_MODELS.
    names: tuple[str, ...] = Field(
        (), description="train, infer: architectures; empty: model.name. All take model.options"
    )
    batch_sizes: Annotated[tuple[PositiveInt | Literal["auto"], ...], Field(min_length=1)] = Field(
        (1, 8, 32, "auto"),
        description="train, infer: auto doubles from 1 until the memory ends, or the gain",
    )
    precisions: Annotated[
        tuple[Literal["float32", "bfloat16", "float16"], ...], Field(min_length=1)
    ] = Field(("float32", "bfloat16"), description="train, infer")
    seconds: NonNegativeFloat = Field(
        0.5, description="train, infer: of each row in each round, at least"
    )
    backends: tuple[Literal["tensorflow", "jax", "torch"], ...] = Field(
        (),
        description="train, infer: Keras's, side by side; empty: the one KERAS_BACKEND names",
    )
    peers: tuple[Literal["keras", "pytorch", "pytorch_bfloat16"], ...] = Field(
        (),
        description="train, infer: plain alternatives beside them: Keras's own loop; PyTorch "
        "channels last, bfloat16 by autocast; PyTorch with weights in bfloat16 too",
    )
    log: bool = Field(False, description="train, infer: the rows also as runs, level bench")


OF_MODELS = frozenset({"names", "batch_sizes", "precisions", "seconds", "backends", "peers", "log"})
"""Keys of Bench that no training run depends on."""


class Config(Section):
    """Everything that a run depends on."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "experiment"
    seed: NonNegativeInt = 1
    data: Data = Field(default_factory=Data)
    model: Model = Field(default_factory=Model)
    augment: Augment = Field(default_factory=Augment)
    train: Train = Field(default_factory=Train)
    validation: Validation = Field(default_factory=Validation)
    sweep: dict[str, list[Any]] = Field(default_factory=dict)
    search: Search | None = None
    evaluate: Evaluate = Field(default_factory=Evaluate)
    tracking: Tracking = Field(default_factory=Tracking)
    launch: Launch = Field(default_factory=Launch)
    bench: Bench = Field(default_factory=Bench)

    @field_validator("sweep")
    @classmethod
    def _axes_have_values(cls, axes: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for key, values in axes.items():
            if not values:
                raise ValueError(f"axis {key} has no values")
            if len({repr(v) for v in values}) < len(values):
                raise ValueError(f"axis {key} names a value twice: {values}")
        return axes

    @model_validator(mode="after")
    def _one_fit_a_candidate_for_hyperband(self) -> Config:
        folds, repeats = self.validation.folds, self.validation.repeats
        if self.search and self.search.strategy == "hyperband" and (folds or repeats > 1):
            raise ValueError(
                "search.strategy: hyperband stops candidates early on one score each, and folds "
                "give several; set validation.folds=null validation.repeats=1, or another strategy"
            )
        return self

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

    @model_validator(mode="after")
    def _validation_where_needed(self) -> Config:
        if self.train.early_stopping and not self.validation.validation_fraction:
            raise ValueError(
                "train.early_stopping needs validation images; set validation.validation_fraction"
            )
        if self.train.schedule.name == "plateau" and not self.validation.validation_fraction:
            raise ValueError(
                "train.schedule.name plateau needs validation images; "
                "set validation.validation_fraction"
            )
        return self
