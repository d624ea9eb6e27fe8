"""The seam between choosing, running and remembering: Job out, Outcome back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from experiments.config import AFTER_TRAINING, OF_MODELS, PROTOCOL, Config, Optimizer
from experiments.wording import run_title

Status = Literal["finished", "failed", "killed"]
IRRELEVANT: dict[str, Any] = {
    **dict.fromkeys(("tracking", "launch", "sweep", "search"), True),
    "train": {"checkpoint", "steps_per_execution"},
    "validation": set(PROTOCOL),
    "evaluate": set(AFTER_TRAINING),
    "bench": set(OF_MODELS),
}
"""What of a config changes no result of a run, as `model_dump` leaves it out."""


@dataclass(frozen=True)
class Job:
    """One fit, fully determined.

    `path` places it, such as ("outer", 2, "trial", 7, "fold", 1). `train`, `validation` and
    `test` are index arrays into the source, or None for a part that is not there.
    """

    path: tuple[str | int, ...]
    config: Config
    train: np.ndarray
    validation: np.ndarray | None
    test: np.ndarray | None
    graph_key: str
    directory: str
    """Where the fit leaves its model and predictions."""
    axes: Mapping[str, Any] = field(default_factory=dict)
    """What its sweep varies, by key."""
    measured: bool = True
    """Measure its cost and keep its model; False for the inner folds of a search."""
    checkpoints: tuple[int, ...] = ()
    """Epochs whose predictions are kept beside those of the last one."""

    @property
    def label(self) -> str:
        return run_title(self.config.model.name, self.config.seed, self.axes)


@dataclass
class Outcome:
    """What a fit gave. Accuracies are fractions; a part that was not there has no score."""

    path: tuple[str | int, ...]
    status: Status
    scores: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    """One dict an epoch, from epoch 1."""
    cost: dict[str, float] = field(default_factory=dict)
    predictions: str | None = None
    """File of validation and test predictions."""
    model: str | None = None
    """File of the trained network."""
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)
    """Small documents by file name, such as the statistics of the training part."""
    files: list[str] = field(default_factory=list)
    """Other files to keep with the run, such as pictures."""
    error: str | None = None
    bad_input: bool = False
    """The error is in what the user wrote, not in the work."""


def seed_for(root: int, *path: str | int) -> int:
    """A seed of its own for each named draw: 31 bits, never 0, stable over versions and machines.

    >>> seed_for(1, "weights") != seed_for(1, "data") != seed_for(2, "data")
    True
    """
    words = json.dumps([int(root), *path])
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big") % (2**31 - 1) + 1


def path_text(path: Iterable[str | int]) -> str:
    """A job's path as the tags of runs have it."""
    return "/".join(map(str, path))


def config_hash(config: Config) -> str:
    """Twelve hex digits of everything that changes a result; tracking and launch do not."""
    return _digest(_that_matters(config))


def group_hash(config: Config) -> str:
    """config_hash without the seed: equal for the repetitions that an error bar is made of."""
    matters = _that_matters(config)
    del matters["seed"]
    return _digest(matters)


def graph_key(config: Config, input_shape: tuple[int, int, int], classes: int) -> str:
    """Digest of what shapes the traced program.

    The learning rate and its schedule, how much weight decay, SGD's momentum, the bound on the
    gradient and the momentum of averages are, initial weights, statistics, data, batch size, the
    number of epochs and how the result is scored vary without a new trace; everything here does
    not.
    """
    train = config.train.model_dump(mode="json")
    return _digest(
        {
            "model": config.model.model_dump(mode="json", exclude={"weights"}),
            "stages": [
                {key: stage[key] for key in ("model", "freeze")} for stage in train["stages"]
            ],
            "input_shape": list(input_shape),
            "classes": classes,
            "optimizer": _traced_optimizer(config.train.optimizer),
            "loss": train["loss"],
            "weighted": train["class_weights"] is not None,
            "accumulate": train["accumulate"],
            "soft_labels": config.augment.mixes,
            "transfer": config.data.transfer,
            "offsets": offsets_apart(config),
            "freeze": train["freeze"],
            "precision": train["precision"],
            "jit": train["jit"],
            "devices": train["devices"],
            "threads": train["threads"],
            "deterministic": train["deterministic"],
        }
    )


def offsets_apart(config: Config) -> bool:
    """Do batches cross to the device as uint8 images and the colour offsets to be added there?"""
    steps = config.augment.steps or ()
    return config.data.transfer == "uint8" and any(step.op == "pca_jitter" for step in steps)


def _traced_optimizer(settings: Optimizer) -> dict[str, Any]:
    """Without what `optimizers.assign` sets; that there is any decay or momentum is traced."""
    rate = {"learning_rate", "learning_rate_scaling", "learning_rate_for_batch"}
    document = settings.model_dump(mode="json", exclude={*rate, "clip", "ema"})
    document["clip"] = settings.clip and settings.clip.bound[0]
    document["ema"] = settings.ema and settings.ema.warmup
    document["weight_decay"] = settings.name == "adamw" or settings.weight_decay > 0
    if settings.name == "sgd":
        document["momentum"] = settings.momentum > 0
    return document


def _that_matters(config: Config) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude=IRRELEVANT)


def _digest(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
