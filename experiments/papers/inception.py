"""Szegedy et al.: Going Deeper with Convolutions, CVPR 2015 (arXiv:1409.4842); Ioffe, Szegedy:
Batch Normalization, ICML 2015 (arXiv:1502.03167); Szegedy, Ioffe, Vanhoucke, Alemi: Inception-v4,
Inception-ResNet and the Impact of Residual Connections on Learning, 2016 (arXiv:1602.07261)."""

from __future__ import annotations

from typing import Any

from experiments.papers.declaration import (
    ERRORS,
    ILSVRC2012,
    Cell,
    Measure,
    Paper,
    Table,
    as_published,
)

GOOGLENET_BASE = as_published("googlenet")
SEEDS_7 = tuple({"seed": seed} for seed in range(1, 8))
TABLE_3 = Table(
    name="table-3",
    title="crops of an image, and networks averaged",
    source="Table 3",
    images=ILSVRC2012,
    base=GOOGLENET_BASE,
    cells=tuple(
        Cell(row, column, figure, {}, "top-5 error", protocol=protocol, members=members)
        for row, members, figures in (
            ("1 network", ({"seed": 1},), (10.07, 9.15, 7.89)),
            ("7 networks", SEEDS_7, (8.09, 7.62, 6.67)),
        )
        for (column, protocol), figure in zip(
            (("1 crop", "centre"), ("10 crops", "ten_crop"), ("144 crops", "144_crop")),
            figures, strict=True,
        )
    ),
    varies_protocol=True,
    notes=("the paper's seven differ in the order of their images alone",),
)  # fmt: skip
REDUCTION_COLUMNS: tuple[tuple[str, Measure, tuple[float | None, float | None]], ...] = (
    ("top-1 error", "top-1 error", (None, None)),
    ("multiply-adds, M", "multiply-adds", (1.0, 2.0)),
)
REDUCTION = Table(
    name="reduction",
    title="1x1 convolutions before the large ones, against none",
    source="section 4 and Figure 2, which claim the cost: a network of several times the cost "
    "without them",
    images=ILSVRC2012,
    base=GOOGLENET_BASE,
    cells=tuple(
        Cell(kind, column, None, {"model.options.inception": kind}, measure, place=place)
        for column, measure, places in REDUCTION_COLUMNS
        for kind, place in zip(("reduced", "naive"), places, strict=True)
    ),
)
GOOGLENET = Paper("googlenet", "Going Deeper with Convolutions (2015)", (REDUCTION, TABLE_3))

# The card is BN-x30's: 30 times Inception's rate, a fifth of its weight decay, no dropout, a rate
# that falls six times as fast (section 4.2.1). Inception learns for 31 M updates (section 4.2.2).
X5 = {"train.optimizer.learning_rate": 0.0075}
SLOW = {
    "train.optimizer.learning_rate": 0.0015,
    "train.optimizer.weight_decay": 2e-4,
    "train.schedule.every_epochs": 8.0,
    "train.updates": 31_000_000,
    "model.options.dropout": 0.4,
}
VARIANTS: tuple[tuple[str, float | None, float, dict[str, Any]], ...] = (
    ("Inception", 31.0, 27.8, SLOW | {"model.options.normalization": "none"}),
    ("BN-Baseline", 13.3, 27.3, SLOW),
    ("BN-x5", 2.1, 27.0, X5),
    ("BN-x30", 2.7, 25.2, {}),
    ("BN-x5-Sigmoid", None, 30.2, X5 | {"model.options.activation": "sigmoid"}),
)  # fmt: skip
FIGURE_2 = Table(
    name="figure-2",
    title="updates until the accuracy of the network without batch normalisation, and the best",
    source="Figures 2 and 3",
    images=ILSVRC2012,
    base=as_published("bn_inception", validation={"validation_fraction": 0.1}),
    cells=(
        *(
            Cell(row, "updates, M", updates, changes, "updates to target")
            for row, updates, _, changes in VARIANTS
            if updates is not None
        ),
        *(
            Cell(row, "top-1 error", error, changes)
            for row, _, error, changes in VARIANTS
        ),
    ),
    target="Inception",
    notes=(
        "the network without normalisation is BN-Inception less its normalisation",
    ),
)  # fmt: skip
BN_INCEPTION = Paper(
    "bn_inception",
    "Batch Normalization: Accelerating Deep Network Training (2015)",
    (FIGURE_2,),
)

ROWS: tuple[tuple[str, str, float, float], ...] = (
    ("Inception-v3", "inception_v3", 21.2, 5.6),
    ("Inception-ResNet-v1", "inception_resnet_v1", 21.3, 5.5),
    ("Inception-v4", "inception_v4", 20.0, 5.0),
    ("Inception-ResNet-v2", "inception_resnet_v2", 19.9, 4.9),
)
PAIRS = Table(
    name="table-2",
    title="each Inception beside its residual counterpart of about its cost",
    source="Table 2",
    images=ILSVRC2012,
    base=as_published("inception_v4"),
    cells=tuple(
        Cell(row, measure, figures[at], {"model.name": name}, measure)
        for at, measure in enumerate(ERRORS)
        for row, name, *figures in ROWS
    ),
    departs=("the paper leaves out the blacklisted images",),
    notes=("batches of one machine of the paper's twenty",),
)
INCEPTION_V4 = Paper("inception_v4", "Inception-v4, Inception-ResNet (2016)", (PAIRS,))
