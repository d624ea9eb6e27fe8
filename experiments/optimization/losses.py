"""Losses on logits and labels; each gives one value an image.

Labels are whole numbers [b], or shares of the classes, float [b, classes] of rows that sum to one,
as MixUp and CutMix make them. The hinge and the map criterion know one right class only and refuse
shares.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from experiments.config.train import Loss as Settings


def build(settings: Settings, classes: int) -> keras.losses.Loss:
    """The loss that the config names, for a network of `classes` outputs."""
    if settings.name == "cross_entropy":
        return CrossEntropy(classes, settings.label_smoothing)
    if settings.name == "map_criterion":
        return MapCriterion(classes)
    return Hinge(classes) if settings.name == "hinge" else MeanSquaredError(classes)


def shares(labels: Any, classes: int) -> Any:
    """Labels as float32 [b, classes] of rows that sum to one."""
    if len(labels.shape) == 2:
        return ops.cast(labels, "float32")
    return ops.one_hot(ops.cast(labels, "int32"), classes, dtype="float32")


def one_hot(labels: Any, classes: int, name: str) -> Any:
    """Labels as float32 [b, classes], one class an image. Raises ValueError for soft labels."""
    if len(labels.shape) == 2:
        raise ValueError(
            f"{name}: expected labels of one class an image, received shares of the classes; "
            "set train.loss.name=cross_entropy, or take mixup and cutmix out of augment"
        )
    return shares(labels, classes)


class CrossEntropy(keras.losses.Loss):
    """Softmax cross-entropy; label smoothing as in Szegedy et al. 2016, section 7.

    The target is (1 - smoothing) on the label plus smoothing / classes on every class. Of a soft
    label the same: (1 - smoothing) * share + smoothing / classes, mixed first and smoothed then.
    """

    def __init__(self, classes: int, smoothing: float = 0.0):
        super().__init__(name="cross_entropy")
        self.classes, self.smoothing = classes, smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        log_p = ops.log_softmax(ops.cast(y_pred, "float32"))
        target = shares(y_true, self.classes)
        loss = -ops.sum(target * log_p, axis=-1)
        if self.smoothing:
            loss = (1 - self.smoothing) * loss - self.smoothing * ops.mean(log_p, axis=-1)
        return loss


class Hinge(keras.losses.Loss):
    """Multi-class hinge with margin 1 (Weston and Watkins 1999), as in the CS231n notes.

    The sum over the wrong classes j of max(0, score_j - score_label + 1).
    """

    def __init__(self, classes: int):
        super().__init__(name="hinge")
        self.classes = classes

    def call(self, y_true: Any, y_pred: Any) -> Any:
        scores = ops.cast(y_pred, "float32")
        target = one_hot(y_true, self.classes, self.name)
        right = ops.sum(target * scores, axis=-1, keepdims=True)
        return ops.sum((1 - target) * ops.relu(scores - right + 1), axis=-1)


class MeanSquaredError(keras.losses.Loss):
    """Mean over the classes of (score - target) squared, on the raw outputs.

    The target is one-hot, or the shares of a soft label; for those the gradient is that of the
    losses of its classes, mixed.
    """

    def __init__(self, classes: int):
        super().__init__(name="mean_squared_error")
        self.classes = classes

    def call(self, y_true: Any, y_pred: Any) -> Any:
        target = shares(y_true, self.classes)
        return ops.mean(ops.square(ops.cast(y_pred, "float32") - target), axis=-1)


class MapCriterion(keras.losses.Loss):
    """Maximum a posteriori over the classes and a rubbish class: LeCun et al. 1998, equation 9.

    y_label + log(exp(-j) + sum over the classes of exp(-y_i)), the y being distances, that is minus
    the scores; wrong classes farther away than about j are left where they are.
    """

    def __init__(self, classes: int, j: float = 0.1):
        super().__init__(name="map_criterion")
        self.classes, self.j = classes, j

    def call(self, y_true: Any, y_pred: Any) -> Any:
        scores = ops.cast(y_pred, "float32")
        target = one_hot(y_true, self.classes, self.name)
        rubbish = ops.full_like(scores[:, :1], -self.j)
        everything = ops.logsumexp(ops.concatenate([scores, rubbish], axis=-1), axis=-1)
        return everything - ops.sum(target * scores, axis=-1)
