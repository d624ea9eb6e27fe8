"""Are two rows of networks right equally often on the same images, several seeds of each?"""

from __future__ import annotations

from typing import Any

import numpy as np


def sign_flip(first: Any, second: Any) -> float:
    """Two-sided p of a randomisation test over images, from its exact distribution.

    Every image gives one difference of hits, first minus second. Were the two alike, each
    difference might as well have had the other sign; p is the share of all 2^images choices of
    signs whose sum is as far from 0 as the observed one. The seeds of an image stay together, as
    they are not independent. With one seed this is McNemar's exact test.

    Args:
        first, second: int [images], how many of the same seeds had the image right, paired.

    Raises:
        ValueError: arrays of different lengths, empty, or not of integers.

    Source: Fisher (1935), The Design of Experiments, section 21.
    """
    first, second = np.asarray(first), np.asarray(second)
    kinds = {first.dtype.kind, second.dtype.kind}
    if not kinds <= {"i", "u"} or first.shape != second.shape or not first.size:
        raise ValueError(
            "expected two int arrays of one length, hits of each image. "
            f"Received: {first.dtype} {first.shape}, {second.dtype} {second.shape}"
        )
    differences = first.astype(np.int64) - second.astype(np.int64)
    counts = np.bincount(np.abs(differences))
    largest = int(np.abs(differences).sum())
    observed = abs(int(differences.sum()))
    # the characteristic function of a sum of +-k, transformed back to the chances of -T..T
    angles = 2 * np.pi * np.arange(2 * largest + 1) / (2 * largest + 1)
    wave = np.ones_like(angles)
    for size, images in enumerate(counts):
        wave *= np.cos(size * angles) ** int(images)
    chances = np.maximum(np.fft.ifft(wave).real, 0.0)
    sums = np.minimum(np.arange(2 * largest + 1), 2 * largest + 1 - np.arange(2 * largest + 1))
    return float(min(1.0, chances[sums >= observed].sum()))
