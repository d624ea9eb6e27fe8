"""Published figures beside ours: within our interval or not, or why the two do not compare."""

from __future__ import annotations

import re
from typing import Any

import models
from experiments.evaluation.image_set import Subject
from models.published import SINGLE_CROP_SET, Published, figures

VALIDATION_IMAGES, CLASSES = 50_000, 1000
VIEWS = {
    "centre": ("1 crop", "1 view"),
    "ten_crop": ("10 crops",),
    "alexnet": ("10 crops",),
    "144_crop": ("144 crops",),
    "multi_scale": (),
    "dense": ("dense", "multi-scale dense"),
}
"""What the cards call our protocols."""
ALSO = {"timm": ("timm", "Cadene")}
"""Who reports on the weights of an origin; inception_v4's are Cadene's."""


def beside(
    architecture: str,
    origin: str,
    subject: Subject,
    row: dict[str, Any],
    *,
    sides: tuple[int, ...],
    resized_to: int,
) -> list[dict[str, Any]]:
    """The figures reported of these weights; without any, the authors' under our protocol.

    Keys: source, protocol, top1_error, top5_error (per cent), comparable, why_not, and
    top1_within, top5_within: whether it lies in our 95% interval, None where not comparable.

    Args:
        row: of our evaluation: protocol, top1_interval, top5_interval.
        sides: as `evaluate.sides`.
        resized_to: short side of which the centre crop is the middle.
    """
    listed = [figure for figure in figures(models.card(architecture)) if figure.networks == 1]
    theirs = ALSO.get(origin, (origin,))
    reported = [figure for figure in listed if figure.source.partition(",")[0] in theirs]
    of_paper = [f for f in listed if f.own and f.views in VIEWS[row["protocol"]]]
    rows = []
    for figure in reported or of_paper:
        why = _why_not(figure, subject, row["protocol"], sides, resized_to)
        if why is None and not reported:
            why = "of the authors' own network, not of these weights"
        rows.append(
            {
                "source": figure.source,
                "protocol": figure.protocol,
                "top1_error": figure.top1_error,
                "top5_error": figure.top5_error,
                "comparable": why is None,
                "why_not": why,
                "top1_within": _within(figure.top1_error, row["top1_interval"], why),
                "top5_within": _within(figure.top5_error, row["top5_interval"], why),
            }
        )
    return rows


def _why_not(
    figure: Published, subject: Subject, protocol: str, sides: tuple[int, ...], resized_to: int
) -> str | None:
    if figure.dataset != SINGLE_CROP_SET:
        return f"reported on {figure.dataset}"
    if subject.accepted is not None:
        return f"reported for the set's own labels, not those of {subject.labels_file}"
    images, classes = len(subject.indices), len(subject.class_names)
    known = subject.spec.startswith(("ilsvrc:", "tfds:imagenet2012"))
    whole = (images, classes) == (VALIDATION_IMAGES, CLASSES)
    if not (known and whole and subject.official and subject.part == "validation"):
        return (
            f"this is not the ILSVRC-2012 validation set ({VALIDATION_IMAGES:,} images of "
            f"{CLASSES:,} classes) but {images:,} of {classes:,}"
        )
    if figure.views not in VIEWS[protocol]:
        return f"another protocol, {figure.views}"
    if protocol == "dense":
        tested = re.search(r"tested at Q=(\d+)\b", figure.protocol)
        if tested is None or sides != (int(tested[1]),):
            return "other image sizes; set evaluate.sides"
    size = re.search(r"resized to (\d+)", figure.protocol)
    if size and protocol == "centre" and int(size[1]) != resized_to:
        return (
            f"resized to {size[1]} there, {resized_to} here; set data.crop_fraction to the "
            f"network's side / {size[1]}, rounded down"
        )
    return None


def _within(error: float | None, interval: list[float] | None, why: str | None) -> bool | None:
    if error is None or interval is None or why is not None:
        return None
    low, high = interval
    return 100 * (1 - high) <= error <= 100 * (1 - low)
