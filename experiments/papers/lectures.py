"""What the lecture course claims, as tables without figures: their places alone count."""

from __future__ import annotations

from typing import Any

from experiments.papers.declaration import CIFAR10, Cell, Paper, Table

BASE: dict[str, Any] = {
    "data": {"image_size": 32, "batch_size": 128},
    "augment": {"preset": "none"},
    "model": {"name": "convolutional", "options": {"normalization": "batch"}},
    "train": {
        "epochs": 100,
        "optimizer": {
            "name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 1e-4,
        },
        "schedule": {"name": "cosine"},
    },
    "validation": {"validation_fraction": 0.1},
}  # fmt: skip


def claim(name: str, title: str, source: str, *rows: tuple[str, dict[str, Any]]) -> Table:
    """Rows from the least error that is claimed to the most."""
    return Table(
        name, title, f"lectures, {source}", CIFAR10, BASE,
        tuple(
            Cell(row, "test error", None, changes, place=float(place))
            for place, (row, changes) in enumerate(rows, start=1)
        ),
    )  # fmt: skip


SMALL_KERNELS = claim(
    "small-kernels", "three 3x3 convolutions against one 7x7", "part 3",
    ("three 3x3", {"model.name": "stack_of_3x3"}), ("one 7x7", {"model.name": "single_7x7"}),
)  # fmt: skip
LITTLE = {"data.train_fraction": 0.1}
LITTLE_DATA = claim(
    "little-data", "augmentation with little data and with all of it", "part 2, Data augmentation",
    ("all, augmented", {"augment.preset": "cifar"}), ("all", {}),
    ("a tenth, augmented", {"augment.preset": "cifar"} | LITTLE), ("a tenth", LITTLE),
)  # fmt: skip
EARLY_STOPPING = claim(
    "early-stopping", "stopping where validation gets no better, on few images",
    "part 2, Early stopping",
    ("stopped", {"train.early_stopping": {"monitor": "val_loss", "patience": 5},
                 "train.schedule.name": "constant"} | LITTLE),
    ("to the end", {"train.schedule.name": "constant"} | LITTLE),
)  # fmt: skip
RATES = (0.1, 0.05, 0.02)
ENSEMBLES = Table(
    "ensembles", "averages: of other seeds, other settings, other epochs, against one network",
    "lectures, part 2, Ensembles", CIFAR10, BASE,
    (
        Cell("five seeds", "test error", None, {},
             members=tuple({"seed": seed} for seed in range(1, 6)), place=1.0),
        Cell("three learning rates", "test error", None, {},
             members=tuple({"train.optimizer.learning_rate": rate} for rate in RATES), place=1.0),
        Cell("five last epochs", "test error", None, {}, checkpoints=5, place=1.0),
        Cell("one network", "test error", None, {}, place=2.0),
    ),
)  # fmt: skip
LECTURES = Paper(
    "lectures",
    "The claims of the lecture course",
    (SMALL_KERNELS, LITTLE_DATA, EARLY_STOPPING, ENSEMBLES),
)
