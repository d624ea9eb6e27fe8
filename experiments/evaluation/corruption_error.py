"""`evaluate.corruptions`: top-1 errors on eight corruptions of the images at five severities.

The mean corruption error is the plain mean of these forty errors. Hendrycks and Dietterich (2019)
divide each corruption's by AlexNet's on ImageNet-C; that holds for their images and all fifteen
corruptions, so errors here are set beside those of the first network that is named instead.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.errors import BadInput
from experiments.evaluation.image_set import Subject
from experiments.evaluation.scoring import Say, Scoring
from experiments.jobs.dataset import files_unchanged
from experiments.presentation.console import progress
from pipelines.augment.corruptions import NAMES, SEVERITIES, VERSIONS, constants_for
from tuning.statistics.significance import mean_interval

DEFINITION = (
    f"mean top-1 error over {len(NAMES)} corruptions and {SEVERITIES} severities, not divided by "
    "AlexNet's"
)


def check(scoring: Scoring) -> None:
    """Refuse before anything runs what cannot be corrupted. Raises BadInput."""
    for predictor in scoring.predictors:
        if predictor.name != "centre":
            raise BadInput(
                "evaluate.corruptions are made of the centre crop; leave evaluate.protocol out"
            )


def measure(
    scoring: Scoring, costs: Sequence[dict[str, Any]], *, quiet: bool, say: Say
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What to add to each network's row, and to the document: the key `corruptions` of both."""
    subject, errors = scoring.subject, []
    images = len(subject.indices)
    names = [network.name for network in scoring.networks]
    for name, predictor, cost in zip(names, scoring.predictors, costs, strict=True):
        seconds = images * VERSIONS * cost["latency_ms_per_image"] / 1000
        say(
            f"{name}: {len(NAMES)} corruptions x {SEVERITIES} severities, {VERSIONS} x the cost of "
            f"one view; {images:,} images, {seconds:.0f} s at batch 1, beside making them"
        )
        with (
            files_unchanged(subject.source),
            progress(f"corrupting for {name}", images, quiet) as advance,
        ):
            answers = predictor.corrupted(subject.source, subject.indices, advance)
        errors.append(~_right(answers, subject))
    sizes = {constants_for(predictor.size) for predictor in scoring.predictors}
    document = {
        "definition": DEFINITION,
        "constants": sorted(sizes),
        "differences": differences(names, errors),
    }
    return [{"corruptions": figures(each, errors[0])} for each in errors], {"corruptions": document}


def _right(answers: np.ndarray, subject: Subject) -> np.ndarray:
    """Bool [images, corruptions, severities]."""
    if subject.accepted is None:
        return np.asarray(answers == subject.labels[:, None, None])
    pairs = zip(answers, subject.accepted, strict=True)
    return np.stack([np.isin(of_image, right) for of_image, right in pairs])


def figures(errors: np.ndarray, first: np.ndarray) -> dict[str, Any]:
    """mean_corruption_error, its 95% interval, relative_to_first, and per corruption five errors.

    Args:
        errors: bool [images, corruptions, severities]; first: those of the first network.

    The interval resamples images, the forty versions of each together.
    """
    of_images = errors.sum(axis=(1, 2))
    interval = mean_interval(of_images, 0, VERSIONS)
    mean, of_first = float(errors.mean()), float(first.mean())
    return {
        "mean_corruption_error": mean,
        "interval": [interval.low / VERSIONS, interval.high / VERSIONS],
        "relative_to_first": mean / of_first if of_first else None,
        "per": dict(zip(NAMES, errors.mean(axis=0).tolist(), strict=True)),
    }


def differences(names: Sequence[str], errors: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """Of every two networks: first second difference interval, images resampled for both alike."""
    compared = []
    for first, second in itertools.combinations(range(len(names)), 2):
        of_images = errors[first].sum(axis=(1, 2)) - errors[second].sum(axis=(1, 2))
        interval = mean_interval(of_images, -VERSIONS, VERSIONS)
        compared.append(
            {
                "first": names[first],
                "second": names[second],
                "difference": float(of_images.mean() / VERSIONS),
                "interval": [interval.low / VERSIONS, interval.high / VERSIONS],
            }
        )
    return compared
