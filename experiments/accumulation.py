"""One update from a batch that is shown to the network in parts, to need less memory."""

from __future__ import annotations

from typing import Any

import keras


def accumulated_step(model: Any, data: Any, parts: int) -> dict[str, Any]:
    """Keras's `train_step` of an `Objective`, its gradient summed over parts of the batch.

    The loss of a batch is a mean over its images, so each part counts by its share of them; they
    differ by one image at most, and a batch of fewer images has fewer parts. Penalties of weights
    come once, by the same shares. Loss scale, bounds and weight decay are the whole update's. What
    is not a mean over images is another number: batch normalisation sees one part at a time, and
    moves its averages once a part; dropout draws for each part. TensorFlow only.
    """
    import tensorflow as tf

    x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
    given = (x, y) if weights is None else (x, y, weights)
    size = tf.shape(tf.nest.flatten(x)[0])[0]
    parts = tf.minimum(parts, size)
    variables = model.trainable_weights
    reached: list[bool] = []  # by the loss, of the variables: known once a part is traced

    def part(at: Any, total: Any, *sums: Any) -> tuple[Any, ...]:
        first, stop = at * size // parts, (at + 1) * size // parts
        own = tf.nest.map_structure(lambda whole: whole[first:stop], given)
        share = tf.cast(stop - first, tf.float32) / tf.cast(size, tf.float32)
        with tf.GradientTape() as tape:
            loss = share * model.compute_loss(
                x=own[0],
                y=own[1],
                y_pred=model(own[0], training=True),
                sample_weight=own[2] if len(own) > 2 else None,
                training=True,
            )
            scaled = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, variables)
        reached[:] = [gradient is not None for gradient in gradients]
        added = [
            before if gradient is None else before + gradient
            for before, gradient in zip(sums, gradients, strict=True)
        ]
        return at + 1, total + loss, *added

    _, loss, *sums = tf.while_loop(
        lambda at, *rest: at < parts,
        part,
        [0, 0.0, *(tf.zeros_like(variable.value) for variable in variables)],
        parallel_iterations=1,
    )
    gradients = [gradient if there else None for gradient, there in zip(sums, reached, strict=True)]
    [tracker] = (metric for metric in model.metrics if metric.name == "loss")
    tracker.update_state(loss, sample_weight=size)
    model.optimizer.apply(gradients, variables)
    return dict(model.get_metrics_result())
