"""The weights of a network as a whole: drawn from a seed, frozen by name, copied from a file."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
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
    weights = {id(w) for w in leaf.weights}
    for variable in leaf.variables:
        own = seed_for(seed, leaf.name, variable.name)
        if id(variable) not in weights:
            variable.assign(np.array([own, 0], dtype="uint32"))  # the state of a SeedGenerator
            continue
        initializer = getattr(leaf, f"{variable.name}_initializer", None)
        if initializer is None:
            raise FailedWork(
                f"layer {leaf.name} has no {variable.name}_initializer to draw {variable.path} from"
            )
        if hasattr(initializer, "seed"):
            initializer.seed = own
        variable.assign(initializer(variable.shape, variable.dtype))


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


def copy_weights(path: Path, into: list[Any]) -> int:
    """Copy layers of equal name and equal shapes from a .keras file; the rest keep their draw.

    Raises:
        BadInput: the file is no Keras model, or no layer fits.
    """
    try:
        saved = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"train.initialize_from: {path}: no Keras model ({reason})") from None
    donors = {layer.name: layer for layer in leaves(saved)}
    copied = 0
    for layer in into:
        donor = donors.get(layer.name)
        # The statistics of the training part are this run's own.
        if donor is None or isinstance(layer, Normalise) or not layer.weights:
            continue
        if [w.shape for w in donor.weights] == [w.shape for w in layer.weights]:
            layer.set_weights(donor.get_weights())
            copied += 1
    if not copied:
        raise BadInput(f"train.initialize_from: no layer of {path} has the name and shape of ours")
    return copied
