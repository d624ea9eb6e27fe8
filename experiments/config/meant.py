"""What was probably meant: well-known abbreviations, a section written as one value, a word that
the shell has cut, a name where a config belongs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from experiments.config.augment import STEPS
from experiments.config.schema import Config
from experiments.config.search import TYPES
from experiments.config.train import Factor, Stage, StageModel
from experiments.errors import nearest

ABBREVIATIONS = {
    "lr": "train.optimizer.learning_rate",
    "wd": "train.optimizer.weight_decay",
    "opt": "train.optimizer.name",
    "optim": "train.optimizer.name",
    "scheduler": "train.schedule.name",
    "lr_scheduler": "train.schedule.name",
    "warmup": "train.schedule.warmup_epochs",
    "num_epochs": "train.epochs",
    "bs": "data.batch_size",
    "batch": "data.batch_size",
    "dataset": "data.source",
    "data_dir": "data.source",
    "img_size": "data.image_size",
    "size": "data.image_size",
    "resolution": "data.image_size",
    "arch": "model.name",
    "architecture": "model.name",
    "network": "model.name",
    "pretrained": "model.weights",
    "dropout": "model.options.dropout",
    "aug": "augment.preset",
    "augmentation": "augment.preset",
    "label_smoothing": "train.loss.label_smoothing",
    "smoothing": "train.loss.label_smoothing",
    "clip_norm": "train.optimizer.clip.global_norm",
    "amp": "train.precision",
    "fp16": "train.precision",
    "gpu": "train.devices",
    "gpus": "train.devices",
    "num_workers": "launch.workers",
    "jobs": "launch.workers",
    "k": "validation.folds",
    "kfold": "validation.folds",
    "val_split": "validation.validation_fraction",
    "test_split": "validation.test_fraction",
}
"""Last words of keys in other tools, and the key here."""

NAMED_BY = {
    "data": "data.source",
    "model": "model.name",
    "augment": "augment.preset",
    "train.optimizer": "train.optimizer.name",
    "train.schedule": "train.schedule.name",
    "train.loss": "train.loss.name",
    "search": "search.strategy",
    "tracking": "tracking.uri",
    "launch": "launch.executor",
}
"""Sections that people name by one of their keys."""

CONFIGS = "experiments.configs"


def key_of_section(section: str, received: Any) -> str:
    """KEY=VALUE for a section that was given a word; empty for others."""
    if section not in NAMED_BY or not isinstance(received, str):
        return ""
    return f"{NAMED_BY[section]}={received}"


def setting_of_option(option: str) -> str:
    """What to write instead of an option that there is not, such as --epochs."""
    word = option.lstrip("-").replace("-", "_").lower()
    keys = [key for key in keys_of(Config) if key.split(".")[-1] == word]
    key = ABBREVIATIONS.get(word) or (keys[0] if keys else "")
    if not key:
        return f"no such option: {option}; settings are written key.path=value, without dashes"
    return f"no such option: {option}; settings are written key.path=value: {key}=..."


def cut_by_the_shell(word: str) -> bool:
    """Is this the first part of a value with spaces, such as `{preset: cifar}`, unquoted?"""
    return any(word.count(left) > word.count(right) for left, right in ("{}", "[]"))


def shipped() -> dict[str, Path]:
    """The configs that come with the package, by name, such as quickstart and ablations/depth."""
    root = Path(str(resources.files(CONFIGS)))
    files = sorted(root.rglob("*.yaml"))
    return {file.relative_to(root).with_suffix("").as_posix(): file for file in files}


def config_file(path: Path) -> Path:
    """The file itself, or where there is none the shipped config of this name."""
    if path.exists():
        return path
    name = path.as_posix().removesuffix(".yaml").removesuffix(".yml")
    return shipped().get(name, path)


def instead_of_config(path: Path) -> str:
    """What a name that is no config may be, as a hint; empty for what is like nothing known."""
    import models

    name = path.as_posix()
    if name in models.list_models():
        return f"{name} is an architecture: name a config, such as quickstart model.name={name}"
    close = nearest(name, shipped(), 3, 0.6)
    return f"shipped configs of such a name: {close}" if close else ""


def key_of(location: Sequence[Any]) -> list[str]:
    """The config key of a pydantic location, without the names of union members."""
    parts = []
    for at, part in enumerate(location):
        is_tag = (
            isinstance(part, str)
            and (
                part.startswith(("constrained-", "tuple[", "literal[", "dict[", "function-"))
                or part in ("int", "float", "str", "list")
                or (at == 3 and location[:2] == ("augment", "steps"))  # the op of a step
                or (at == 3 and location[:2] == ("search", "space"))  # the type of a parameter
            )
        )
        if not is_tag:
            parts.append(str(part))
    return parts


def nearest_key(location: Sequence[Any]) -> str:
    """What to say of a key that there is not, at a pydantic location."""
    *parents, last = key_of(location)
    if parents[:2] == ["augment", "steps"]:
        return _among(STEPS[location[3]], parents, last)
    if parents[:2] == ["train", "stages"]:
        return _among(StageModel if parents[-1] == "model" else Stage, parents, last)
    if parents[:3] == ["train", "optimizer", "factors"]:
        return _among(Factor, parents, last)
    if parents[:2] == ["search", "space"]:
        return _among(TYPES[location[3]], parents, last)
    if last.lower() in ABBREVIATIONS:
        return f"did you mean {ABBREVIATIONS[last.lower()]}?"
    siblings = list(_keys_below(parents))
    elsewhere = [key for key in keys_of(Config) if key.split(".")[-1] == last]
    close = nearest(last, siblings, 1, 0.6)
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    if close:
        return f"did you mean {'.'.join([*parents, close])}?"
    names = {key.split(".")[-1]: key for key in reversed(list(keys_of(Config)))}
    close = nearest(last, names, 1, 0.8)
    return f"did you mean {names[close]}?" if close else f"valid: {', '.join(siblings)}"


def _among(section: type[BaseModel], parents: list[str], last: str) -> str:
    siblings = list(section.model_fields)
    close = nearest(last, siblings, 1, 0.6)
    valid = ", ".join(siblings)
    return f"did you mean {'.'.join([*parents, close])}?" if close else f"valid: {valid}"


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted key of a section of the config, sections themselves too."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        for section in _sections(field.annotation):
            yield from keys_of(section, f"{prefix}{name}.")


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _sections(member)


def _keys_below(parents: list[str]) -> Iterator[str]:
    depth = len(parents)
    for key in keys_of(Config):
        parts = key.split(".")
        if parts[:depth] == parents and len(parts) == depth + 1:
            yield parts[-1]
