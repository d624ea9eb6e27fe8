"""What networks said of the same images, as figures: each, their ensemble, and every pair."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.evaluation import calibration, confusion
from experiments.evaluation.image_set import Subject
from experiments.metrics import ranks, softmax
from tuning import ensemble
from tuning.statistics import significance

TOP5_FROM = ensemble.TOP5_FROM


@dataclass(frozen=True)
class Answers:
    """Of one network, an entry an image.

    name           of the network, as shown
    labels         the right column
    rank           classes before the label; 0 is a top-1 hit
    predicted      the answer's column; beyond the set's own classes it is none of them
    probabilities  [images, columns], rows of sum one
    columns        names of the columns, the set's own classes first
    accepted       of each image all the right labels; None: the one in `labels`. `labels` then has
                   of these the one that the network finds most probable, and rank is of that
    """

    name: str
    labels: np.ndarray
    rank: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    columns: list[str]
    accepted: Sequence[np.ndarray] | None = None

    @classmethod
    def of(
        cls,
        name: str,
        scores: np.ndarray,
        labels: np.ndarray,
        columns: Sequence[str],
        accepted: Sequence[np.ndarray] | None = None,
    ) -> Answers:
        """From scores [images, columns] whose softmax is the answer; equal ones count for the
        lower class number, as argmax does."""
        return cls._ranked(name, scores, softmax(scores), labels, columns, accepted)

    @classmethod
    def of_probabilities(
        cls,
        name: str,
        chances: np.ndarray,
        labels: np.ndarray,
        columns: Sequence[str],
        accepted: Sequence[np.ndarray] | None = None,
    ) -> Answers:
        """From probabilities [images, columns]."""
        return cls._ranked(name, chances, chances, labels, columns, accepted)

    @classmethod
    def _ranked(
        cls,
        name: str,
        scores: np.ndarray,
        chances: np.ndarray,
        labels: np.ndarray,
        columns: Sequence[str],
        accepted: Sequence[np.ndarray] | None,
    ) -> Answers:
        if accepted is not None:
            pairs = zip(scores, accepted, strict=True)
            labels = np.array([right[row[right].argmax()] for row, right in pairs], np.int64)
        predicted, rank = scores.argmax(axis=1), ranks(scores, labels)
        return cls(name, labels, rank, predicted, chances, list(columns), accepted)

    @property
    def right(self) -> np.ndarray:
        """Top-1 hits, bool [images]."""
        return np.asarray(self.rank < 1)


def figures(answers: Answers, subject: Subject) -> dict[str, Any]:
    """images top1 top5, 95% bootstrap intervals, ece mean_confidence, worst_pairs,
    macro_precision macro_recall macro_f1; under `evaluate.labels` also labels, the file, and
    left_out.

    top5 is None with five classes or fewer, and for lists of right labels.
    """
    images = len(answers.rank)
    row: dict[str, Any] = {"images": images}
    if subject.accepted is not None:
        row |= {"labels": subject.labels_file, "left_out": subject.left_out}
    for key, k in (("top1", 1), ("top5", 5)):
        row[key] = row[f"{key}_interval"] = None
        ranked = len(answers.columns) >= TOP5_FROM and answers.accepted is None
        if k == 1 or ranked:
            hits = int((answers.rank < k).sum())
            interval = significance.accuracy_interval(hits, images)
            row[key], row[f"{key}_interval"] = hits / images, [interval.low, interval.high]
    calibrated = calibration.measure(answers.probabilities, answers.right)
    names = subject.class_names
    counts = confusion.matrix(answers.labels, answers.predicted, len(names))
    return row | {
        "ece": calibrated.ece,
        "mean_confidence": calibrated.confidence,
        "worst_pairs": confusion.worst_pairs(counts, names, titles=subject.titles),
        **confusion.macro_averages(counts),
    }


def together(members: Sequence[Answers]) -> tuple[Answers | None, str | None]:
    """The mean of the members' probabilities, or why there is none."""
    if len(members) < 2:
        return None, None
    if any(member.columns != members[0].columns for member in members):
        return None, "no ensemble: the networks' classes are not the same; set evaluate.classes"
    mean = ensemble.average([member.probabilities for member in members])
    first = members[0]
    name = f"ensemble of {len(members)}"
    answers = Answers.of_probabilities(name, mean, first.labels, first.columns, first.accepted)
    return answers, None


def pairs(members: Sequence[Answers]) -> list[dict[str, Any]]:
    """McNemar's test of the top-1 hits of every two, p-values also adjusted after Holm."""
    compared: list[dict[str, Any]] = []
    for first, second in itertools.combinations(members, 2):
        test = significance.mcnemar(first.right, second.right)
        interval = significance.difference_interval(first.right, second.right)
        compared.append(
            {
                "first": first.name,
                "second": second.name,
                "top1_difference": float(first.right.mean() - second.right.mean()),
                "interval": [interval.low, interval.high],
                "only_first": test.only_first,
                "only_second": test.only_second,
                "p_value": test.p_value,
                "method": test.method,
            }
        )
    adjusted = significance.holm([pair["p_value"] for pair in compared]) if compared else ()
    return [pair | {"p_holm": float(p)} for pair, p in zip(compared, adjusted, strict=True)]
