"""Channel mean and deviation and the principal axes of the colours, of the training part only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.augment.colour import Colours
from pipelines.lazy import tf
from pipelines.sources.base import Source
from pipelines.threads import PREFETCHED, fixed, workers
from pipelines.views import exact

CHUNK_BYTES = 32 * 1024**2

# Of files, that must be decoded for it: all up to so many images, else a sample that takes seconds.
# The colour of a whole photograph varies by 40 grey levels or so, the mean of the sample by 0.6.
DECODED_LIMIT, SAMPLE = 20_000, 4_000


@dataclass(frozen=True)
class Statistics:
    """Of the pixels of `images` images.

    mean, std     [c], on 0..255
    eigenvalues   [c], descending, of the covariance of pixels scaled to 0..1 (the scale at which
                  AlexNet's sigma of 0.1 is meant, see `colour.pca_jitter`); [1] for grey images
    eigenvectors  [c, c], columns are the axes; the largest component of each is positive
    sampled_from  how many images `images` are a sample of; None: of no more than themselves
    standard_error   [c], of the mean of a sample as the mean of them all, on 0..255
    """

    mean: np.ndarray
    std: np.ndarray
    eigenvalues: np.ndarray
    eigenvectors: np.ndarray
    images: int
    sampled_from: int | None = None
    standard_error: np.ndarray | None = None

    @property
    def colours(self) -> Colours:
        """What augmentation takes of them."""
        return Colours(self.mean, self.eigenvalues, self.eigenvectors)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON; the last two of a sample only."""
        document = {
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "eigenvalues": self.eigenvalues.tolist(),
            "eigenvectors": self.eigenvectors.tolist(),
            "images": self.images,
        }
        if self.standard_error is not None:
            document["sampled_from"] = self.sampled_from
            document["standard_error"] = self.standard_error.tolist()
        return document

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Statistics:
        """The inverse of `to_dict`, exact."""
        arrays = {
            key: np.asarray(values[key], np.float64)
            for key in ("mean", "std", "eigenvalues", "eigenvectors", "standard_error")
            if key in values
        }
        sampled_from = values.get("sampled_from")
        return cls(**arrays, images=int(values["images"]), sampled_from=sampled_from)


def fit(
    source: Source,
    indices: Iterable[int] | np.ndarray,
    *,
    size: tuple[int, int] | None = None,
    crop_fraction: float = 1.0,
    limit: int | None = None,
) -> Statistics:
    """Statistics of exactly the images at `indices`; hand in the training part and nothing else.

    size    measure what the network sees (`resize.resize_centre`); None = pixels as stored
    limit   at most this many images, evenly spaced over `indices`; None = all of a set that is
            held in memory or has up to DECODED_LIMIT, else SAMPLE
    Every pixel counts once, in float64. AlexNet, section 4.1 (the axes).
    Raises ValueError for no indices.
    """
    chosen = np.asarray(indices, np.int64).reshape(-1)
    if len(chosen) == 0:
        raise ValueError("statistics: expected at least one training image, received none")
    if limit is not None and limit < 1:
        raise ValueError(f"statistics: expected a limit of at least 1, received {limit}")
    if limit is None:
        few = source.array is not None or len(chosen) <= DECODED_LIMIT
        limit = len(chosen) if few else SAMPLE
    population = len(chosen)
    if population > limit:
        chosen = chosen[np.linspace(0, len(chosen) - 1, limit).round().astype(np.int64)]
    channels = source.image_shape[2]
    count = 0
    total = np.zeros(channels)
    products = np.zeros((channels, channels))
    # Moments about mid-grey: the covariance then loses no digits to a large mean.
    centre = 127.5
    sums: list[np.ndarray] = []  # of each image of a sample: its pixels' sum, and how many
    for pixels in _pixels(source, chosen, size, crop_fraction):
        values = pixels.reshape(-1, channels).astype(np.float64) - centre
        count += len(values)
        total += (summed := values.sum(axis=0))
        products += values.T @ values
        if population > limit:
            several = pixels.ndim == 4
            of_each = values.reshape(*pixels.shape[:3], -1).sum((1, 2)) if several else [summed]
            sums += [np.append(one, len(values) // len(of_each)) for one in of_each]
    shifted = total / count
    covariance = products / count - np.outer(shifted, shifted)
    eigenvalues, eigenvectors = np.linalg.eigh(covariance / 255.0**2)
    eigenvalues, eigenvectors = np.maximum(eigenvalues[::-1], 0.0), eigenvectors[:, ::-1]
    largest = np.take_along_axis(eigenvectors, np.abs(eigenvectors).argmax(axis=0)[None, :], axis=0)
    return Statistics(
        mean=shifted + centre,
        std=np.sqrt(np.maximum(np.diag(covariance), 0.0)),
        eigenvalues=eigenvalues,
        eigenvectors=np.ascontiguousarray(eigenvectors * np.sign(largest)),
        images=len(chosen),
        sampled_from=population if sums else None,
        standard_error=error_of_mean(np.array(sums), population) if sums else None,
    )


def error_of_mean(sums: np.ndarray, population: int) -> np.ndarray:
    """[c], of the mean over all pixels of a sample of images, by what its images differ.

    sums   [n, c + 1], of each image the sum of its pixels and their number

    The ratio estimator's (Cochran, Sampling Techniques, 3rd ed., 6.4), with the correction for a
    finite population. Images evenly spaced over classes vary less: it is then rather too large.
    """
    n, pixels = len(sums), sums[:, -1:]
    residuals = sums[:, :-1] - pixels * sums[:, :-1].sum(axis=0) / pixels.sum()
    left_out = 1 - n / population
    variance = left_out * (residuals**2).sum(axis=0) / max(n - 1, 1) / n
    return np.asarray(np.sqrt(variance) / pixels.mean())


def _pixels(
    source: Source, indices: np.ndarray, size: tuple[int, int] | None, crop_fraction: float
) -> Iterator[np.ndarray]:
    stored_size = size is None or (size == source.image_shape[:2] and crop_fraction == 1.0)
    if source.array is not None and stored_size:
        step = max(1, CHUNK_BYTES // (8 * int(np.prod(source.array.shape[1:]))))
        for start in range(0, len(indices), step):
            yield source.array[indices[start : start + step]]
        return
    if size is None:
        for example in fixed(source.dataset(indices).prefetch(PREFETCHED)):
            yield example["image"].numpy()
        return
    # What an evaluation sees, decoding no more of a file than that.
    view = tf.autograph.experimental.do_not_convert(exact(source, size, crop_fraction))
    data = tf.data.Dataset.from_tensor_slices(indices).map(
        view, num_parallel_calls=workers(), deterministic=True
    )
    for image in fixed(data.prefetch(PREFETCHED)):
        yield image.numpy()
