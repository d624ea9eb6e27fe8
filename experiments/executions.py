"""Several updates as one call, on batches that an input pipeline makes. TensorFlow only.

What Keras's `steps_per_execution` does, but with the learning rate of each update, and with calls
that end where an epoch does: the same bits as an update a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def executions(model: Any, step: Callable[..., Any], batch: Any) -> Callable[[Any, Any], Any]:
    """(iterator, learning rate of each update) -> the epoch's mean loss so far.

    Args:
        model: what `step` updates.
        step: makes one update from (images, labels[, weights of images]).
        batch: element_spec of what the iterator gives.
    """
    signature = [tf.data.IteratorSpec(batch), tf.TensorSpec([None], tf.float32)]

    def run(batches: Any, rates: Any) -> Any:
        def update(at: Any) -> Any:
            model.optimizer.learning_rate.assign(rates[at])
            step(*batches.get_next())
            return at + 1

        tf.while_loop(lambda at: at < tf.size(rates), update, [0], parallel_iterations=1)
        return model.get_metrics_result()["loss"]

    return tf.function(run, input_signature=signature, autograph=False)
