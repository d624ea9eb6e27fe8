"""Batches and a fit on a device that is not the first, of JAX: a script.

    python prefetch_run.py FILE

TensorFlow's batches are dealt out here too, and PyTorch's where it is installed. Writes FILE as
JSON: what came {backend: [[device, number of each array of a batch], ...]}, and the weights of a
fit {"fit": [one without devices ahead, one with]}.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import parted_run
import tensorflow as tf

from experiments.training import prefetch

BATCHES = 9


def numbered() -> tf.data.Dataset:
    """((images, offsets), labels) whose every value is the batch's number."""
    return tf.data.Dataset.range(BATCHES).map(
        lambda at: ((tf.fill([3, 2], tf.cast(at, tf.uint8)), tf.fill([3], tf.cast(at, tf.float32))),
                    tf.fill([3], at))
    )  # fmt: skip


def came(backend: str, device: Any) -> list[Any]:
    keras.backend.backend, chosen = lambda: backend, keras.backend.backend
    batches = prefetch.prefetched(numbered(), device)
    keras.backend.backend = chosen
    return [
        [
            [str(array.device), str(array.dtype), np.unique(np.asarray(array)).tolist()]
            for array in keras.tree.flatten(batch)
        ]
        for batch in batches
    ]


def main() -> None:
    [processor] = tf.config.list_physical_devices("CPU")
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(processor, two)
    found: dict[str, Any] = {
        "jax": came("jax", jax.devices()[1]),
        "tensorflow": came("tensorflow", tf.config.list_logical_devices("CPU")[1].name),
    }
    if find_spec("torch"):
        import torch

        found["torch"] = came("torch", torch.device("cpu"))
    found["fit"] = [parted_run.fitted()]
    prefetch.ACCELERATORS["jax"] = lambda: jax.devices()[0]
    found["fit"].append(parted_run.fitted())
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
