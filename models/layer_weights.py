"""Weights of the layers written here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def add_weights(layer: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Weights in float32 under every dtype policy, as attributes of the layer, by name.

    Each is drawn by the layer's NAME_initializer; those in its `fixed_weights` are not trained.
    """
    for name, shape in shapes.items():
        weight = layer.add_weight(
            name=name,
            shape=shape,
            initializer=getattr(layer, f"{name}_initializer"),
            dtype="float32",
            trainable=name not in layer.fixed_weights,
            autocast=False,
        )
        setattr(layer, name, weight)
