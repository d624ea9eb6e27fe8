"""Batches on their way to the accelerator while the updates before theirs are made.

What is ahead counts nowhere: a fit that is stopped goes on from the updates that it has made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np

AHEAD = 2


def prefetched(batches: Any, device: Any = None) -> Any:
    """A dataset's batches in order, copied to the device that computes: the one in use and AHEAD.

    On processors alone it is the dataset itself.

    Args:
        batches: a tf.data.Dataset of structures of [b, ...].
        device: as this backend has it; None for the one accelerator that it uses.
    """
    backend = keras.backend.backend()
    device = device if device is not None else ACCELERATORS[backend]()
    if device is None:
        return batches
    if backend == "tensorflow":
        import tensorflow as tf

        return batches.apply(tf.data.experimental.prefetch_to_device(device, AHEAD))
    copied = {"jax": _jax_array, "torch": _torch_tensor}[backend]
    return begun_ahead(
        batches, lambda batch: keras.tree.map_structure(lambda array: copied(array, device), batch)
    )


def begun_ahead(batches: Iterable[Any], begin: Callable[[Any], Any]) -> Iterator[Any]:
    """What `begin` makes of each batch, begun AHEAD batches before its turn."""
    waiting: deque[Any] = deque()
    for batch in batches:
        waiting.append(begin(batch))
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting


def _of_tensorflow() -> str | None:
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")  # a TPU's program fetches its own
    return gpus[0].name if gpus else None


def _of_jax() -> Any:
    import jax

    return None if jax.default_backend() == "cpu" else jax.local_devices()[0]


def _of_torch() -> Any:
    import torch

    return torch.device("cuda") if torch.cuda.is_available() else None


ACCELERATORS: dict[str, Callable[[], Any]] = {
    "tensorflow": _of_tensorflow,
    "jax": _of_jax,
    "torch": _of_torch,
}
"""What computes beside the processors; None without."""


def _jax_array(values: Any, device: Any) -> Any:
    import jax

    return jax.device_put(np.asarray(values), device)


def _torch_tensor(values: Any, device: Any) -> Any:
    import torch

    tensor = torch.from_numpy(np.array(values))
    if device.type == "cuda":
        tensor = tensor.pin_memory()  # or the copy would not go on beside the updates
    return tensor.to(device, non_blocking=True)
