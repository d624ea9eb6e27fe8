"""A config as Python code gives it: a dict, a Config, a file, and changes by dotted keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.config import settings
from experiments.config.schema import Config
from experiments.errors import BadInput

Given = Config | Mapping[str, Any] | str | Path
"""Nested sections as in YAML, checked settings, or a YAML file or the name of a shipped one."""


def config_of(config: Given, changes: Mapping[str, Any] | None = None) -> Config:
    """The checked settings, with changes such as {"train.epochs": 5} applied in order.

    Values may be NumPy's.

    Raises:
        BadInput: the file is missing, or a key or value is wrong.
    """
    words = [f"{key}={_json(value)}" for key, value in (changes or {}).items()]
    if isinstance(config, str | Path):
        return settings.load(config, words)
    if isinstance(config, Config):
        raw = config.model_dump(mode="json")
    elif isinstance(config, Mapping):
        raw = json.loads(_json(config))
    else:
        raise BadInput(
            "config: expected a dict of sections, a Config, or a YAML file. "
            f"Received: {type(config).__name__}"
        )
    return settings.parse(settings.override(raw, words))


def name_of(config: Given) -> str:
    """What errors call it."""
    return str(config) if isinstance(config, str | Path) else "config"


def _json(value: Any) -> str:
    try:
        return json.dumps(value, default=_plain)
    except (TypeError, ValueError) as error:  # keys that are no text, a circle
        raise BadInput(f"config: {error}") from None


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's; paths and the like as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
