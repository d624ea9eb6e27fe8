"""Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR
2015 (arXiv:1409.1556)."""

from __future__ import annotations

from typing import Any

from experiments.papers.declaration import ILSVRC2012, Cell, Measure, Paper, Table, as_published

FLIP_AND_COLOUR = [
    {"op": "horizontal_flip", "probability": 0.5},
    {"op": "pca_jitter", "sigma": 0.1},
]


def at_scale(low: int, high: int) -> list[dict[str, Any]]:
    """Section 3.1: short sides S that training images are resized to, for crops of 224."""
    crop = {"op": "scale_and_crop", "short_side": [low, high], "reference": 224}
    return [crop, *FLIP_AND_COLOUR]


BASE = as_published("vgg16", augment={"steps": at_scale(256, 256)})
NOTES = (
    "kernels are drawn by Glorot and Bengio, which the paper found enough; its B to E began as A",
)
JITTER = {"augment.steps": at_scale(256, 512)}

# Table 3: row, network, (top-1, top-5) trained at S = 256, and at S in [256, 512].
ROWS = (
    ("A", "vgg_a", (29.6, 10.4), None),
    ("A-LRN", "vgg_a_lrn", (29.7, 10.5), None),
    ("B", "vgg_b", (28.7, 9.9), None),
    ("C", "vgg_c", (28.1, 9.4), (27.3, 8.8)),
    ("D", "vgg16", (27.0, 8.8), (25.6, 8.1)),
    ("E", "vgg19", (27.3, 9.0), (25.5, 8.0)),
)
MEASURES: tuple[Measure, Measure] = ("top-1 error", "top-5 error")

TABLE_3 = Table(
    name="table-3",
    title="configurations A to E, trained at one scale and at scales drawn from a range",
    source="Table 3, without S = 384",
    images=ILSVRC2012,
    base=BASE,
    cells=tuple(
        Cell(row, f"{label}, {measure.removesuffix(' error')}", figures[at],
             {"model.name": name} | changes, measure, protocol="dense")
        for at, measure in enumerate(MEASURES)
        for row, name, fixed, jittered in ROWS
        for label, figures, changes in (("S=256", fixed, {}), ("S=[256, 512]", jittered, JITTER))
        if figures is not None
    ),
    departs=("jittered networks are tested at one scale of 256, the paper's at 384",),
    notes=NOTES,
)  # fmt: skip
TABLE_5 = Table(
    name="table-5",
    title="one network, tested densely and by crops",
    source="Table 5",
    images=ILSVRC2012,
    base=as_published("vgg16"),
    cells=tuple(
        Cell(row, label, figure, {"model.name": name}, protocol=protocol,
             verified=label == "dense")
        for label, protocol, figure in (
            ("dense", "multi_scale", 24.8), ("multi-crop", "144_crop", 24.6),
        )
        for row, name in (("D", "vgg16"), ("E", "vgg19"))
    ),
    varies_protocol=True,
    departs=("the paper has three scales, and 150 crops; ours are ResNet's five, and 144 crops",),
    notes=NOTES,
)  # fmt: skip
VGG = Paper(
    "vgg",
    "Very Deep Convolutional Networks for Large-Scale Image Recognition (2015)",
    (TABLE_3, TABLE_5),
)
