"""The zoo: what each architecture is, what it costs, and how to build it.

Importing this package is free: Keras loads when a network is built or profiled.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models import weights
    from models.cards import ModelCard
    from models.cost import LayerProfile, Profile, profile
    from models.errors import InputTooSmall, InvalidOption, UnknownModel, UnknownOption
    from models.registry import build, card, list_models, outline

__all__ = [
    "InputTooSmall",
    "InvalidOption",
    "LayerProfile",
    "ModelCard",
    "Profile",
    "UnknownModel",
    "UnknownOption",
    "build",
    "card",
    "list_models",
    "outline",
    "profile",
    "weights",
]

_HOME = {
    "InputTooSmall": "errors",
    "InvalidOption": "errors",
    "LayerProfile": "cost",
    "ModelCard": "cards",
    "Profile": "cost",
    "UnknownModel": "errors",
    "UnknownOption": "errors",
    "build": "registry",
    "card": "registry",
    "list_models": "registry",
    "outline": "registry",
    "profile": "cost",
}


def __getattr__(name: str) -> Any:
    if name == "weights":
        return importlib.import_module("models.weights")
    if name not in _HOME:
        raise AttributeError(f"module 'models' has no attribute {name!r}")
    return getattr(importlib.import_module(f"models.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
