"""Accuracy class by class as one of a run's artifacts, which MLflow's pages show as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

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
