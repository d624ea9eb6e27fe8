"""The weights of a network as a whole: drawn from a seed, frozen by name, copied from a file."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from experiments.errors import BadInput, FailedWork
from experiments.jobs import seed_for
from models.layers import Normalise


def leaves(layer: Any) -> Iterator[Any]:
    """The layers of a nested network that hold no layers themselves, in order."""
    inner = getattr(layer, "layers", None)
    if inner is None:
        yield layer
        return
    for child in inner:
        yield from leaves(child)


def draw(leaf: Any, seed: int) -> None:
    """Give a layer's weights and random states the values that `seed` and its name determine."""
    reseed(leaf, seed)
    for variable in leaf.weights:
        own = seed_for(seed, leaf.name, variable.name)
        initializer = getattr(leaf, f"{variable.name}_initializer", None)
        if initializer is None:
            raise FailedWork(
                f"layer {leaf.name} has no {variable.name}_initializer to draw {variable.path} from"
            )
        if hasattr(initializer, "seed"):
            initializer.seed = own
        variable.assign(initializer(variable.shape, variable.dtype))


def reseed(leaf: Any, seed: int) -> None:
    """Give a layer's random states alone, those of its SeedGenerators, the values that `seed` and
    its name determine."""
    weights = {id(w) for w in leaf.weights}
    for variable in leaf.variables:
        if id(variable) not in weights:
            own = seed_for(seed, leaf.name, variable.name)
            variable.assign(np.array([own, 0], dtype="uint32"))


def freeze(network: keras.Model, patterns: tuple[str, ...]) -> None:
    """Make the layers whose names match a pattern untrainable.

    Raises:
        BadInput: a pattern matches no layer.
    """
    for pattern in patterns:
        matching = [x for x in leaves(network) if fnmatch.fnmatchcase(x.name, pattern)]
        if not matching:
            names = ", ".join(x.name for x in leaves(network) if x.weights)
            raise BadInput(f"train.freeze: {pattern!r} matches no layer of {network.name}: {names}")
        for layer in matching:
            layer.trainable = False


Donors = Mapping[str, list[np.ndarray]]
"""Weights of layers by the layer's name, in the order of `layer.weights`."""


def donors(layers: Iterable[Any]) -> Donors:
    """A copy of the weights of layers, to be carried into another network.

    Not the Normalise layer's: the statistics of the training part are each run's own.
    """
    return {x.name: x.get_weights() for x in layers if x.weights and not isinstance(x, Normalise)}


def saved_donors(path: Path) -> Donors:
    """The weights of the layers of a .keras file.

    Raises:
        BadInput: the file is no Keras model.
    """
    try:
        saved = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"train.initialize_from: {path}: no Keras model ({reason})") from None
    return donors(leaves(saved))


def copy_weights(given: Donors, into: Iterable[Any]) -> int:
    """Copy layers of equal name and equal shapes; the rest keep their draw. Gives their number."""
    copied = 0
    for layer in into:
        weights = given.get(layer.name)
        if weights is None or isinstance(layer, Normalise):
            continue
        if [w.shape for w in weights] == [tuple(w.shape) for w in layer.weights]:
            layer.set_weights(weights)
            copied += 1
    return copied
