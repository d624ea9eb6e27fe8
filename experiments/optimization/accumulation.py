"""One update from a batch that is shown to the network in parts, to need less memory.

The loss of a batch is a mean over its images, so each part counts by its share of them. Part i of k
has the images i, i + k, i + 2k, ...: sizes differ by one at most, and where devices share a batch
they share each part. A batch of fewer images has fewer parts. Penalties of weights come once, by
the same shares. Loss scale, bounds, weight decay and averages are the whole update's. What is not
a mean over images is another number: batch normalisation sees one part at a time, and moves its
averages once a part; dropout draws for each part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def accumulated_step(model: Any, parts: int, *given: Any) -> Any:
    """Keras's `train_step` of an `Objective`, its gradient summed over parts of the batch.

    Args:
        model: compiled.
        parts: of a batch.
        given: what this backend gives a `train_step`: (images, labels[, weights of images]), on
            JAX behind the state.
    """
    steps: dict[str, Callable[..., Any]] = {
        "tensorflow": _on_tensorflow,
        "jax": _on_jax,
        "torch": _on_torch,
    }
    return steps[keras.backend.backend()](model, parts, *given)


def _on_tensorflow(model: Any, parts: Any, data: Any) -> dict[str, Any]:
    import tensorflow as tf

    size = tf.shape(tf.nest.flatten(data)[0])[0]
    parts = tf.minimum(parts, size)
    variables = model.trainable_weights
    reached: list[bool] = []  # by the loss, of the variables: known once a part is traced

    def part(at: Any, total: Any, *sums: Any) -> tuple[Any, ...]:
        def share(whole: Any) -> Any:
            return tf.ensure_shape(whole[at::parts], [None, *whole.shape[1:]])

        shown = tf.nest.map_structure(share, data)
        count = tf.shape(tf.nest.flatten(shown)[0])[0]
        with tf.GradientTape() as tape:
            loss = tf.cast(count, tf.float32) / tf.cast(size, tf.float32) * _loss(model, shown)
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
    model.optimizer.apply(gradients, variables)
    return _counted(model, loss, size)


def _on_torch(model: Any, parts: int, data: Any) -> dict[str, Any]:
    import torch

    size = len(keras.tree.flatten(data)[0])
    parts = min(parts, size)
    variables = model.trainable_weights
    model.zero_grad()
    total = 0.0
    for at in range(parts):
        shown = keras.tree.map_structure(lambda whole, at=at: whole[at::parts], data)
        loss = len(keras.tree.flatten(shown)[0]) / size * _loss(model, shown)
        model.optimizer.scale_loss(loss).backward()  # adds to the gradients
        total += loss.detach()
    with torch.no_grad():
        model.optimizer.apply([variable.value.grad for variable in variables], variables)
    return _counted(model, total, size)


def _on_jax(model: Any, parts: int, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
    """(logs, state), of the lists trainable, other, optimizer's and metrics' values."""
    import jax

    trainable, others, rule, metrics = state
    size = len(keras.tree.flatten(data)[0])
    parts = min(parts, size)

    def share_of_loss(trainable: Any, others: Any, shown: Any) -> tuple[Any, Any]:
        share = len(keras.tree.flatten(shown)[0]) / size
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(shown)
        scaled, (loss, _, others, _) = model.compute_loss_and_updates(
            trainable, others, metrics, images, labels, weights,
            training=True, optimizer_variables=rule,
        )  # fmt: skip
        return share * scaled, (share * loss, list(others))

    def part(before: Any, shown: Any) -> tuple[Any, None]:
        sums, total, others = before
        gradients, (loss, others) = jax.grad(share_of_loss, has_aux=True)(trainable, others, shown)
        return (jax.tree.map(jax.numpy.add, sums, gradients), total + loss, others), None

    sums = [jax.numpy.zeros_like(x) for x in trainable], jax.numpy.zeros(()), list(others)
    for table in _tables(data, size, parts):
        sums, _ = jax.lax.scan(part, sums, table)
    gradients, loss, others = sums
    trainable, rule = model.optimizer.stateless_apply(rule, gradients, trainable)
    before = zip(model.metrics_variables, metrics, strict=True)
    with keras.StatelessScope(state_mapping=list(before)) as scope:
        logs = _counted(model, loss, size)
    metrics = [scope.get_current_value(variable) for variable in model.metrics_variables]
    return logs, (trainable, others, rule, metrics)


def _tables(data: Any, size: int, parts: int) -> list[Any]:
    """The batch as [parts, images of a part, ...]: first the longer parts, then those that have an
    image less. For a loop's body of one shape, which is compiled once and not once a part."""
    import jax

    most = -(-size // parts)
    longer = size - parts * (most - 1)

    def table(whole: Any) -> Any:
        lacking = [(0, parts * most - size)] + [(0, 0)] * (whole.ndim - 1)
        padded = jax.numpy.pad(whole, lacking)
        return padded.reshape(most, parts, *whole.shape[1:]).swapaxes(0, 1)

    tables = jax.tree.map(table, data)
    whole = [jax.tree.map(lambda x: x[:longer], tables)]
    if longer < parts:
        whole.append(jax.tree.map(lambda x: x[longer:, :-1], tables))
    return whole


def _loss(model: Any, data: Any) -> Any:
    images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
    made = model(images, training=True)
    return model.compute_loss(x=images, y=labels, y_pred=made, sample_weight=weights, training=True)


def _counted(model: Any, loss: Any, size: Any) -> dict[str, Any]:
    """The epoch's mean loss so far, with this batch's."""
    [tracker] = (metric for metric in model.metrics if metric.name == "loss")
    tracker.update_state(loss, sample_weight=size)
    return dict(model.get_metrics_result())
