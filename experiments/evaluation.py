"""A trained network on one part of the data: its scores, and what it said of each image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.errors import FailedWork
from experiments.scores import accuracies, log_mean_probabilities, softmax

if TYPE_CHECKING:
    from experiments.batches import Rows
    from experiments.trainer import Trainer


@dataclass(frozen=True)
class Evaluation:
    """Of one part: scores by metric name, mean loss, and columns of one value an image.

    The columns are `label predicted probabilities`, or `label mse` for a reconstruction.
    """

    scores: dict[str, float]
    loss: float
    columns: dict[str, np.ndarray]


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


def write_predictions(path: Path, parts: list[tuple[str, np.ndarray, Evaluation]]) -> str | None:
    """One row an image: part, index into the source, and the columns of its evaluation."""
    if not parts:
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for part, indices, evaluation in parts:
        columns = {
            "part": pa.array([part] * len(indices)),
            "index": pa.array(np.asarray(indices, np.int64)),
        }
        for name, values in evaluation.columns.items():
            if values.ndim == 2:
                flat = pa.array(values.ravel())
                columns[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
            else:
                whole = values.dtype.kind in "iu"
                columns[name] = pa.array(values.astype(np.int32) if whole else values)
        tables.append(pa.table(columns))
    unfinished = path.with_suffix(".writing")
    pq.write_table(pa.concat_tables(tables), unfinished)
    os.replace(unfinished, path)
    return str(path)


def _check_finite(values: np.ndarray, part: str) -> None:
    if not np.isfinite(values).all():
        raise FailedWork(f"the network gives scores that are not finite on the {part} images")
