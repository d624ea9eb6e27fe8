"""Batches of images that are held in memory, made whole: by a tf.data map or in any other graph.

`build.training_dataset` maps these functions, and training that takes a whole epoch as one call
traces the same ones, so that both see the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.lazy import tf
from pipelines.sources.array_source import ArraySource
from pipelines.sources.base import Source

if TYPE_CHECKING:
    # (epoch, indices [b]) -> (images [b, *size, c], labels [b] or [b, classes])
    Make = Callable[[tf.Tensor, tf.Tensor], tuple[Any, tf.Tensor]]

VIEW_LIMIT_BYTES = 512 * 1024**2  # for images of an in-memory source, resized once for all epochs


@dataclass(frozen=True)
class Resident:
    """Every image of a source as the network is shown it, and every label, on one device.

    views   uint8 or float32 [n, *size, c], 0..255
    labels  int64 [n]
    """

    source: Source
    size: tuple[int, int]
    crop_fraction: float
    views: tf.Tensor
    labels: tf.Tensor

    def images(self, indices: tf.Tensor) -> tf.Tensor:
        """float32 [b, *size, c], the evaluation view of these images."""
        return as_float(tf.gather(self.views, indices))


def resident(
    source: Source, size: tuple[int, int], crop_fraction: float, device: str = "CPU:0"
) -> Resident | None:
    """The views on this device; None where the source does not hold them in memory."""
    views = views_of(source, size, crop_fraction)
    if views is None:
        return None
    with tf.init_scope(), tf.device(device):
        labels = tf.constant(source.labels)
        return Resident(source, size, crop_fraction, tf.identity(views), labels)


def views_of(source: Source, size: tuple[int, int], crop_fraction: float) -> tf.Tensor | None:
    """All views of the source in host memory; None where they are too many, or in files."""
    if isinstance(source, ArraySource):
        return source.view(size, crop_fraction, VIEW_LIMIT_BYTES)
    return None


def gathered(views: tf.Tensor, transfer: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """indices [b] -> [b, *size, c] of the dtype that `transfer` names, by one gather."""
    out = whole_levels if transfer == "uint8" else as_float
    return lambda batch: out(tf.gather(views, batch))


def as_float(images: tf.Tensor) -> tf.Tensor:
    return tf.cast(images, tf.float32)


def whole_levels(images: tf.Tensor, *, clip: bool = False) -> tf.Tensor:
    """uint8, rounded half up; `clip` where an op may have left 0..255, which would wrap around."""
    if images.dtype == tf.uint8:
        return images
    rounded = images + 0.5
    return tf.cast(tf.clip_by_value(rounded, 0.0, 255.0) if clip else rounded, tf.uint8)


def each(load: Callable[[tf.Tensor], Any], batch: tf.Tensor, kinds: Any) -> Any:
    """Batches are made whole, one map call each: a call for each image costs more than cropping it.

    It also ends a batch with its epoch, without any draining of the parallel map in between.
    """
    return tf.map_fn(load, batch, fn_output_signature=kinds)
