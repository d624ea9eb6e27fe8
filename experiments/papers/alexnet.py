"""Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks,
NIPS 2012; Zeiler, Fergus: Visualizing and Understanding Convolutional Networks, ECCV 2014
(arXiv:1311.2901)."""

from __future__ import annotations

from typing import Any

from experiments.papers.declaration import (
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

ZFNET_BASE = as_published("zfnet")
ZFNET = Paper(
    "zfnet",
    "Visualizing and Understanding Convolutional Networks (2014)",
    (
        Table(
            name="table-3",
            title="other widths of the convolutions",
            source="Tables 2 and 3, the rows without layers taken out",
            images=ILSVRC2012,
            base=ZFNET_BASE,
            cells=cells(
                "top-1",
                {
                    "our model": (38.4, {}),
                    "conv3, 4, 5: 512, 1024, 512 maps": (37.5, {"model.options.wide": True}),
                },
                **TEN,
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
