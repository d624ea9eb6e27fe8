"""How a loaded network is run under an evaluation protocol: crops in, one row of scores an image.

Probabilities are averaged over crops (Krizhevsky et al. 2012, section 4.1; Szegedy et al. 2015,
section 7). Under `dense` class scores are averaged over positions first, see
`experiments.inference.dense`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from experiments.config.evaluate import Evaluate
from experiments.errors import BadInput, FailedWork
from experiments.inference.dense import Dense
from experiments.metrics import log_mean_probabilities
from experiments.training.outputs import inference_function
from experiments.training.weights import leaves, reseed
from models.layers.activations import MonteCarloDropout
from pipelines import build
from pipelines import views as crops

ONE_SIDE = {"ten_crop": crops.ten_crop, "alexnet": crops.alexnet}

SIDES = {
    "144_crop": crops.googlenet,
    "multi_scale": crops.multi_scale,
    "dense": crops.dense,
}


@dataclass(frozen=True)
class Run:
    """A protocol settled for one network.

    passes   of the network over its own size that an image costs, for a square image under dense
    """

    protocol: crops.Protocol
    name: str
    passes: float
    samples: int
    dense: Dense | None = None


def settle(evaluate: Evaluate, model: keras.Model, crop_fraction: float) -> Run:
    """The protocol that `evaluate` names, for this network; its cost is known before it runs.

    Raises:
        BadInput: sides that the protocol does not take, or a network that cannot be dense.
    """
    height, width = model.input_shape[1:3]
    size, name, sides = (int(height), int(width)), evaluate.protocol, evaluate.sides
    if name == "centre":
        if sides:
            raise BadInput(
                "evaluate.sides: the centre crop has none; set data.crop_fraction, or another "
                "evaluate.protocol"
            )
        protocol = crops.centre(size, crop_fraction)
    elif name in ONE_SIDE:
        if len(sides) > 1:
            raise BadInput(
                f"evaluate.sides: {name} is of one side. Received: {list(sides)}; use multi_scale"
            )
        protocol = ONE_SIDE[name](size, *sides)
    else:
        protocol = SIDES[name](size, sides) if sides else SIDES[name](size)
    dense = Dense(model) if name == "dense" else None
    passes = float(protocol.cost)
    if dense is not None:
        own = dense.macs(*size)
        shorts = [crops.scaled(side, max(size)) for side in sides or crops.RESNET_SIDES]
        passes = sum(2 * dense.macs(side, side) for side in shorts) / own
    draws = any(isinstance(leaf, MonteCarloDropout) for leaf in leaves(model))
    samples = evaluate.dropout_samples if draws else 1
    return Run(protocol, name, passes * samples, samples, dense)


def scores(
    model: keras.Model,
    run: Run,
    source: Any,
    indices: np.ndarray,
    *,
    crop_fraction: float,
    batch_size: int,
    gives_probabilities: bool = False,
    columns: np.ndarray | None = None,
    seed: int = 1,
    threads: int = 0,
    advance: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Scores float32 [images, classes] whose softmax is the network's answer, in the given order.

    Of one view they are the network's logits, else logarithms of averaged probabilities.

    Args:
        indices: images of the source, each once.
        batch_size: crops that go through the network together.
        gives_probabilities: the network ends in a softmax.
        columns: classes of the network to keep, and their order; the softmax is over these.
        seed: of networks that draw at inference.
        advance: called with the number of images done.

    Raises:
        FailedWork: scores that are not finite, or images that were not scored exactly once.
    """
    infer = inference_function(model, jit=False)
    for leaf in leaves(model):
        reseed(leaf, seed)

    def logits(images: np.ndarray) -> np.ndarray:
        parts = [
            np.asarray(run.dense.logits(part) if run.dense else infer(part), np.float32)
            for part in np.array_split(images, math.ceil(len(images) / batch_size))
        ]
        found = np.concatenate(parts)
        if gives_probabilities:
            found = np.log(np.maximum(found, np.finfo(np.float32).tiny))
        if not np.isfinite(found).all():
            raise FailedWork(f"{model.name} gives scores that are not finite")
        return found if columns is None else found[:, columns]

    made, done = [], 0
    if run.name == "centre":
        batches = build.evaluation_dataset(
            source,
            indices,
            size=model.input_shape[1:3],
            batch_size=batch_size,
            crop_fraction=crop_fraction,
            threads=threads,
        )
        for images, _ in batches:
            made.append(_together([logits(np.asarray(images)) for _ in range(run.samples)]))
            done += len(made[-1])
            advance(done)
    else:
        for images, groups in _crops(run, source, indices, batch_size, threads):
            if not np.array_equal(images, indices[done : done + len(images)]):
                raise FailedWork("images came in another order than asked for")
            views = [
                view
                for group in groups
                for _ in range(run.samples)
                for view in _by_view(logits(group), len(images))
            ]
            made.append(_together(views))
            done += len(images)
            advance(done)
    found = np.concatenate(made)
    if len(found) != len(indices):
        raise FailedWork(f"{len(found)} images were scored of {len(indices)}")
    return found


def _crops(
    run: Run, source: Any, indices: np.ndarray, batch_size: int, threads: int
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """(indices [n], groups of crops [n * k, h, w, c]), as many images together as fill a batch."""
    data = crops.crop_dataset(source, indices, run.protocol, threads)
    varying = run.dense is not None and source.image_shape[0] is None
    together = 1 if varying else max(1, int(batch_size // run.protocol.cost))
    for index, groups, _ in data.batch(together):
        arrays = [np.asarray(group) for group in groups]
        yield np.asarray(index), [array.reshape(-1, *array.shape[2:]) for array in arrays]


def _by_view(logits: np.ndarray, images: int) -> list[np.ndarray]:
    """[images * views, classes], the views of an image together, to [images, classes] a view."""
    return list(logits.reshape(images, -1, logits.shape[-1]).transpose(1, 0, 2))


def _together(views: list[np.ndarray]) -> np.ndarray:
    """One view stays as it is."""
    return views[0] if len(views) == 1 else log_mean_probabilities(views)
