"""What TensorFlow fixes at its first use: threads, determinism, and how much it says."""

from __future__ import annotations

import os
import sys

from experiments.errors import FailedWork


def prepare_process(threads: int, deterministic: bool) -> None:
    """Settle what TensorFlow fixes at its first use: threads and determinism."""
    load_tensorflow()
    import tensorflow as tf

    if threads and tf.config.threading.get_intra_op_parallelism_threads() != threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        except RuntimeError:
            raise FailedWork(
                "train.threads cannot change once TensorFlow has started in this process; "
                "use launch.executor=processes"
            ) from None
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def load_tensorflow() -> None:
    """Import TensorFlow and Keras with the C++ start-up lines kept off stderr.

    Python errors still surface: only the file descriptor is redirected, and only for the import.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Pieces of a program that XLA compiles it would first compute uncompiled, for each new shape,
    # and the same fit would differ by rounding the second time.
    os.environ.setdefault("TF_XLA_FLAGS", "--tf_xla_enable_lazy_compilation=false")
    sys.stderr.flush()
    kept, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        import keras  # noqa: F401  (loaded for the side effect)
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)
