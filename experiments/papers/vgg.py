"""Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR
2015 (arXiv:1409.1556)."""

from __future__ import annotations

from typing import Any

from experiments.papers.declaration import ERRORS, ILSVRC2012, Cell, Paper, Table, as_published

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

# Sections 3.1 and 4.1: short sides in training, and the one that is tested.
TRAINED: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("S=256", {}, 256),
    ("S=384", {"augment.steps": at_scale(384, 384)}, 384),
    ("S=[256, 512]", {"augment.steps": at_scale(256, 512)}, 384),
)
# Table 3: row, network, (top-1, top-5) of each.
ROWS: tuple[tuple[str, str, tuple[tuple[float, float], ...]], ...] = (
    ("A", "vgg_a", ((29.6, 10.4),)),
    ("A-LRN", "vgg_a_lrn", ((29.7, 10.5),)),
    ("B", "vgg_b", ((28.7, 9.9),)),
    ("C", "vgg_c", ((28.1, 9.4), (28.1, 9.3), (27.3, 8.8))),
    ("D", "vgg16", ((27.0, 8.8), (26.8, 8.7), (25.6, 8.1))),
    ("E", "vgg19", ((27.3, 9.0), (26.9, 8.7), (25.5, 8.0))),
)

TABLE_3 = Table(
    name="table-3",
    title="configurations A to E, trained at one scale and at scales drawn from a range",
    source="Table 3",
    images=ILSVRC2012,
    base=BASE,
    cells=tuple(
        Cell(row, f"{label}, {measure.removesuffix(' error')}", figures[at],
             {"model.name": name} | changes, measure, protocol="dense", sides=(tested,))
        for at, measure in enumerate(ERRORS)
        for row, name, pairs in ROWS
        for figures, (label, changes, tested) in zip(pairs, TRAINED, strict=False)
    ),
    notes=NOTES,
)  # fmt: skip
TABLE_5 = Table(
    name="table-5",
    title="one network, tested densely and by crops",
    source="Table 5, without the averages of both",
    images=ILSVRC2012,
    base=as_published("vgg16"),
    cells=tuple(
        Cell(row, label, figure, {"model.name": name}, protocol=protocol, sides=sides)
        for label, protocol, sides, figure in (
            ("dense", "dense", (256, 384, 512), 24.8), ("multi-crop", "144_crop", (), 24.6),
        )
        for row, name in (("D", "vgg16"), ("E", "vgg19"))
    ),
    varies_protocol=True,
    departs=("the paper's multi-crop is 150 crops of three scales; ours are GoogLeNet's 144",),
    notes=NOTES,
)  # fmt: skip
VGG = Paper(
    "vgg",
    "Very Deep Convolutional Networks for Large-Scale Image Recognition (2015)",
    (TABLE_3, TABLE_5),
)
