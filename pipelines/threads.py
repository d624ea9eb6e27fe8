"""How parallel the input pipeline is: settled by hand, not by tf.data's autotuner.

The autotuner's thread sleeps for longer and longer between its looks (up to a minute) and can miss
the end of its iterator: closing an iterator then waits for it, seen here as pauses of 10 s at the
end of a fit (TensorFlow 2.21).
"""

from __future__ import annotations

import os

from pipelines.lazy import tf

PREFETCHED = 4  # batches made ahead of the device


def workers() -> int:
    """Parallel calls of a map: one a core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def fixed(data: tf.data.Dataset, threads: int = 0) -> tf.data.Dataset:
    """The same elements in the same order, without the autotuner.

    threads   0: on TensorFlow's own pool, shared with the network; n: on a pool of n threads that
              belongs to this pipeline, each op on one of them
    Raises ValueError for a negative number.
    """
    if threads < 0:
        raise ValueError(f"data.threads: expected 0 (shared) or more, received {threads}")
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    if threads:
        options.threading.private_threadpool_size = threads
        options.threading.max_intra_op_parallelism = 1
    return data.with_options(options)
