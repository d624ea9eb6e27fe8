"""Lin, Chen, Yan: Network In Network, ICLR 2014 (arXiv:1312.4400)."""

from __future__ import annotations

from experiments.papers.declaration import CIFAR10, Paper, Table, as_published, cells

BASE = as_published("nin_cifar", augment={"preset": "none"})
NOTES = ("images are normalised by channel; the paper's are contrast normalised and whitened",)

TABLE_5 = Table(
    name="table-5",
    title="global average pooling against a fully connected layer",
    source="Table 5",
    images=CIFAR10,
    base=BASE,
    cells=cells(
        "no augmentation",
        {
            "mlpconv, fully connected": (11.59, {"model.options.head": "dense"}),
            "mlpconv, fully connected, dropout": (10.88, {"model.options.head": "dropped_dense"}),
        },
        verified=False,
    )
    + cells("no augmentation", {"mlpconv, global average pooling": (10.41, {})}),
    notes=NOTES,
)
DROPOUT = Table(
    name="table-1",
    title="dropout between the mlpconv layers, and augmentation",
    source="Table 1; section 4.2, without dropout",
    images=CIFAR10,
    base=BASE,
    cells=cells(
        "test error",
        {"without dropout": (14.51, {"model.options.dropout": 0.0})},
        verified=False,
    )
    + cells(
        "test error",
        {
            "dropout": (10.41, {}),
            "dropout, translations and flips": (8.81, {"augment.preset": "cifar"}),
        },
    ),
    notes=NOTES,
)
NIN = Paper("nin", "Network In Network (2014)", (TABLE_5, DROPOUT))
