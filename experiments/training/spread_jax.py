"""Batches of several devices, and scoring by all of them, on JAX.

One program runs on all devices and sees whole batches, so that means, statistics and draws are
those of one device. A batch that does not divide among them is computed by each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import jax
import keras
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from experiments.runtime.devices import Devices
from experiments.training.prefetch import begun_ahead


def sharded(batches: Iterable[Any], devices: Devices) -> Iterator[Any]:
    """Batches as Keras's `fit` takes them: arrays of all devices, there before their turn.

    Args:
        batches: (this process's batch, size of the whole batch), the batch a structure of [b, ...]
            with what `pipelines.portions` gives this process.
        devices: with a distribution.
    """

    def whole(portion: tuple[Any, Any]) -> Any:
        batch, size = portion
        return keras.tree.map_structure(partial(_array, size=int(size), devices=devices), batch)

    return begun_ahead(batches, whole)


def inference(model: keras.Model, devices: Devices) -> Callable[[Any], np.ndarray]:
    """Images [b, h, w, c] to the model's output, each device with its part of the images."""
    everywhere = _sharding(devices, divides=False)
    weights_of_layers = {id(weight) for weight in model.weights}

    @partial(jax.jit, out_shardings=everywhere)
    def run(weights: Any, others: Any, images: Any) -> Any:
        return model.stateless_call(weights, others, images, training=False)

    def infer(images: Any) -> np.ndarray:
        pixels = np.asarray(images)
        lacking = -len(pixels) % devices.replicas
        whole = np.concatenate([pixels, pixels[-1:].repeat(lacking, axis=0)])  # the last stands in
        made, others = run(
            [variable.value for variable in model.trainable_variables],
            [variable.value for variable in model.non_trainable_variables],
            _of_whole(whole, _sharding(devices, divides=True)),
        )
        for variable, value in zip(model.non_trainable_variables, others, strict=True):
            if id(variable) not in weights_of_layers:  # a random state, which drawing moves
                variable.assign(value)
        return np.asarray(made)[: len(pixels)]

    return infer


def _array(values: Any, size: int, devices: Devices) -> Any:
    portion = np.asarray(values)
    divides = size % devices.replicas == 0
    sharding = _sharding(devices, divides=divides)
    if divides:
        return jax.make_array_from_process_local_data(sharding, portion, (size, *portion.shape[1:]))
    return _of_whole(portion, sharding)


def _of_whole(values: np.ndarray, sharding: NamedSharding) -> Any:
    """An array of what every process has whole."""
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])


def _sharding(devices: Devices, *, divides: bool) -> NamedSharding:
    mesh = devices.distribution.device_mesh.backend_mesh
    return NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]) if divides else PartitionSpec())
