"""Published figures beside ours: compared where they may be, and why not where not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.evaluation.image_set import Subject
from experiments.evaluation.published_check import beside


def subject(images=50_000, classes=1000, spec="ilsvrc:there", part="validation"):
    indices = np.arange(images)
    names = [str(i) for i in range(classes)]
    return Subject(spec, "x", part, indices, indices % classes, names, official=True)


ROW = {"protocol": "centre", "top1_interval": [0.693, 0.701], "top5_interval": [0.88, 0.89]}


def found(where, row=ROW, **changes):
    settings = {"sides": (), "resized_to": 256} | changes
    return beside("resnet18", "torchvision", where, row, **settings)


def test_the_weights_own_figure_is_held_against_the_interval():
    [figure] = found(subject())
    assert figure["source"].startswith("torchvision")
    assert figure["comparable"] is True
    assert figure["top1_error"] == pytest.approx(30.242)
    assert figure["top1_within"] is True  # 69.758 % lies within 69.3 to 70.1
    assert figure["top5_within"] is False  # 89.078 % does not within 88 to 89


@pytest.mark.parametrize(
    ("where", "changes", "why"),
    [
        (subject(images=49_999), {}, r"not the ILSVRC-2012 validation set.*49,999 of 1,000"),
        (subject(spec="folder:val"), {}, r"not the ILSVRC-2012 validation set"),
        (subject(part="train"), {}, r"not the ILSVRC-2012 validation set"),
        (subject(), {"resized_to": 232}, r"resized to 256 there, 232 here"),
    ],
)
def test_what_differs_is_said(where, changes, why):
    import re

    [figure] = found(where, **changes)
    assert figure["comparable"] is False
    assert re.search(why, figure["why_not"])
    assert figure["top1_within"] is None


def test_another_protocol_does_not_compare():
    [figure] = found(subject(), ROW | {"protocol": "ten_crop"})
    assert figure["why_not"] == "another protocol, 1 crop"


def test_the_papers_figures_are_of_other_weights():
    row = ROW | {"protocol": "ten_crop"}
    figures = beside("plain34", "torchvision", subject(), row, sides=(), resized_to=256)
    assert [figure["top1_error"] for figure in figures] == [28.54]
    assert figures[0]["why_not"] == "of the authors' own network, not of these weights"


def test_other_labels_do_not_compare():
    where = replace(subject(), accepted=[np.array([0])] * 50_000, labels_file="real.json")
    [figure] = found(where)
    assert figure["why_not"] == "reported for the set's own labels, not those of real.json"
    assert figure["top1_within"] is None
