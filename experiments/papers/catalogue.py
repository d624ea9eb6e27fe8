"""The papers and their tables, by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from experiments.errors import BadInput, nearest
from experiments.papers.alexnet import ALEXNET, ZFNET
from experiments.papers.declaration import Paper, Table
from experiments.papers.inception import BN_INCEPTION, GOOGLENET, INCEPTION_V4
from experiments.papers.lectures import LECTURES
from experiments.papers.nin import NIN
from experiments.papers.residual import PREACTIVATION, RESNET
from experiments.papers.vgg import VGG

PAPERS: dict[str, Paper] = {
    paper.name: paper
    for paper in (
        ALEXNET, ZFNET, NIN, VGG, GOOGLENET, BN_INCEPTION, RESNET, PREACTIVATION, INCEPTION_V4,
        LECTURES,
    )
}  # fmt: skip
"""By year."""


def paper_of(name: str) -> Paper:
    """Raises BadInput: there is none of this name; the nearest are named."""
    if name not in PAPERS:
        close = nearest(name, PAPERS, 3, 0.5)
        hint = f"did you mean {close}?" if close else f"papers: {', '.join(PAPERS)}"
        raise BadInput(f"no paper {name}; {hint}")
    return PAPERS[name]


def tables_of(paper: Paper, names: list[str]) -> list[Table]:
    """Those that are named; all without a name. Raises BadInput: it has none of this name."""
    by_name = {table.name: table for table in paper.tables}
    for name in names:
        if name not in by_name:
            close = nearest(name, by_name, 1, 0.6)
            hint = f"did you mean {close}?" if close else f"tables: {', '.join(by_name)}"
            raise BadInput(f"paper {paper.name} has no table {name}; {hint}")
    return [by_name[name] for name in dict.fromkeys(names)] or list(by_name.values())


def with_rows(tables: list[Table], rows: list[str]) -> list[Table]:
    """The tables with these rows alone; all rows without a name, and none of a table without any.

    Raises BadInput: no table has a row of this name.
    """
    known = list(dict.fromkeys(cell.row for table in tables for cell in table.cells))
    for row in rows:
        if row not in known:
            close = nearest(row, known, 1, 0.6)
            hint = f"did you mean {close}?" if close else f"rows: {', '.join(known)}"
            raise BadInput(f"no row {row}; {hint}")
    if not rows:
        return tables
    kept = [replace(t, cells=tuple(c for c in t.cells if c.row in rows)) for t in tables]
    return [table for table in kept if table.cells]


def listed() -> list[dict[str, Any]]:
    """Every paper with its tables, as JSON."""
    return [
        {
            "name": paper.name,
            "title": paper.title,
            "tables": [
                {
                    "name": table.name,
                    "title": table.title,
                    "source": table.source,
                    "images": table.images.name,
                    "cells": len(table.cells),
                }
                for table in paper.tables
            ],
        }
        for paper in PAPERS.values()
    ]
