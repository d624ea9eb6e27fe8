"""A functional network run layer by layer, on images of any size, with a hand on every layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from models.cost import nodes_in_order

Apply = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]
"""(layer, its arguments, its keywords) -> what the layer gives, or what stands in for it."""


def call(layer: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """What the layer itself gives."""
    return layer(*arguments, **keywords)


def forward(model: keras.Model, inputs: Sequence[Any], apply: Apply = call) -> list[Any]:
    """The outputs of a functional model, nested ones expanded, each layer called by `apply`.

    The inputs may be larger than those the model was built for, tensors or symbolic: sizes are
    each layer's own affair, not the model's.
    """
    values = {id(tensor): value for tensor, value in zip(model.inputs, inputs, strict=True)}
    for node in nodes_in_order(model):
        if node.is_input:
            continue
        if isinstance(node.operation, keras.Model):
            given = [values[id(tensor)] for tensor in node.input_tensors]
            made: Any = forward(node.operation, given, apply)
        else:
            made = apply(node.operation, *node.arguments.fill_in(values))
        for tensor, value in zip(node.outputs, keras.tree.flatten(made), strict=True):
            values[id(tensor)] = value
    return [values[id(tensor)] for tensor in model.outputs]


def steps(model: keras.Model) -> list[Any]:
    """The applications of layers (Keras's nodes) in order of computation, nested ones expanded."""
    nodes: list[Any] = []
    for node in nodes_in_order(model):
        if isinstance(node.operation, keras.Model):
            nodes += steps(node.operation)
        elif not node.is_input:
            nodes.append(node)
    return nodes
