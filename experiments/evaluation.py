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
    from experiments.trainer import Trainer


@dataclass(frozen=True)
class Evaluation:
    """Of one part: scores by metric name, mean loss, and columns of one value an image.

    The columns are `label predicted probabilities`, or `label mse` for a reconstruction.
    """

    scores: dict[str, float]
    loss: float
    columns: dict[str, np.ndarray]


def evaluate(trainer: Trainer, dataset: Any, part: str, samples: int = 1) -> Evaluation:
    """Score every image of a dataset once.

    Args:
        trainer: holds the network.
        dataset: batches of (images, labels).
        part: train, val or test, the prefix of the metrics.
        samples: stochastic passes whose probabilities are averaged; the loss is then that of
            their logarithm, which is cross-entropy's own.

    Raises:
        FailedWork: the network gives numbers that are not finite.
    """
    if trainer.reconstructs:
        errors, labels = trainer.pixel_errors(dataset)
        _check_finite(errors, part)
        mse = float(errors.astype(np.float64).mean())
        return Evaluation({f"{part}_mse": mse}, mse, {"label": labels, "mse": errors})
    logits, labels = trainer.logits(dataset)
    _check_finite(logits, part)
    if samples > 1:
        passes = [logits, *(trainer.logits(dataset)[0] for _ in range(samples - 1))]
        logits = log_mean_probabilities(passes)
    probabilities = softmax(logits)
    return Evaluation(
        accuracies(logits, labels, part),
        trainer.mean_loss(logits, labels),
        {
            "label": labels,
            "predicted": probabilities.argmax(axis=1),
            "probabilities": probabilities,
        },
    )


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
