"""The machine's matrix-product peak: what the network's FLOP/s are held against.

The fastest of many products of two square matrices, sides doubling from 256 until a product takes
long or fills the memory; two FLOPs a multiply-accumulate. Same backend, precision, threads and
device as the network beside it, in a process of its own. In float32 an accelerator uses whatever
the backend is set to, TF32 included, as the network does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from experiments.bench.device import synchronise

SMALLEST, LARGEST = 256, 16384


def measure(
    dtype: str, seconds: float = 1.0, largest: int = LARGEST, smallest: int = SMALLEST
) -> dict[str, float]:
    """{"flops_per_second", "side"} of the fastest product in `dtype`.

    Args:
        dtype: float32, bfloat16 or float16, of both factors and of the product.
        seconds: spent on each side, at least, beyond which no larger side is tried.
        smallest, largest: sides to try.
    """
    multiply = _compiled()
    best, side = {"flops_per_second": 0.0, "side": 0.0}, smallest
    while side <= largest:
        random = np.random.default_rng(side).standard_normal((2, side, side), np.float32)
        a, b = (keras.ops.cast(keras.ops.convert_to_tensor(m), dtype) for m in random)
        synchronise(multiply(a, b)[:1, :1])
        fastest, spent, calls = float("inf"), 0.0, 0
        while spent < seconds / 4 or calls < 3:
            start = time.perf_counter()
            synchronise(multiply(a, b)[:1, :1])
            took = time.perf_counter() - start
            fastest, spent, calls = min(fastest, took), spent + took, calls + 1
        rate = 2 * side**3 / fastest
        if rate > best["flops_per_second"]:
            best = {"flops_per_second": rate, "side": float(side)}
        if fastest * 8 * 3 > 2 * seconds:  # the next side has eight times the work, three times
            break
        side *= 2
    return best


def _compiled() -> Callable[[Any, Any], Any]:
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.jit(jax.numpy.matmul)
    if backend == "torch":
        import torch

        return torch.matmul
    import tensorflow as tf

    return tf.function(tf.matmul)
