"""What training minimises, whatever the network gives: logits, several heads, or images."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from experiments.errors import BadInput
from experiments.optimization.accumulation import accumulated_step
from models.registry import LOGITS


class Objective(keras.Model):
    """A functional model of pixels with the loss that its updates lower.

    The loss of a batch is loss(logits) + sum of weight * loss(auxiliary head) + the penalties of
    kernel regularizers; weights of images act on every head. A reconstruction is held against
    its own pixels, and labels play no part.
    """

    def set_up(
        self,
        criterion: keras.losses.Loss,
        weights: dict[str, float],
        *,
        reconstructs: bool,
        accumulate: int = 1,
    ) -> None:
        """Name the loss of one head, the weight of each head's loss, and the parts of a batch."""
        self.criterion, self.reconstructs, self.accumulate = criterion, reconstructs, accumulate
        self.head_weights = tuple(weights.items())  # a tuple: Keras would track a dict

    def __call__(self, pixels: Any, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(joined(pixels), *args, **kwargs)  # Keras would count two inputs

    def stateless_call(self, trainable: Any, others: Any, pixels: Any, **kwargs: Any) -> Any:
        """What JAX's updates call, past `__call__`."""
        return super().stateless_call(trainable, others, joined(pixels), **kwargs)

    def train_step(self, *given: Any) -> Any:
        """One update from a batch; JAX gives its state too."""
        if self.accumulate == 1:
            return super().train_step(*given)
        return accumulated_step(self, self.accumulate, *given)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The loss of one batch, as Keras's own train step asks for it."""
        outputs = y_pred if isinstance(y_pred, dict) else {LOGITS: y_pred}
        target = unit(joined(x)) if self.reconstructs else y
        total = 0.0
        for head, weight in self.head_weights:
            total += weight * self.criterion(target, outputs[head], sample_weight)
        for penalty in self.losses:
            total += ops.sum(ops.cast(penalty, "float32"))
        return total


class PixelError(keras.losses.Loss):
    """Mean over pixels and channels of the squared difference; one value an image."""

    def __init__(self) -> None:
        super().__init__(name="pixel_error")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        difference = ops.cast(y_pred, "float32") - ops.cast(y_true, "float32")
        return ops.mean(ops.square(difference), axis=(1, 2, 3))


def joined(pixels: Any) -> Any:
    """What the network is shown: images, or the sum of a pair (uint8 images [b, h, w, c], float32
    offsets [b, c] of their colours) that crossed to the device as a quarter of the bytes."""
    if not isinstance(pixels, tuple | list):
        return pixels
    images, offsets = pixels
    return ops.cast(images, "float32") + offsets[:, None, None, :]


def unit(pixels: Any) -> Any:
    """The target of a reconstruction: pixels of 0..255 as 0..1, whatever the network is shown.

    So an error means the same under every `data.normalise` and on every data set: its square root
    is a fraction of the range from black to white.
    """
    return ops.cast(pixels, "float32") / 255.0


def head_weights(network: keras.Model, auxiliary: dict[str, float]) -> dict[str, float]:
    """The weight of each output's loss: 1 for the logits, the card's for the others.

    Raises:
        BadInput: an output that the card names no weight for.
    """
    heads = list(network.output) if isinstance(network.output, dict) else [LOGITS]
    for head in heads:
        if head != LOGITS and head not in auxiliary:
            raise BadInput(
                f"model: the card of {network.name} has no auxiliary_loss_weights for its output "
                f"{head}; known: {', '.join(auxiliary) or 'none'}"
            )
    return {head: 1.0 if head == LOGITS else auxiliary[head] for head in heads}
