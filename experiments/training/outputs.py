"""What a network says of images, and how wrong it is: compiled once for any batch size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from experiments.errors import stop_if_asked
from experiments.optimization.objective import unit
from experiments.runtime.hosts import Accord
from experiments.runtime.measure import Clock


def inference_function(model: keras.Model, *, jit: bool) -> Callable[[Any], Any]:
    """Images [b, h, w, c] on 0..255 to the model's output, compiled for any batch size."""
    if keras.backend.backend() != "tensorflow":
        return model.predict_on_batch
    import tensorflow as tf

    signature = [tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)]
    return tf.function(
        lambda images: model(images, training=False), input_signature=signature, jit_compile=jit
    )


def scoring_function(
    infer: Callable[[Any], Any],
    loss: keras.losses.Loss,
    input_shape: tuple[int, int, int],
    reconstructs: bool,
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """(images [b, h, w, c], labels [b]) to the output and the loss of each image."""

    def score(images: Any, labels: Any) -> tuple[Any, Any]:
        made = infer(images)
        return made, loss.call(unit(images) if reconstructs else labels, made)

    if keras.backend.backend() != "tensorflow":
        return lambda images, labels: score(np.asarray(images), np.asarray(labels))
    import tensorflow as tf

    signature = [
        tf.TensorSpec([None, *input_shape], tf.float32),
        tf.TensorSpec([None], tf.int64),
    ]
    return tf.function(score, input_signature=signature, autograph=False)


def score_batches(
    score: Callable[[Any, Any], tuple[Any, Any]],
    batches: Iterable[Any],
    clock: Clock,
    accord: Accord,
    *,
    outputs: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every image of a dataset once: its output, its loss and its label, in order.

    Args:
        score: (images [b, h, w, c], labels [b]) to the output and the loss of each image.
        batches: of (images, labels).
        clock: times the calls.
        accord: with the other hosts, which score the same.
        outputs: give them back; else the first array is empty.
    """
    made, losses, labels = [], [], []
    for images, batch_labels in batches:
        if accord.due():
            accord.settle()
        stop_if_asked()
        clock.start()
        output, loss = score(images, batch_labels)
        if outputs:
            made.append(keras.ops.convert_to_numpy(output))
        losses.append(keras.ops.convert_to_numpy(loss))
        clock.stop()
        labels.append(np.asarray(batch_labels))
    whole = np.concatenate(made) if made else np.empty(0)
    return whole, np.concatenate(losses), np.concatenate(labels)
