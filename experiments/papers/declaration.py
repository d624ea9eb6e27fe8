"""What a paper's table is: rows and columns of cells, each a network with settings, and a figure.

A table's `base` has the config sections that all its cells share, as the paper trained: the recipe
on the card of its network. A cell says in what it differs, by dotted keys. Both are held against
the config's own types when a table is run, and for all tables by a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import models
from experiments.inspection.recipe import config_of

Measure = Literal[
    "top-1 error", "top-5 error", "training error", "updates to target", "multiply-adds"
]
"""Errors are in per cent; updates, in millions, are counted until the target of the table is
reached; multiply-adds of an image are in millions. Of all of them less is better."""
ERRORS: tuple[Measure, Measure] = ("top-1 error", "top-5 error")


@dataclass(frozen=True)
class Images:
    """The data set of a paper, by which ours is known to be the same."""

    name: str
    classes: int
    train: int
    scored: int


CIFAR10 = Images("CIFAR-10", 10, 50_000, 10_000)
ILSVRC2012 = Images("ILSVRC-2012", 1000, 1_281_167, 50_000)
ILSVRC2010 = Images("ILSVRC-2010", 1000, 1_261_406, 150_000)


@dataclass(frozen=True)
class Cell:
    """One figure of a table."""

    row: str
    column: str
    published: float | None
    """In the unit of the measure; None where the paper prints none."""
    changes: Mapping[str, Any]
    """Settings by dotted key, over the table's base."""
    measure: Measure = "top-1 error"
    verified: bool = True
    """Was the figure read again in the paper, or in a full text of it?"""
    protocol: str = "centre"
    """`evaluate.protocol` of the figure; at a scale below 1 only where the table varies it."""
    sides: tuple[int, ...] = ()
    """`evaluate.sides` under this protocol; empty: as the protocol's own paper."""
    members: tuple[Mapping[str, Any], ...] = ({},)
    """Networks whose probabilities are averaged, by what each changes further."""
    checkpoints: int = 1
    """Last epochs of each member whose probabilities are averaged."""
    place: float | None = None
    """Orders a cell whose figure is not printed: where it would stand among the published ones."""

    @property
    def order(self) -> float | None:
        """By which cells of one measure are ordered; None: the paper does not say."""
        return self.published if self.place is None else self.place


@dataclass(frozen=True)
class Table:
    """Cells that were published side by side."""

    name: str
    title: str
    source: str
    images: Images
    base: Mapping[str, Any]
    """Nested config sections."""
    cells: tuple[Cell, ...]
    target: str | None = None
    """Row whose best validation accuracy is the target of "updates to target"."""
    varies_protocol: bool = False
    departs: tuple[str, ...] = ()
    """In what ours is not tested as the paper's at scale 1; then nothing is called reproduced."""
    notes: tuple[str, ...] = ()
    """In what it is not trained as the paper's at scale 1."""

    @property
    def compares(self) -> str:
        """rows x columns, for lists."""
        rows = dict.fromkeys(cell.row for cell in self.cells)
        columns = dict.fromkeys(cell.column for cell in self.cells)
        return f"{len(rows)} x {len(columns)}"


@dataclass(frozen=True)
class Paper:
    """One paper, or the lectures, with the tables that it is known for."""

    name: str
    title: str
    tables: tuple[Table, ...] = field(default=())


def as_published(network: str, **sections: Any) -> dict[str, Any]:
    """A base: the network of that name, its images' side, and the recipe of its card.

    Args:
        sections: in place of the recipe's.
    """
    card = models.card(network)
    raw = config_of(card)
    del raw["data"]["source"], raw["evaluate"]  # a cell has its `protocol`
    raw["data"]["image_size"] = card.input_shape[0]
    return raw | sections


def cells(
    column: str, rows: Mapping[str, tuple[float | None, Mapping[str, Any]]], **same: Any
) -> tuple[Cell, ...]:
    """A column: of each row its published figure and its changes; `same` are other fields."""
    return tuple(Cell(row, column, figure, given, **same) for row, (figure, given) in rows.items())
