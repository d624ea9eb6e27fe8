"""What each process reads of a batch, where several train one network together."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pipelines.lazy import tf


class Portion(NamedTuple):
    """Of each batch that divides among the devices, the part of one of the processes.

    A batch that does not, such as the one left over, is read whole by all of them.
    """

    process: int = 0
    processes: int = 1
    devices: int = 1
    """Of all processes together, as many in each."""


WHOLE = Portion()


FEW = 16  # images of a batch whose mean and variance say little


def edges(images: int, batch_size: int) -> np.ndarray:
    """Where the batches of an epoch begin and the last one ends, int64 [batches + 1].

    The last batch is what is left over. Where that would be fewer than FEW images, and no more
    than a quarter of a batch, the last two batches share their images equally: normalised by the
    mean and variance of one or two images, a network unlearns more in that update than it learnt
    in many, and its moving averages follow.
    """
    bounds = np.append(np.arange(0, images, batch_size), images).astype(np.int64)
    left = images % batch_size
    if len(bounds) > 2 and 0 < left < FEW and left <= batch_size / 4:
        bounds[-2] = (bounds[-3] + images + 1) // 2
    return bounds


def sizes(images: int, batch_size: int) -> np.ndarray:
    """Images in each batch of an epoch, int64 [batches], as `edges` has them."""
    return np.diff(edges(images, batch_size))


def positions(images: int, batch_size: int, portion: Portion) -> list[np.ndarray]:
    """Places in the order of an epoch that a process reads, one int64 array a batch."""
    rows, start = [], 0
    for size in sizes(images, batch_size).tolist():
        first, count = start, size
        if size % portion.devices == 0:
            count = size // portion.processes
            first += portion.process * count
        rows.append(np.arange(first, first + count))
        start += size
    return rows


def read(order: tf.Tensor, images: int, batch_size: int, portion: Portion) -> list[Any]:
    """What a process reads of the `order` of an epoch: (indices, images in a batch) of the full
    batches and of each of the others, as far as there are any."""
    batches = positions(images, batch_size, portion)
    full = int((sizes(images, batch_size) == batch_size).sum())
    return [
        (tf.gather(order, np.concatenate(equal)), len(equal[0]))
        for equal in (batches[:full], *([last] for last in batches[full:]))
        if equal
    ]


def part(batch: Any, portion: Portion) -> Any:
    """The same of a batch that is there already, a structure of tensors [b, ...]."""
    if portion.processes == 1:
        return batch
    size = tf.shape(tf.nest.flatten(batch)[0])[0]
    whole, share = size % portion.devices != 0, size // portion.processes
    first = tf.where(whole, 0, portion.process * share)
    stop = tf.where(whole, size, (portion.process + 1) * share)
    return tf.nest.map_structure(lambda values: values[first:stop], batch)
