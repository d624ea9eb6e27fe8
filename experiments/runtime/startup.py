"""What Keras and TensorFlow fix at their first use: backend, number formats, threads, determinism,
and how much they say."""

from __future__ import annotations

import json
import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from experiments.errors import BadInput, FailedWork, nearest

BACKENDS = ("tensorflow", "jax", "torch")
SETTLED = {
    "floatx": "float32",  # train.precision says what differs
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
    "max_epochs": None,  # train.epochs says so
    "max_steps_per_epoch": None,
}
"""Settings of Keras that results depend on, whatever keras.json and the environment say."""
READABLE = {
    "floatx": {"float16", "float32", "float64"},
    "image_data_format": {"channels_first", "channels_last"},
}
"""Values without which Keras does not start."""


def keras_backend() -> str:
    """The backend that Keras has where it is loaded from now on, in this process or another.

    KERAS_BACKEND names it, else Keras's own file keras.json, else it is tensorflow.

    Raises:
        BadInput: no such backend, it is not installed, or a file with which Keras does not start.
    """
    file, written = _keras_json()
    where, name = "KERAS_BACKEND", os.environ.get("KERAS_BACKEND")
    if not name:
        where, name = f"{file}: backend", written.get("backend", BACKENDS[0])
    if name not in BACKENDS:
        close = nearest(str(name), BACKENDS, 1)
        hint = f"; did you mean {close}?" if close else "."
        raise BadInput(f"{where}: expected {', '.join(BACKENDS)}{hint} Received: {name!r}")
    if find_spec(name) is None:
        raise BadInput(
            f"{where}: {name} is not installed; pip install -e '.[{name}]', or set "
            "KERAS_BACKEND=tensorflow"
        )
    return str(name)


def _keras_json() -> tuple[Path, dict[str, Any]]:
    """Keras's file of settings and what it says: nothing where it is absent or no JSON."""
    home = os.environ.get("KERAS_HOME")
    if home is None:
        user = os.path.expanduser("~")
        home = os.path.join(user if os.access(user, os.W_OK) else "/tmp", ".keras")  # nosec B108
    file = Path(os.path.expanduser(os.path.join(home, "keras.json")))
    try:
        written = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return file, {}
    if not isinstance(written, dict):
        raise BadInput(f"{file}: expected an object such as {{}}; mend or delete it")
    for key, values in READABLE.items():
        if written.get(key, SETTLED[key]) not in values:
            raise BadInput(
                f"{file}: {key}: expected {' or '.join(sorted(values))}; mend or delete the file. "
                f"Received: {written[key]!r}"
            )
    if not isinstance(written.get("epsilon", SETTLED["epsilon"]), float):
        raise BadInput(
            f"{file}: epsilon: expected a number such as 1e-07; mend or delete the file. "
            f"Received: {written['epsilon']!r}"
        )
    return file, written


def load_keras() -> None:
    """Import Keras, and settle what results depend on.

    Raises:
        BadInput: see `keras_backend`.
    """
    if "keras" not in sys.modules:
        keras_backend()
    import keras

    for name, value in SETTLED.items():
        getattr(keras.config, f"set_{name}")(value)


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
    """Import TensorFlow and Keras, if need be with the C++ start-up lines kept off stderr, and
    without a word on functions that are traced.

    Raises:
        BadInput: see `keras_backend`.
    """
    if "tensorflow" in sys.modules:
        load_keras()
    else:
        _load_quietly()
    import tensorflow as tf

    tf.get_logger().addFilter(_is_no_tracing)


def _is_no_tracing(record: logging.LogRecord) -> bool:
    """TensorFlow counts traces by code: functions that each of several networks has of its own, and
    which are traced once, look to it like one that is traced again and again."""
    return "triggered tf.function retracing" not in record.getMessage()


def _load_quietly() -> None:
    """Python errors still surface: only the file descriptor is redirected, and only for the
    import."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Pieces of a program that XLA compiles it would first compute uncompiled, for each new shape,
    # and the same fit would differ by rounding the second time.
    os.environ.setdefault("TF_XLA_FLAGS", "--tf_xla_enable_lazy_compilation=false")
    sys.stderr.flush()
    kept, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        load_keras()
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)
