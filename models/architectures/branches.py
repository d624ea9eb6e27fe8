"""Inception modules as tables: branches of one map, side by side, stacked along the channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from keras import layers

from models.architectures.blocks import Blocks

VALID = "valid"  # the figures' V: no padding


class Conv(NamedTuple):
    """A convolution; `size` is the side of its kernel, or height and width."""

    filters: int
    size: int | tuple[int, int] = 1
    strides: int = 1
    padding: str = "same"


class Pool(NamedTuple):
    """Windows of 3 x 3."""

    mode: str
    strides: int
    padding: str


AVERAGE = Pool("average", 1, "same")
SHRINK = Pool("max", 2, VALID)

Branch = tuple[Conv | Pool | tuple[Conv, Conv], ...]
"""From input to output; a pair stands side by side, and ends the branch."""


def apply(net: Blocks, x: Any, step: Conv | Pool, *, name: str) -> Any:
    """One row of a table: layers `name` for a pool, `name`_conv, _bn and _act for a convolution."""
    if isinstance(step, Pool):
        return net.pool(x, 3, step.strides, mode=step.mode, padding=step.padding, name=name)
    return net.conv(
        x,
        step.filters,
        step.size,
        strides=step.strides,
        padding=step.padding,
        name=f"{name}_conv",
    )


def module(
    net: Blocks, x: Any, branches: Mapping[str, Branch], *, first: int = 1, name: str
) -> Any:
    """All branches of x, concatenated in their order: (b, h, w, c) -> (b, h', w', sum of filters).

    A branch's convolutions are `name`_`branch`_`number`, numbers from `first`, the pair at its end
    with a and b; without a number if there is one only. The pool is `name`_pool, the result `name`.
    """
    outputs = []
    for branch, steps in branches.items():
        y = x
        for label, step in labelled(f"{name}_{branch}", steps, first):
            if isinstance(step, (Conv, Pool)):
                y = apply(net, y, step, name=f"{name}_pool" if isinstance(step, Pool) else label)
            else:
                ends = zip("ab", step, strict=True)
                outputs += [apply(net, y, end, name=label + letter) for letter, end in ends]
                break
        else:
            outputs.append(y)
    return layers.Concatenate(name=name)(outputs)


def labelled(name: str, branch: Branch, first: int) -> list[tuple[str, Any]]:
    """The steps of a branch, each with its label; a pool's is of no use."""
    alone = sum(not isinstance(step, Pool) for step in branch) == 1
    labels, number = [], first
    for step in branch:
        labels.append((name if alone else f"{name}_{number}", step))
        number += not isinstance(step, Pool)
    return labels


def stems(branches: Mapping[str, Branch], *, first: int = 1, name: str) -> list[str]:
    """Names of a module's convolutions without their "_conv", in the order of its table."""
    names = []
    for branch, steps in branches.items():
        for label, step in labelled(f"{name}_{branch}", steps, first):
            if isinstance(step, Conv):
                names.append(label)
            elif not isinstance(step, Pool):
                names += [label + letter for letter in "ab"]
    return names
