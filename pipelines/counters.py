"""Random numbers that are functions of (seed, index), the same on every machine."""

from __future__ import annotations

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniform(seed: int, index: np.ndarray, count: int) -> np.ndarray:
    """float64 [n, count] in [0, 1): row i depends on seed and index[i] alone."""
    return (_bits(seed, index, count, 1) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def noise(seed: int, index: np.ndarray, count: int) -> np.ndarray:
    """uint8 [n, count], independent of `uniform`: each 64 random bits give eight values."""
    bits = _bits(seed, index, -(-count // 8), 2).astype("<u8")
    return np.ascontiguousarray(bits).view(np.uint8)[:, :count]


def _mix(x: np.ndarray) -> np.ndarray:
    """SplitMix64 (Steele et al. 2014): counters to 64 random bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _bits(seed: int, index: np.ndarray, count: int, stream: int) -> np.ndarray:
    """uint64 [n, count] from (seed, stream, index, position)."""
    root = _mix(np.array([seed], np.uint64) * GOLDEN + np.uint64(stream))
    start = _mix(root + (index.astype(np.uint64) + np.uint64(1)) * GOLDEN)
    return _mix(start[:, None] + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN)
