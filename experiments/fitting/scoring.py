"""A trained network on one part of the data: scores, predictions, accuracy class by class."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.errors import FailedWork
from experiments.jobs.job import Job, draw_seed
from experiments.jobs.predictions import Evaluation
from experiments.metrics import (
    accuracies,
    log_mean_probabilities,
    over_classes,
    precision_recall_f1,
    softmax,
)

if TYPE_CHECKING:
    from experiments.training.batches import Batches, Rows
    from experiments.training.history import History
    from experiments.training.trainer import Trainer


def score_part(trainer: Trainer, images: Rows | Any, part: str, samples: int = 1) -> Evaluation:
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
    scores = accuracies(logits, labels, part)
    if part != "train":
        scores |= over_classes(logits.argmax(axis=1), labels, part)
    return Evaluation(
        scores,
        loss,
        {
            "label": labels,
            "predicted": probabilities.argmax(axis=1),
            "probabilities": probabilities,
        },
    )


def of_validation(results: Mapping[str, Evaluation]) -> dict[str, float]:
    """Loss and scores by validation part; of a pair of folds the means of both, too, as `val_`."""
    told: dict[str, float] = {}
    for part, result in results.items():
        told |= {f"{part}_loss": result.loss, **result.scores}
    if results and "val" not in results:
        first = next(iter(results))
        names = [key.removeprefix(f"{first}_") for key in told if key.startswith(f"{first}_")]
        told |= {f"val_{name}": fmean(told[f"{part}_{name}"] for part in results) for name in names}
    return told


def mean(values: np.ndarray) -> float:
    """In double precision, so that it does not depend on how many there are."""
    return float(values.astype(np.float64).mean())


def _check_finite(values: np.ndarray, part: str) -> None:
    if not np.isfinite(values).all():
        raise FailedWork(f"the network gives scores that are not finite on the {part} images")


@dataclass(frozen=True)
class Scores:
    """Every score of a fit, and what the network gave of each held-out image."""

    scores: dict[str, float]
    held_out: list[tuple[str, np.ndarray, Evaluation]]
    """(part, indices, evaluation) of `Job.held_out`."""


def score_fit(job: Job, trainer: Trainer, batches: Batches, history: History) -> Scores:
    """Score the parts of a job by its trained network; the training part where it is measured.

    Raises:
        FailedWork: as `score_part`.
    """
    config = job.config
    scores: dict[str, float] = {}
    if history.epochs:
        reached = history.best_epoch if config.train.early_stopping else len(history.epochs)
        scores["train_loss"] = history.epochs[(reached or 1) - 1]["train_loss"]
    trainer.seed_samples(draw_seed(config, "dropout_samples", of="dropout"))
    if job.measured:
        scores |= score_part(trainer, batches.held_out(job.train), "train").scores
    held_out = []
    for part, indices in job.held_out:
        if job.pair:  # each as if it were alone
            trainer.seed_samples(draw_seed(config, "dropout_samples", of="dropout"))
        samples = config.evaluate.dropout_samples
        result = score_part(trainer, batches.held_out(indices), part, samples)
        held_out.append((part, indices, result))
    results = {part: result for part, _, result in held_out}
    tested = results.pop("test", None)
    scores |= of_validation(results) | (tested.scores if tested else {})
    return Scores(scores, held_out)


PER_CLASS = "per_class.json"

TAGS = {"mlflow.loggedArtifacts": json.dumps([{"path": PER_CLASS, "type": "table"}])}
"""What `mlflow.log_table` leaves on a run, so that its tables can be put beside others'."""


def per_class(
    labels: np.ndarray,
    predicted: np.ndarray,
    class_names: Sequence[str],
    titles: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """{columns, data}, as `mlflow.log_table` writes it; classes without images are left out.

    The columns are class, images, top1, taken_for (the commonest wrong answer, or "") and times;
    then title, where classes have readable names; last precision, recall and f1.

    Args:
        labels, predicted: int [images].
        titles: class name -> readable name.
    """
    rows = []
    counts = (labels[labels == predicted], labels, predicted)
    rates = precision_recall_f1(*(np.bincount(x, minlength=len(class_names)) for x in counts))
    for number, name in enumerate(class_names):
        answers = predicted[labels == number]
        if not len(answers):
            continue
        wrong, times = np.unique(answers[answers != number], return_counts=True)
        worst = int(times.argmax()) if len(times) else None
        taken = ["", 0] if worst is None else [class_names[int(wrong[worst])], int(times[worst])]
        title = [titles.get(name, "")] if titles else []
        top1 = float((answers == number).mean())
        rows.append([name, len(answers), top1, *taken, *title, *rates[number].tolist()])
    columns = ["class", "images", "top1", "taken_for", "times", *["title"] * bool(titles)]
    return {"columns": [*columns, "precision", "recall", "f1"], "data": rows}
