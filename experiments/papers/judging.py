"""A table's figures beside the paper's: verdicts cell by cell, and how far the order agrees."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.papers.declaration import Measure, Table
from experiments.papers.measuring import Figure, interval_of
from tuning.statistics.rank_agreement import (
    METHOD,
    METHOD_ONE_SEED,
    Pair,
    agreement,
    decide_by_hits,
    decide_by_scores,
    published_pairs,
)

REPRODUCED, SAME, OTHER, NONE = "reproduced", "same order", "other order", "not comparable"


def judged(table: Table, figures: Mapping[int, Figure], same_images: bool) -> dict[str, Any]:
    """The table as JSON.

    A cell is `reproduced` where the paper's figure is inside our interval, of the same images under
    the same protocol at scale 1; else `same order` where it stands to every other cell of its
    measure as in the paper, by the figures as they are, `other order` where it does not, and `not
    comparable` where the paper or our runs say nothing. `settled` says whether all of its pairs are
    decided beyond chance.

    Args:
        figures: by the position of their cells.
        same_images: the paper's data set, at scale 1.
    """
    means = {at: mean for at, each in figures.items() if (mean := each.mean) is not None}
    pairs = _pairs(table)
    decided: dict[Pair, int] = {}
    for measure in {cell.measure for cell in table.cells}:
        decided |= _decided(table, measure, pairs, figures, means)
    one_seed = all(len(figure.values) < 2 for figure in figures.values())
    method = METHOD_ONE_SEED if one_seed else METHOD
    agreed = agreement(pairs, means, decided, method=method)
    rows = []
    for at, cell in enumerate(table.cells):
        group = {k: f for k, f in figures.items() if table.cells[k].measure == cell.measure}
        interval = interval_of(figures[at], group, at) if at in means else None
        of_cell = [p for p in pairs if at in p and p[0] in means and p[1] in means]
        inside = (
            cell.published is not None
            and interval is not None
            and interval[0] <= cell.published <= interval[1]
        )
        if inside and same_images and not table.departs:
            verdict = REPRODUCED
        elif not of_cell:
            verdict = NONE
        else:
            verdict = SAME if all(means[a] < means[b] for a, b in of_cell) else OTHER
        rows.append(
            {
                "row": cell.row,
                "column": cell.column,
                "measure": cell.measure,
                "published": cell.published,
                "verified": cell.verified,
                "ours": _plain(means.get(at)),
                "reached": not math.isinf(means.get(at, 0.0)),
                "interval": interval,
                "verdict": verdict,
                "settled": bool(of_cell) and all(decided.get(pair, 0) for pair in of_cell),
                "seeds": sorted(figures[at].values) if at in figures else [],
            }
        )
    return {
        "name": table.name,
        "title": table.title,
        "source": table.source,
        "images": table.images.name,
        "tau": agreed and agreed.tau,
        "tau_interval": agreed and [agreed.interval.low, agreed.interval.high],
        "tau_method": agreed and agreed.interval.method,
        "pairs": agreed.pairs if agreed else 0,
        "undecided": agreed.undecided if agreed else 0,
        "cells": rows,
        "departs": list(table.departs),
        "notes": list(table.notes),
    }


def _pairs(table: Table) -> list[Pair]:
    """Of cells of one measure that the paper orders, the lower first."""
    pairs: list[Pair] = []
    for measure in dict.fromkeys(cell.measure for cell in table.cells):
        positions = [at for at, cell in enumerate(table.cells) if cell.measure == measure]
        order = published_pairs([table.cells[at].order for at in positions])
        pairs += [(positions[one], positions[other]) for one, other in order]
    return pairs


def _decided(
    table: Table,
    measure: Measure,
    pairs: Sequence[Pair],
    figures: Mapping[int, Figure],
    means: Mapping[int, float],
) -> dict[Pair, int]:
    """Which of the pairs of one measure are beyond chance; the level is shared by all pairs."""
    mine = [p for p in pairs if all(at in means and table.cells[at].measure == measure for at in p)]
    shared = 1 - 0.05 * len(mine) / max(len(pairs), 1)
    group = {at: figures[at] for pair in mine for at in pair}
    if measure == "multiply-adds":  # counted
        return {(a, b): int(np.sign(means[b] - means[a])) for a, b in mine}
    if any(figure.hits for figure in group.values()):
        hits = {at: figure.hits for at, figure in group.items()}
        return decide_by_hits(mine, hits, confidence=shared)
    values = {at: list(figure.values.values()) for at, figure in group.items()}
    finite = {at: of for at, of in values.items() if np.isfinite(of).all()}
    return decide_by_scores(mine, finite, confidence=shared)


def _plain(value: float | None) -> float | None:
    """What JSON takes: no number for a target that was not reached."""
    return None if value is None or math.isinf(value) else value
