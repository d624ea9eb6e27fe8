"""The figure of every cell of a table, from those of its networks that have finished."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.papers import measuring
from experiments.papers.declaration import Cell, Table
from experiments.papers.measuring import Figure, Fit
from experiments.papers.planning import Planned, Request
from experiments.tracking.journal import Journal

UPDATES = "updates to target"


@dataclass(frozen=True)
class Trained:
    """What a request has of networks by now."""

    request: Request
    planned: Planned
    fits: Mapping[str, Fit]
    """Finished ones, by hash."""
    book: Journal
    uri: str | None
    """Of the store that has their runs."""


def finished(planned: Planned, done: Mapping[Any, Fit]) -> dict[str, Fit]:
    """Of the fits that have ended, by path, those that finished, by hash."""
    ended = {key: done.get(fit.job.path) for key, fit in planned.by_hash.items()}
    return {key: fit for key, fit in ended.items() if fit and fit[0].status == "finished"}


def figures_of(trained: Trained, table: Table) -> dict[int, Figure]:
    """By the position of a cell in its table."""
    figures: dict[int, Figure] = defaultdict(Figure)
    for (name, position, seed), keys in trained.planned.members.items():
        cell = table.cells[position] if name == table.name else None
        if cell is None or cell.measure == UPDATES or any(key not in trained.fits for key in keys):
            continue
        rank = _ranks(trained, table, cell, keys) if cell.measure in measuring.RANK else None
        members = [trained.fits[key][0] for key in keys]
        if (value := measuring.value_of(cell, members, rank)) is not None:
            figures[position].values[seed], right = value
            if right is not None:
                figures[position].hits[seed] = right
    _add_updates(trained, table, figures)
    return figures


def _ranks(trained: Trained, table: Table, cell: Cell, keys: Sequence[str]) -> np.ndarray:
    """Under the cell's protocol where that counts, else as the fits were scored."""
    members = [trained.fits[key][0] for key in keys]
    if not trained.request.scores_again(table, cell):
        epochs = trained.planned.by_hash[keys[0]].job.prediction_epochs
        return measuring.ranks_of(members, epochs)
    part = measuring.part_of(members[0])
    run_ids = [trained.fits[key][1] for key in keys]
    return measuring.remembered(
        trained.book,
        [cell.protocol, *map(str, cell.sides), *keys],
        lambda: measuring.ranks_under(cell, run_ids, trained.uri, part),
    )


def _add_updates(trained: Trained, table: Table, figures: dict[int, Figure]) -> None:
    """The figures of `updates to target`: the target is what its row reached with the same seed."""
    keys_of = {
        (position, seed): keys[0]
        for (name, position, seed), keys in trained.planned.members.items()
        if name == table.name and table.cells[position].measure == UPDATES
        and keys[0] in trained.fits
    }  # fmt: skip
    of_target = {
        seed: key
        for (position, seed), key in keys_of.items()
        if table.cells[position].row == table.target
    }
    for (position, seed), key in keys_of.items():
        if seed not in of_target:
            continue
        outcome = trained.fits[of_target[seed]][0]
        target = max(row.get("val_top1", 0.0) for row in outcome.history)
        fit = trained.planned.by_hash[key]
        each = -(-len(fit.job.train) // fit.plan.config.data.batch_size)
        reached = measuring.updates_to(target, trained.fits[key][0], each)
        figures[position].values[seed] = reached
