"""The images of one job as batches, and what of them a worker keeps for its next jobs."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from experiments.config.schema import Config
from experiments.jobs import pretrained
from experiments.jobs.dataset import class_weights, steps_of, view
from experiments.runtime import devices


@dataclass(frozen=True)
class Rows:
    """Images held in memory, to be scored in this order."""

    held: Any
    """pipelines.in_memory.Resident."""
    indices: np.ndarray
    batch_size: int


@dataclass(frozen=True)
class TrainingRows(Rows):
    """What the batches of a fit are made of, for a network that makes them itself, in memory.

    `steps`, `transfer`, `antialias` and `held` shape the traced program; all else is given to it.
    """

    order: int
    """Seed of the order of the images."""
    seed: int
    """Of all other draws."""
    colours: Any
    """pipelines.statistics.Colours of the training part."""
    class_weights: np.ndarray | None
    steps: tuple[dict[str, Any], ...]
    transfer: str
    antialias: bool


LIMITS = {
    "statistics": 256, "views": 2, "datasets": 16, "updates": 8, "executions": 2, "scoring": 2
}  # fmt: skip
"""How many of each are kept: a nested search has as many training parts as folds."""


class Cache:
    """The newest results by kind and key; older ones go."""

    def __init__(self) -> None:
        self._kinds: dict[str, OrderedDict[Hashable, Any]] = {}

    def get(self, kind: str, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once as long as it is kept."""
        known = self._kinds.setdefault(kind, OrderedDict())
        if key in known:
            known.move_to_end(key)
        else:
            known[key] = make()
            if len(known) > LIMITS[kind]:
                known.popitem(last=False)
        return known[key]


@dataclass(frozen=True)
class TrainingData:
    """What one fit trains on, in one order of the images."""

    steps_per_epoch: int
    dataset: Callable[[int], Any]
    """Batches of (images [b, h, w, c], labels [b], optionally weights [b]), of all epochs in order
    from this one, counted from 0."""
    rows: TrainingRows | None = None
    """The same batches for whole epochs as one call, with the same result; `dataset` is then not
    called."""


@dataclass(frozen=True)
class Batches:
    """A source, the training part in it, and the statistics of that part, under a config."""

    config: Config
    source: Any
    train: np.ndarray
    statistics: Any
    cache: Cache = field(default_factory=Cache, repr=False)

    @property
    def steps(self) -> int:
        """Updates in an epoch; the last batch is what is left over (`pipelines.portions.edges`)."""
        return -(-len(self.train) // self.config.data.batch_size)

    def training(self, seed: int, order: int | None = None) -> TrainingData:
        """The training part for a fit whose augmentation is drawn from `seed`, and the order of the
        images from `order`, or from the same seed."""
        dataset = partial(self.dataset, seed, order=order)
        return TrainingData(self.steps, dataset, self.training_rows(seed, order))

    def dataset(self, seed: int, first_epoch: int = 0, order: int | None = None) -> Any:
        """Augmented batches (images, labels[, weights]) of all epochs, in order, from
        `first_epoch` on.

        Where several devices share them, pairs of what this process reads of a batch, and the
        number of images in the whole one. Labels are int64 [b], or float32 [b, classes] where the
        recipe mixes images.
        """
        import pipelines.build
        from pipelines.augment.recipes import Recipe
        from pipelines.portions import Portion, sizes

        config = self.config
        size, crop_fraction = view(config)
        together = devices.chosen(config.train.devices)
        dataset = pipelines.build.training_dataset(
            self.source,
            self.train,
            Recipe(
                size,
                steps_of(config),
                self.statistics and self.statistics.colours,
                seed,
                crop_fraction,
                config.data.transfer,
                config.data.antialias,
            ),
            batch_size=config.data.batch_size,
            epochs=config.train.epochs - first_epoch,
            first_epoch=first_epoch,
            order_seed=order,
            threads=config.data.threads,
            portion=Portion(together.process, together.processes, together.replicas),
        )
        import tensorflow as tf

        weights = class_weights(config, self.source, self.train)
        if weights is not None:
            table = tf.constant(weights)
            dataset = dataset.map(lambda images, labels: (images, *weighted(labels, table)))
        if not together.spread:
            return dataset
        whole = sizes(len(self.train), config.data.batch_size)
        return tf.data.Dataset.zip(dataset, tf.data.Dataset.from_tensor_slices(whole).repeat())

    def training_rows(self, seed: int, order: int | None = None) -> TrainingRows | None:
        """What `dataset` makes batches of, if the Trainer can make the same ones by itself."""
        from pipelines.augment.colour import Colours

        config, steps = self.config, steps_of(self.config)
        resident = self._resident(augmented=bool(steps))
        if resident is None:
            return None
        channels = self.source.image_shape[2]
        colours = Colours(np.zeros(channels), np.zeros(channels), np.zeros([channels] * 2))
        if self.statistics is not None:
            colours = self.statistics.colours
        return TrainingRows(
            resident,
            np.asarray(self.train, np.int64),
            config.data.batch_size,
            seed if order is None else order,
            seed,
            Colours(*(np.asarray(x, np.float32) for x in colours)),
            class_weights(config, self.source, self.train),
            steps,
            config.data.transfer,
            config.data.antialias,
        )

    def held_out(self, indices: np.ndarray) -> Any:
        """What `Trainer.score` takes: Rows where the images are held in memory, else batches."""
        resident = self._resident()
        if resident is None:
            return self.evaluation(indices)
        return Rows(resident, np.asarray(indices, np.int64), self.config.data.eval_batch_size)

    def evaluation(self, indices: np.ndarray, batch_size: int = 0) -> Any:
        """Batches (images, labels) of `indices` in order, as they are scored."""
        import pipelines.build

        size, crop_fraction = view(self.config)
        batch_size = batch_size or self.config.data.eval_batch_size
        threads = self.config.data.threads

        def make() -> Any:
            return pipelines.build.evaluation_dataset(
                self.source,
                indices,
                size=size,
                batch_size=batch_size,
                crop_fraction=crop_fraction,
                threads=threads,
            )

        key = (digest(indices), size, batch_size, crop_fraction, threads)
        return self.cache.get("datasets", key, make)

    def _resident(self, *, augmented: bool = False) -> Any:
        """The views on the one device that computes; None where there is no such thing.

        An accelerator would wait for what is drawn for each image on the host, which tf.data does
        beside it.
        """
        import keras
        import tensorflow as tf

        from pipelines.in_memory import resident

        if keras.backend.backend() != "tensorflow":
            return None
        if devices.chosen(self.config.train.devices).spread:
            return None
        accelerators = [x for kind in ("GPU", "TPU") for x in tf.config.list_logical_devices(kind)]
        if len(accelerators) > 1 or (accelerators and augmented):
            return None
        device = accelerators[0].name if accelerators else "CPU:0"
        size, crop_fraction = view(self.config)
        return self.cache.get(
            "views",
            (size, crop_fraction, device),
            lambda: resident(self.source, size, crop_fraction, device),
        )

    def normalisation(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and scale per channel, float [channels], that `data.normalise` names."""
        mean = self.statistics.mean
        if self.config.data.normalise == "published":
            return pretrained.preprocessing(self.config)[1:]
        if self.config.data.normalise == "unit":
            return np.zeros_like(mean), np.full_like(mean, 255.0)
        if self.config.data.normalise == "mean":
            return mean, np.ones_like(mean)
        # a channel that never changes is left as it is
        return mean, np.maximum(self.statistics.std, 1.0)


def digest(indices: np.ndarray) -> str:
    """Equal for equal index arrays only."""
    whole = np.ascontiguousarray(indices, np.int64)
    return hashlib.blake2b(whole.data, digest_size=16).hexdigest()


def weighted(labels: Any, table: Any) -> tuple[Any, Any]:
    """Labels and the weight of each image in the loss, of class weights float32 [classes].

    A soft label is the sum of its classes' losses, each by its share times its class's weight:
    that is the label share * weight scaled to sum one, and an image weight of that sum. So a rare
    class keeps its weight whoever it is mixed with; with whole labels both come out as ever.
    """
    import tensorflow as tf

    if labels.shape.rank == 1:
        return labels, tf.gather(table, labels)
    shares = labels * table
    total = tf.reduce_sum(shares, axis=-1)
    return shares / total[:, None], total
