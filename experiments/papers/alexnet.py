"""Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks,
NIPS 2012; Zeiler, Fergus: Visualizing and Understanding Convolutional Networks, ECCV 2014
(arXiv:1311.2901)."""

from __future__ import annotations

from typing import Any

from experiments.papers.declaration import (
    ERRORS,
    ILSVRC2010,
    ILSVRC2012,
    Cell,
    Paper,
    Table,
    as_published,
    cells,
)

BASE = as_published("alexnet")
TEN: dict[str, Any] = {"protocol": "alexnet"}

FULL = 37.5  # Table 1, of ILSVRC-2010
CLAIMS = Table(
    name="claims",
    title="what each part of the network gives, taken out one at a time",
    source="Table 1; sections 3.3, 3.4 and 4: differences in the text, so that places count alone",
    images=ILSVRC2010,
    base=BASE,
    cells=(
        Cell("as published", "top-1", FULL, {}, **TEN),
        Cell("pooling that does not overlap", "top-1", None,
             {"model.options.overlapping": False}, place=FULL + 0.4, **TEN),
        Cell("without colours drawn", "top-1", None,
             {"augment.preset": None, "augment.steps": [
                 {"op": "scale_and_crop", "short_side": [256, 256], "reference": 224},
                 {"op": "horizontal_flip", "probability": 0.5},
             ]}, place=FULL + 1.0, **TEN),
        Cell("without response normalisation", "top-1", None,
             {"model.options.normalization": "none"}, place=FULL + 1.4, **TEN),
        Cell("without dropout", "top-1", None, {"model.options.dropout": 0.0},
             place=FULL + 5.0, **TEN),
        Cell("one tower, no groups", "top-1", None, {"model.name": "alexnet_ungrouped"}, **TEN),
    ),
    notes=(
        "without dropout the paper reports substantial overfitting and no figure: placed last",
    ),
)  # fmt: skip
ALEXNET = Paper(
    "alexnet",
    "ImageNet Classification with Deep Convolutional Neural Networks (2012)",
    (CLAIMS,),
)

WIDER = {"model.options.wide": True}
UNITS_2048, UNITS_8192 = ({"model.options.hidden": [units, units]} for units in (2048, 8192))
WIDTHS: tuple[tuple[str, tuple[float, float], dict[str, Any]], ...] = (
    ("our model", (38.4, 16.5), {}),
    ("fc6, 7: 2048 units", (40.2, 17.6), UNITS_2048),
    ("fc6, 7: 8192 units", (38.8, 17.0), UNITS_8192),
    ("conv3, 4, 5: 512, 1024, 512 maps", (37.5, 16.0), WIDER),
    ("both: 8192 units; 512, 1024, 512 maps", (38.3, 16.9), UNITS_8192 | WIDER),
)
ZFNET_BASE = as_published("zfnet")
ZFNET = Paper(
    "zfnet",
    "Visualizing and Understanding Convolutional Networks (2014)",
    (
        Table(
            name="table-3",
            title="other widths of the convolutions and of the dense layers",
            source="Table 3, the rows of its own network",
            images=ILSVRC2012,
            base=ZFNET_BASE,
            cells=tuple(
                Cell(row, measure.removesuffix(" error"), figures[at], changes, measure, **TEN)
                for at, measure in enumerate(ERRORS)
                for row, figures, changes in WIDTHS
            ),
            notes=("filters are not scaled back where their RMS passes 0.1",),
        ),
        Table(
            name="table-2",
            title="beside the network of Krizhevsky et al.",
            source="Table 2",
            images=ILSVRC2012,
            base=ZFNET_BASE,
            cells=cells(
                "top-1",
                {
                    "Krizhevsky et al., 1 convnet": (
                        40.7, {"model.name": "alexnet", "data.image_size": 227},
                    ),
                    "our model": (38.4, {}),
                },
                **TEN,
            ),
        ),
    ),
)  # fmt: skip
