"""The weights of a network as a whole: drawn from a seed, frozen by name, copied from a file."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import models
from experiments.errors import BadInput, FailedWork, first_line
from experiments.jobs.job import seed_for
from experiments.jobs.pretrained import IMAGENET
from experiments.training.keras_file import load_network
from models.layers.initializers import FanInUniform
from models.layers.normalizations import Normalise


def load(weights: str, network: keras.Model, classes: int) -> None:
    """Give a freshly drawn network published weights; with Keras's, other classes keep a drawn top.

    Images stay RGB: where the weights were trained on BGR, the first kernel is turned around.

    Raises:
        BadInput: the weights are not this network's.
        FailedWork: they could not be fetched.
    """
    import models.weights as published

    try:
        if weights == IMAGENET:
            published.load_imagenet(network, top=classes == 1000)
            entry = (models.card(network.name).preprocessing or {}).get("Keras", {})
            if entry.get("channels") == "BGR":
                _reverse_channels(network)
        else:
            published.load_checkpoint(weights, network)
    except (ValueError, ImportError) as error:
        raise BadInput(f"model.weights: {first_line(error)}") from None
    except OSError as error:
        raise FailedWork(f"model.weights: {first_line(error)}") from None


def _reverse_channels(network: keras.Model) -> None:
    first = next(x for x in network.layers if hasattr(x, "kernel") and x.kernel.shape[-2] == 3)
    first.kernel.assign(np.asarray(first.kernel)[:, :, ::-1, :])


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
        _draw(leaf, variable, seed_for(seed, leaf.name, variable.name))


def _draw(leaf: Any, variable: Any, seed: int | keras.random.SeedGenerator) -> None:
    initializer = _initializer(leaf, variable)
    _set_seed(initializer, seed)
    variable.assign(initializer(variable.shape, variable.dtype))


def _set_seed(initializer: Any, seed: int | keras.random.SeedGenerator) -> None:
    if hasattr(initializer, "seed"):
        initializer.seed = seed


def _initializer(leaf: Any, variable: Any) -> Any:
    initializer = getattr(leaf, f"{variable.name}_initializer", None)
    if initializer is None:
        raise FailedWork(
            f"layer {leaf.name} has no {variable.name}_initializer to draw {variable.path} from"
        )
    return initializer


class Drawing:
    """Every weight and random state of a network drawn anew, with what `draw` would give.

    On TensorFlow the second drawing and those that follow are one compiled call. `and_then` is part
    of it: what else starts afresh.
    """

    def __init__(self, layers: Sequence[Any], and_then: Callable[[], None]):
        self.layers, self.and_then = layers, and_then
        weights = [(leaf, v) for leaf in layers for v in leaf.weights]
        self._compilable = [x for x in weights if _takes_traced_seed(_initializer(*x))]
        compilable = {id(v) for _, v in self._compilable}
        self._others = [x for x in weights if id(x[1]) not in compilable]
        self._compiled: Callable[[Any], None] | None = None
        self._first = True

    def __call__(self, seed: int) -> None:
        if self._first or keras.backend.backend() != "tensorflow":
            self._first = False
            for leaf in self.layers:
                draw(leaf, seed)
            self.and_then()
            return
        for leaf, variable in self._others:
            _draw(leaf, variable, seed_for(seed, leaf.name, variable.name))
        named = [*self._compilable, *((leaf, v) for leaf in self.layers for v in _states(leaf))]
        seeds = [seed_for(seed, leaf.name, variable.name) for leaf, variable in named]
        self._compiled = self._compiled or self._compile()
        self._compiled(np.array(seeds, np.int64))
        # As `draw` leaves it: no tensor of the trace stays behind.
        for (leaf, variable), drawn_from in zip(self._compilable, seeds, strict=False):
            _set_seed(_initializer(leaf, variable), drawn_from)

    def _compile(self) -> Callable[[Any], None]:
        import tensorflow as tf

        states = [v for leaf in self.layers for v in _states(leaf)]

        def everything(seeds: Any) -> None:
            pairs = tf.unstack(tf.stack([seeds, tf.zeros_like(seeds)], axis=1))
            count = len(self._compilable)
            for (leaf, variable), pair in zip(self._compilable, pairs[:count], strict=True):
                _draw(leaf, variable, _Given(pair))
            for variable, pair in zip(states, pairs[count:], strict=True):
                variable.assign(tf.cast(pair, variable.dtype))
            self.and_then()

        total = len(self._compilable) + len(states)
        signature = [tf.TensorSpec([total], tf.int64)]
        compiled = tf.function(everything, input_signature=signature, autograph=False)
        return compiled


class _Given(keras.random.SeedGenerator):
    """A seed that is a tensor of a trace, where Keras takes a number or a generator."""

    def __init__(self, pair: Any):
        self.pair = pair

    def next(self, ordered: bool = True) -> Any:
        return self.pair


def _takes_traced_seed(initializer: Any) -> bool:
    """Those of Keras and those that pass their seed on to it as it is."""
    return type(initializer).__module__.startswith("keras.") or isinstance(
        initializer, FanInUniform
    )


def _states(leaf: Any) -> list[Any]:
    """Random states of a layer, those of its SeedGenerators."""
    weights = {id(w) for w in leaf.weights}
    return [v for v in leaf.variables if id(v) not in weights]


def reseed(leaf: Any, seed: int) -> None:
    """Give a layer's random states alone, those of its SeedGenerators, the values that `seed` and
    its name determine."""
    for variable in _states(leaf):
        state = [seed_for(seed, leaf.name, variable.name), 0]
        variable.assign(np.array(state, dtype="uint32"))


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
        BadInput: the file is no Keras model, or brings code along.
    """
    return donors(leaves(load_network(path, f"train.initialize_from: {path}")))


def named(given: Donors, patterns: tuple[str, ...], into: Iterable[Any]) -> Donors:
    """Those of the layers whose names match a pattern; without patterns all of them.

    Raises:
        BadInput: a pattern matches no layer of `into` that is given.
    """
    if not patterns:
        return given
    shared = [x.name for x in into if x.name in given]
    for pattern in patterns:
        if not fnmatch.filter(shared, pattern):
            raise BadInput(
                f"train.initialize_layers: {pattern!r} matches no layer that both networks have: "
                + ", ".join(shared)
            )
    chosen = {name for pattern in patterns for name in fnmatch.filter(shared, pattern)}
    return {name: weights for name, weights in given.items() if name in chosen}


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
