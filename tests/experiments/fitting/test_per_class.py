"""Accuracy class by class, as a table that MLflow shows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from experiments.fitting import scoring


def test_each_class_has_its_accuracy_and_commonest_mistake():
    labels = np.array([0, 0, 0, 0, 2, 2])
    predicted = np.array([0, 2, 1, 2, 2, 2])
    made = scoring.per_class(labels, predicted, ["cat", "dog", "elk"])
    columns = ["class", "images", "top1", "taken_for", "times", "precision", "recall", "f1"]
    assert made["columns"] == columns
    assert made["data"] == [
        ["cat", 4, 0.25, "elk", 2, 1.0, 0.25, 0.4],
        ["elk", 2, 1.0, "", 0, 0.5, 1.0, pytest.approx(2 / 3)],
    ]
    assert json.loads(json.dumps(made)) == made
