"""He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016 (arXiv:1512.03385);
the same: Identity Mappings in Deep Residual Networks, ECCV 2016 (arXiv:1603.05027)."""

from __future__ import annotations

from typing import Any

from experiments.papers.declaration import (
    CIFAR10,
    ERRORS,
    ILSVRC2012,
    Cell,
    Paper,
    Table,
    as_published,
    cells,
)

# The length was found with 45,000 images to train and 5,000 to validate; here all are trained on.
CIFAR = as_published("resnet20_cifar", validation={"validation_fraction": 0.0})
IMAGENET = as_published("resnet34")
WARM = {"train.schedule.warmup": {"rate": 0.01, "until_train_error": 0.8}}
TEN: dict[str, Any] = {"protocol": "ten_crop"}


def network(name: str, **options: Any) -> dict[str, Any]:
    """The changes that choose a network and its options."""
    return {"model.name": name, **{f"model.options.{key}": v for key, v in options.items()}}


TABLE_6 = Table(
    name="table-6",
    title="plain and residual networks of 20 to 110 layers",
    source="Table 6; plain networks: Figure 6, left, a curve, so that their place counts alone",
    images=CIFAR10,
    base=CIFAR,
    cells=(
        *cells(
            "residual",
            {
                "20 layers": (8.75, network("resnet20_cifar")),
                "32 layers": (7.51, network("resnet32_cifar")),
                "44 layers": (7.17, network("resnet44_cifar")),
                "56 layers": (6.97, network("resnet56_cifar")),
                "110 layers": (6.43, network("resnet110_cifar") | WARM),
            },
        ),
        Cell("20 layers", "plain", None, network("plain20_cifar"), place=9.5),
        Cell("56 layers", "plain", None, network("plain56_cifar"), place=13.0),
    ),
    notes=("110 layers: the paper's 6.43 is the best of five, whose mean is 6.61",),
)
FIGURE_6 = Table(
    name="figure-6",
    title="training error of plain and residual networks",
    source="Figure 6, curves: places alone",
    images=CIFAR10,
    base=CIFAR,
    cells=tuple(
        Cell(f"{depth} layers", kind, None, network(f"{name}{depth}_cifar") | more,
             "training error", verified=False, place=place)
        for kind, name, depth, more, place in (
            ("plain", "plain", 56, {}, 5.0), ("plain", "plain", 20, {}, 4.0),
            ("residual", "resnet", 20, {}, 3.0), ("residual", "resnet", 56, {}, 2.0),
            ("residual", "resnet", 110, WARM, 1.0),
        )
    ),
)  # fmt: skip
TABLE_3 = Table(
    name="table-3",
    title="shortcuts: A zeros, B projects where shapes change, C projects everywhere",
    source="Table 3",
    images=ILSVRC2012,
    base=IMAGENET,
    cells=tuple(
        Cell(row, measure.removesuffix(" error"), figures[at], changes, measure, **TEN)
        for at, measure in enumerate(ERRORS)
        for row, figures, changes in (
            ("plain-34", (28.54, 10.02), network("plain34")),
            ("ResNet-34 A", (25.03, 7.76), network("resnet34", shortcut="A")),
            ("ResNet-34 B", (24.52, 7.46), network("resnet34", shortcut="B")),
            ("ResNet-34 C", (24.19, 7.40), network("resnet34", shortcut="C")),
        )
    ),
)
TABLE_2 = Table(
    name="table-2",
    title="plain and residual networks of 18 and 34 layers",
    source="Table 2",
    images=ILSVRC2012,
    base=IMAGENET,
    cells=(
        *cells(
            "plain",
            {"18 layers": (27.94, network("plain18")), "34 layers": (28.54, network("plain34"))},
            **TEN,
        ),
        *cells(
            "residual",
            {
                "18 layers": (27.88, network("resnet18", shortcut="A")),
                "34 layers": (25.03, network("resnet34", shortcut="A")),
            },
            **TEN,
        ),
    ),
)
RESNET = Paper(
    "resnet",
    "Deep Residual Learning for Image Recognition (2016)",
    (TABLE_6, FIGURE_6, TABLE_3, TABLE_2),
)

SHORTCUTS = Table(
    name="table-1",
    title="what a shortcut carries: its input, or a 1x1 convolution of it, in every unit",
    source="Table 1, two of its rows",
    images=CIFAR10,
    base=CIFAR,
    cells=cells(
        "ResNet-110",
        {
            "original": (6.61, network("resnet110_cifar", shortcut="A") | WARM),
            "1x1 conv shortcut": (12.22, network("resnet110_cifar", shortcut="C") | WARM),
        },
    ),
    notes=(
        "the paper warms up at 0.01 for 400 updates, here until the training error is below 80 %; "
        "its figures are medians of five runs",
    ),
)
PREACTIVATION = Paper(
    "preactivation", "Identity Mappings in Deep Residual Networks (2016)", (SHORTCUTS,)
)
