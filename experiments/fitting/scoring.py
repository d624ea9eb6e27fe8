"""A trained network on one part of the data: scores, predictions, accuracy class by class."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.errors import FailedWork
from experiments.jobs.predictions import PROBABILITIES, Evaluation, epoch_column
from experiments.metrics import accuracies, log_mean_probabilities, softmax

if TYPE_CHECKING:
    from experiments.training.batches import Rows
    from experiments.training.trainer import Trainer


def evaluate(trainer: Trainer, images: Rows | Any, part: str, samples: int = 1) -> Evaluation:
    """Score every image of a part once.

    Args:
        trainer: holds the network.
        images: Rows in memory, or a dataset of batches (images, labels): the same scores.
        part: train, val or test, the prefix of the metrics.
        samples: stochastic passes whose probabilities are averaged; the loss is then that of
            their logarithm, which is cross-entropy's own.

    Raises:
        FailedWork: the network gives numbers that are not finite.
    """
    if trainer.reconstructs:
        _, errors, labels = trainer.score(images)
        _check_finite(errors, part)
        mse = mean(errors)
        return Evaluation({f"{part}_mse": mse}, mse, {"label": labels, "mse": errors})
    logits, losses, labels = trainer.score(images)
    _check_finite(logits, part)
    loss = mean(losses)
    if samples > 1:
        passes = [logits, *(trainer.score(images)[0] for _ in range(samples - 1))]
        logits = log_mean_probabilities(passes)
        loss = trainer.mean_loss(logits, labels)
    probabilities = softmax(logits)
    return Evaluation(
        accuracies(logits, labels, part),
        loss,
        {
            "label": labels,
            "predicted": probabilities.argmax(axis=1),
            "probabilities": probabilities,
        },
    )


def mean(values: np.ndarray) -> float:
    """In double precision, so that it does not depend on how many there are."""
    return float(values.astype(np.float64).mean())


def _check_finite(values: np.ndarray, part: str) -> None:
    if not np.isfinite(values).all():
        raise FailedWork(f"the network gives scores that are not finite on the {part} images")


Said = tuple[str, np.ndarray, Evaluation]


class Checkpoints:
    """Asks the network at the epochs asked for, and keeps the answers in columns of their own.

    Args:
        trainer: holds the network.
        parts: dataset of each held-out part, by its name in the predictions.
        epochs: counted from 1.
    """

    def __init__(self, trainer: Trainer, parts: dict[str, Any], epochs: Sequence[int]):
        self.trainer, self.parts, self.epochs = trainer, parts, frozenset(epochs)
        self.columns: dict[str, dict[str, np.ndarray]] = {part: {} for part in parts}

    def keep(self, epoch: int) -> None:
        """Ask now, if this epoch is one of them."""
        if epoch not in self.epochs:
            return
        for part, dataset in self.parts.items():
            found = evaluate(self.trainer, dataset, part)
            self.columns[part][epoch_column(epoch)] = found.columns[PROBABILITIES]

    def beside(self, said: Sequence[Said]) -> list[Said]:
        """The last answers by part, with the earlier ones beside them."""
        return [
            (part, indices, replace(last, columns=last.columns | self.columns.get(part, {})))
            for part, indices, last in said
        ]


NAME = "per_class.json"

TAGS = {"mlflow.loggedArtifacts": json.dumps([{"path": NAME, "type": "table"}])}
"""What `mlflow.log_table` leaves on a run, so that its tables can be put beside others'."""


def table(labels: np.ndarray, predicted: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """{columns, data}, as `mlflow.log_table` writes it; classes without images are left out.

    The columns are class, images, top1, taken_for (the commonest wrong answer, or "") and times.

    Args:
        labels, predicted: int [images].
    """
    rows = []
    for number, name in enumerate(class_names):
        answers = predicted[labels == number]
        if not len(answers):
            continue
        wrong, times = np.unique(answers[answers != number], return_counts=True)
        worst = int(times.argmax()) if len(times) else None
        said = ["", 0] if worst is None else [class_names[int(wrong[worst])], int(times[worst])]
        rows.append([name, len(answers), float((answers == number).mean()), *said])
    return {"columns": ["class", "images", "top1", "taken_for", "times"], "data": rows}
