"""The folder that `ilsvrc evaluate --out` writes: tables, figures and predictions."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments import calibration, calibration_plot, confusion, confusion_plot
from experiments.answers import Answers
from experiments.errors import BadInput
from experiments.evaluation import Evaluation, write_predictions
from experiments.evaluation_set import PARTS, Subject

COLUMNS = (
    "name", "images", "top1", "top1_low", "top1_high", "top5", "top5_low", "top5_high", "ece",
    "protocol", "passes", "params", "macs_per_image", "latency_ms_per_image",
)  # fmt: skip


def write(
    out: Path, document: dict[str, Any], answers: Sequence[Answers], subject: Subject
) -> list[str]:
    """evaluation.json and evaluation.csv, and of each network (in a folder of its own where there
    are several) confusion.csv/.png, per_class.csv, calibration.csv/.png, predictions.parquet.

    Returns:
        The files, `out` included.

    Raises:
        BadInput: the folder cannot be written.
    """
    title = f"{subject.spec}, {subject.part}, {document['protocol']}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        files = []
        for each in answers:
            folder = out / _slug(each.name) if len(answers) > 1 else out
            folder.mkdir(exist_ok=True)
            files += _one(folder, each, subject, f"{each.name} on {title}")
        files += [out / "evaluation.csv", out / "evaluation.json"]
        _table(files[-2], document)
        files[-1].write_text(
            json.dumps(document | {"files": [str(file) for file in files]}, indent=1) + "\n",
            encoding="utf-8",
        )
    except OSError as error:
        raise BadInput(
            f"--out: {error.filename or out} cannot be written ({error.strerror})"
        ) from None
    return [str(file) for file in files]


def _one(folder: Path, answers: Answers, subject: Subject, title: str) -> list[Path]:
    names = subject.class_names
    counts = confusion.matrix(answers.labels, answers.predicted, len(names))
    classes = confusion.per_class(counts, names)
    found = calibration.measure(answers.probabilities, answers.right)
    confusion.write_matrix(folder / "confusion.csv", counts, names)
    confusion_plot.draw(counts, names, title, folder / "confusion.png")
    confusion.write_rows(folder / "per_class.csv", classes)
    confusion.write_rows(folder / "calibration.csv", [asdict(each) for each in found.bins])
    calibration_plot.draw(found, title, folder / "calibration.png")
    columns = {
        "label": answers.labels,
        "predicted": answers.predicted,
        "probabilities": answers.probabilities.astype("float32"),
    }
    part = PARTS.get(subject.part, subject.part)
    write_predictions(
        folder / "predictions.parquet", [(part, subject.indices, Evaluation({}, 0.0, columns))]
    )
    kinds = ("confusion.csv", "confusion.png", "per_class.csv", "calibration.csv")
    return [folder / name for name in (*kinds, "calibration.png", "predictions.parquet")]


def _table(path: Path, document: dict[str, Any]) -> None:
    rows = [*document["rows"], *([document["ensemble"]] if document["ensemble"] else [])]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            ends = {
                f"{key}_{end}": interval[at]
                for key in ("top1", "top5")
                if (interval := row[f"{key}_interval"])
                for at, end in enumerate(("low", "high"))
            }
            writer.writerow(row | ends)


def _slug(name: str) -> str:
    """A name as that of a folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("_.") or "network"
