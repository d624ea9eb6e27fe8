"""Top-k accuracy over every image of a set; precision, recall and F1 class by class."""

from __future__ import annotations

import numpy as np


def ranks(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes each image's label stands behind; 0 is a top-1 hit.

    Equal scores count for the lower class number, as argmax does, so that a network that gives
    every class the same score is not credited with hits.

    Args:
        logits: float [images, classes]. labels: int [images].
    """
    of_label = np.take_along_axis(logits, labels[:, None], axis=1)
    above = (logits > of_label).sum(axis=1)
    classes = np.arange(logits.shape[1])
    level = ((logits == of_label) & (classes < labels[:, None])).sum(axis=1)
    return np.asarray(above + level)


def accuracies(logits: np.ndarray, labels: np.ndarray, prefix: str) -> dict[str, float]:
    """{prefix_top1, prefix_top5} as fractions; top-5 is left out at five classes or fewer."""
    rank = ranks(logits, labels)
    scores = {f"{prefix}_top1": float((rank < 1).mean())}
    if logits.shape[1] > 5:
        scores[f"{prefix}_top5"] = float((rank < 5).mean())
    return scores


def precision_recall_f1(correct: np.ndarray, images: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Of each class, float [classes, 3]; NaN where it has no images, so that `np.nanmean` gives the
    macro average. A class that was never answered has a precision of 0, as in scikit-learn.

    Args:
        correct, images, answers: of each class, its hits, its images and how often it was answered.
    """
    hits = np.where(images > 0, correct, np.nan)
    each = (answers, images, (answers + images) / 2)
    return np.stack([hits / np.maximum(count, 0.5) for count in each], axis=1)


def over_classes(predicted: np.ndarray, labels: np.ndarray, prefix: str) -> dict[str, float]:
    """{prefix_balanced_top1, prefix_macro_f1}: recall and F1 averaged over the classes that have
    images, as scikit-learn's `balanced_accuracy_score` and `f1_score(average="macro")` over them.

    A class that is never answered has an F1 of 0; one without images is left out of both, and its
    wrong answers cost the recall of the others only.

    Args:
        predicted, labels: int [images]; of none both are NaN, as top-1 is.
    """
    if not len(labels):
        return {f"{prefix}_balanced_top1": np.nan, f"{prefix}_macro_f1": np.nan}
    classes = int(max(predicted.max(), labels.max())) + 1
    counts = (labels[labels == predicted], labels, predicted)
    rates = precision_recall_f1(*(np.bincount(x, minlength=classes) for x in counts))
    _, recall, f1 = np.nanmean(rates, axis=0)
    return {f"{prefix}_balanced_top1": float(recall), f"{prefix}_macro_f1": float(f1)}


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, float32 [images, classes]."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)


def log_mean_probabilities(passes: list[np.ndarray]) -> np.ndarray:
    """Logarithm of the probabilities averaged over passes, float32 [images, classes].

    Its softmax is the average (Gal and Ghahramani 2016, section 4), so it stands for logits.

    Args:
        passes: logits [images, classes], one array a stochastic pass.
    """
    total = np.zeros(passes[0].shape)
    for logits in passes:
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
        total += shifted / shifted.sum(axis=1, keepdims=True)
    smallest = np.finfo(np.float64).tiny  # a class that no pass gives anything must stay finite
    return np.log(np.maximum(total / len(passes), smallest)).astype(np.float32)
