"""How a loaded network is run under an evaluation protocol: crops in, one row of scores an image.

Probabilities are averaged over crops (Krizhevsky et al. 2012, section 4.1; Szegedy et al. 2015,
section 7). Under `dense` class scores are averaged over positions first, see
`experiments.inference.dense`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from experiments.config.evaluate import Evaluate
from experiments.config.schema import Config
from experiments.errors import BadInput, FailedWork
from experiments.inference.dense import Dense
from experiments.inference.loading import Network
from experiments.jobs.job import draw_seed
from experiments.metrics import log_mean_probabilities
from experiments.training.outputs import inference_function
from experiments.training.weights import leaves, reseed
from models.layers.activations import MonteCarloDropout
from pipelines import build, views
from pipelines.augment import corruptions

ONE_SIDE = {"ten_crop": views.ten_crop, "alexnet": views.alexnet}

SIDES = {
    "144_crop": views.googlenet,
    "multi_scale": views.multi_scale,
    "dense": views.dense,
}


class Predictor:
    """A network under the protocol that `evaluate` names; its cost is known before it runs.

    protocol  the crops of an image
    name      of the protocol, as `evaluate.protocol`
    passes    of the network over its own size that an image costs, for a square image under dense
    samples   of its dropout masks that are averaged
    dense     the network at any size, under dense

    Args:
        config: its evaluate, data and seed count here.
        crop_fraction: of the centre crop.
        columns: classes of the network to keep, and their order; the softmax is over these.
        batch_size: crops that go through the network together; None: data.eval_batch_size.
        traced: a predictor of the same network, for another set: nothing is traced again.

    Raises:
        BadInput: sides that the protocol does not take, or a network that cannot be dense.
    """

    def __init__(
        self,
        network: Network,
        config: Config,
        crop_fraction: float,
        columns: np.ndarray | None = None,
        batch_size: int | None = None,
        traced: Predictor | None = None,
    ) -> None:
        evaluate = config.evaluate
        self.model, self.name = network.model, evaluate.protocol
        height, width = self.model.input_shape[1:3]
        self.size = int(height), int(width)
        self.protocol = _protocol(evaluate, self.size, crop_fraction)
        self.dense = None
        if self.name == "dense":
            self.dense = traced.dense if traced else Dense(self.model)
        draws = any(isinstance(leaf, MonteCarloDropout) for leaf in leaves(self.model))
        self.samples = evaluate.dropout_samples if draws else 1
        cost = float(self.protocol.cost)
        if self.dense:
            cost = _dense_passes(self.dense, self.size, evaluate.sides or views.RESNET_SIDES)
        self.passes = cost * self.samples
        self._crop_fraction, self._columns = crop_fraction, columns
        self._gives_probabilities = network.gives_probabilities
        self._batch_size = batch_size or config.data.eval_batch_size
        self._threads = config.data.threads
        self._seed = draw_seed(config, "dropout_samples", of="dropout")
        self._infer: Callable[[Any], Any]
        self._infer = traced._infer if traced else inference_function(self.model, jit=False)

    def scores(
        self, source: Any, indices: np.ndarray, advance: Callable[[int], None] = lambda done: None
    ) -> np.ndarray:
        """Scores float32 [images, classes] whose softmax is the answer, in the given order.

        Of one view they are the network's logits, else logarithms of averaged probabilities.

        Args:
            indices: images of the source, each once.
            advance: called with the number of images done.

        Raises:
            FailedWork: scores that are not finite, or images that were not scored exactly once.
        """
        for leaf in leaves(self.model):
            reseed(leaf, self._seed)
        batches: list[np.ndarray] = []
        done = 0
        for images, groups in self._crops(source, indices):
            if not np.array_equal(images, indices[done : done + len(images)]):
                raise FailedWork("images came in another order than asked for")
            by_view = [
                view
                for group in groups
                for _ in range(self.samples)
                for view in _by_view(self._logits(group), len(images))
            ]
            batches.append(by_view[0] if len(by_view) == 1 else log_mean_probabilities(by_view))
            done += len(images)
            advance(done)
        if done != len(indices):
            raise FailedWork(f"{done} images were scored of {len(indices)}")
        return np.concatenate(batches)

    def corrupted(
        self, source: Any, indices: np.ndarray, advance: Callable[[int], None] = lambda done: None
    ) -> np.ndarray:
        """The answers int64 [images, corruptions, severities] to all corruptions of the centre
        crop, `build.corrupted_dataset`, in the given order. Arguments and errors as of `scores`."""
        for leaf in leaves(self.model):
            reseed(leaf, self._seed)
        data = build.corrupted_dataset(
            source,
            indices,
            size=self.size,
            batch_size=max(1, self._batch_size // corruptions.VERSIONS),
            crop_fraction=self._crop_fraction,
            threads=self._threads,
        )
        answers: list[np.ndarray] = []
        done = 0
        for versions in data:
            count, every, *shape = versions.shape
            flat = np.asarray(versions).reshape(count * every, *shape).astype(np.float32)
            passes = [self._logits(flat) for _ in range(self.samples)]
            scores = passes[0] if len(passes) == 1 else log_mean_probabilities(passes)
            answers.append(scores.argmax(axis=1))
            done += count
            advance(done)
        if done != len(indices):
            raise FailedWork(f"{done} images were scored of {len(indices)}")
        names, severities = len(corruptions.NAMES), corruptions.SEVERITIES
        return np.concatenate(answers).reshape(done, names, severities)

    def _logits(self, images: np.ndarray) -> np.ndarray:
        """[n, h, w, c] to float32 [n, kept classes], as many at once as a batch has."""
        apply = self.dense.logits if self.dense else self._infer
        parts = np.array_split(images, math.ceil(len(images) / self._batch_size))
        logits = np.concatenate([np.asarray(apply(part), np.float32) for part in parts])
        if self._gives_probabilities:
            logits = np.log(np.maximum(logits, np.finfo(np.float32).tiny))
        if not np.isfinite(logits).all():
            raise FailedWork(f"{self.model.name} gives scores that are not finite")
        return logits if self._columns is None else logits[:, self._columns]

    def _crops(
        self, source: Any, indices: np.ndarray
    ) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """(indices [n], groups of crops [n * k, h, w, c]), as many images as fill a batch."""
        if self.name == "centre":
            batches = build.evaluation_dataset(
                source,
                indices,
                size=self.size,
                batch_size=self._batch_size,
                crop_fraction=self._crop_fraction,
                threads=self._threads,
            )
            for number, (images, _) in enumerate(batches):
                start = number * self._batch_size
                yield indices[start : start + len(images)], [np.asarray(images)]
            return
        data = views.crop_dataset(source, indices, self.protocol, self._threads)
        varying = self.dense is not None and source.image_shape[0] is None
        together = 1 if varying else max(1, int(self._batch_size // self.protocol.cost))
        for index, groups, _ in data.batch(together):
            arrays = [np.asarray(group) for group in groups]
            yield np.asarray(index), [array.reshape(-1, *array.shape[2:]) for array in arrays]


def _protocol(evaluate: Evaluate, size: tuple[int, int], crop_fraction: float) -> views.Protocol:
    name, sides = evaluate.protocol, evaluate.sides
    if name == "centre":
        if sides:
            raise BadInput(
                "evaluate.sides: the centre crop has none; set data.crop_fraction, or another "
                "evaluate.protocol"
            )
        return views.centre(size, crop_fraction)
    if name in ONE_SIDE:
        if len(sides) > 1:
            raise BadInput(
                f"evaluate.sides: {name} is of one side. Received: {list(sides)}; use multi_scale"
            )
        return ONE_SIDE[name](size, *sides)
    return SIDES[name](size, sides) if sides else SIDES[name](size)


def _dense_passes(dense: Dense, size: tuple[int, int], sides: tuple[int, ...]) -> float:
    """Multiply-accumulates at every side, mirrored too, over those at the network's own size."""
    scaled = [views.scaled(side, max(size)) for side in sides]
    return sum(2 * dense.macs(side, side) for side in scaled) / dense.macs(*size)


def _by_view(logits: np.ndarray, images: int) -> list[np.ndarray]:
    """[images * views, classes], the views of an image together, to [images, classes] a view."""
    return list(logits.reshape(images, -1, logits.shape[-1]).transpose(1, 0, 2))
