"""Which settings change a result, and which the traced program: hashes of a config."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from experiments.config.bench import OF_MODELS
from experiments.config.evaluate import AFTER_TRAINING
from experiments.config.schema import PROTOCOL, TEST_FRACTION, Config
from experiments.config.train import Optimizer
from pipelines.augment.ops import OPS

IRRELEVANT: dict[str, Any] = {
    **dict.fromkeys(("tracking", "launch", "sweep", "search"), True),
    "data": {"verify"},
    "train": {"checkpoint", "steps_per_execution", "allow_overlap"},
    "validation": set(PROTOCOL),
    "evaluate": set(AFTER_TRAINING),
    "bench": set(OF_MODELS),
}
"""What of a config changes no result of a run, as `model_dump` leaves it out; of a run on folds
see `irrelevant`."""


def irrelevant(config: Config) -> dict[str, Any]:
    """IRRELEVANT, but for what tells a run on a fold, or on all, from one on a single split."""
    fold = config.validation.fold
    if fold is None:
        return IRRELEVANT
    tells = {"fold", "test_folds" if config.validation.test_folds else "folds"}
    if fold == "all":  # a fold is the same, however often it is reshuffled later
        tells.add("repeats")
    return IRRELEVANT | {"validation": set(PROTOCOL - tells)}


def config_hash(config: Config) -> str:
    """Twelve hex digits of everything that changes a result; tracking and launch do not."""
    return _digest(_that_matters(config))


def group_hash(config: Config) -> str:
    """config_hash without seed and fold: equal for what an error bar is made of."""
    matters = _that_matters(config)
    del matters["seed"]
    if config.validation.one_fold is not None:
        del matters["validation"]["fold"]
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
    return config.data.transfer == "uint8" and any(OPS[step.op].on_device for step in steps)


def _traced_optimizer(settings: Optimizer) -> dict[str, Any]:
    """Without what `optimizers.assign` sets; that there is any decay or momentum is traced."""
    rate = {"learning_rate", "learning_rate_scaling", "learning_rate_for_batch"}
    document = settings.model_dump(mode="json", exclude={*rate, "clip", "ema"})
    document["clip"] = settings.clip and settings.clip.bound[0]
    document["ema"] = settings.ema and settings.ema.warmup
    if settings.ema and settings.ema.kind == "mean":
        document["ema"] = ["mean", settings.ema.start]
    document["weight_decay"] = settings.name == "adamw" or settings.weight_decay > 0
    if settings.name == "sgd":
        document["momentum"] = settings.momentum > 0
    return document


def _that_matters(config: Config) -> dict[str, Any]:
    document = config.model_dump(mode="json", exclude=irrelevant(config))
    if document["validation"]["test_fraction"] is None:  # which it was before it could be open
        document["validation"]["test_fraction"] = TEST_FRACTION
    return document


def _digest(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
