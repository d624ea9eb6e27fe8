"""A sweep whose seeds are added in rounds until each row is settled: `sweep.until`.

The first round has the seeds that the axis names, else two, and as many more as it takes before
anything can be told from chance. Each further round has one seed more, for the leader and for the
rows that are undecided. What is decided follows from the scores alone, so a sweep that is run again
decides the same, in whatever order fits end.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments.comparison.grouping import Score, by_preference
from experiments.config import settings
from experiments.config.identity import group_hash
from experiments.config.schema import Config, Sweep
from experiments.errors import BadInput
from experiments.jobs.job import FitPath, Outcome
from experiments.presentation.formatting import setting_title
from experiments.presentation.settled import in_words
from experiments.runs import folds
from experiments.runs.cells import Cell, in_fits, plan_cell, plan_cells, sweep_hash
from experiments.tracking.journal import Journal
from experiments.tracking.run_log import UNTIL_ALPHA
from tuning.statistics.anytime import (
    Gap,
    Standing,
    fewest_seeds,
    pairs_of,
    seeds_more,
    settle,
)

FIRST_SEEDS = 2  # where no axis names any


@dataclass
class Row:
    """A setting, and its fits by their seeds."""

    axes: dict[str, Any]
    """Without the seed."""
    name: str
    group: str
    """What the runs of the row are tagged with."""
    cells: dict[int, Cell] = field(default_factory=dict)


class Rounds:
    """The rows of a sweep and the seeds that they have, look by look.

    Raises:
        BadInput: a config is wrong, there is one row, or too few seeds to settle any.
    """

    def __init__(self, config: Config, where: str):
        assert config.sweep.until
        self.config, self.where, self.until = config, where, config.sweep.until
        axes = config.sweep.axes
        named = list(axes.get("seed", range(config.seed, config.seed + FIRST_SEEDS)))
        one = Sweep.model_validate({**axes, "seed": named[:1]})
        cells = list(plan_cells(config.model_copy(update={"sweep": one}), where))
        self._base = config.model_dump(mode="json")
        self._grid = math.prod(len(values) for values in one.axes.values())
        self._known: dict[str, list[Any]] = {}
        self.rows = [self._row(cell) for cell in cells]
        fewest = fewest_seeds(self.until.alpha / max(pairs_of(len(self.rows)), 1))
        self._check(fewest)
        self.seeds = named
        for cell, row in zip(cells, self.rows, strict=True):
            row.cells[self.seeds[0]] = cell
            for seed in self.seeds[1:]:
                self._add(row, seed)
        while len(self.seeds) < fewest:
            self._one_more()
            for row in self.rows:
                self._add(row, self.seeds[-1])
        promise = f"{sweep_hash(self.cells)} {self.until.alpha} {self.until.margin}"
        self.digest = hashlib.sha256(promise.encode()).hexdigest()[:12]
        """Of the first round and of what is promised: with more seeds at most it goes on."""
        self.standing = Standing(None, {}, {})
        self.score: Score | None = None
        self._scores = np.empty((len(self.rows), 0))

    def _row(self, cell: Cell) -> Row:
        axes = {key: value for key, value in cell.axes.items() if key != "seed"}
        config = cell.plan.config
        return Row(axes, setting_title(config.model.name, axes), group_hash(config))

    def _check(self, fewest: int) -> None:
        if len(self.rows) < 2:
            raise BadInput(
                f"{self.where}: sweep.until: compares rows, and the axes come to one; add an axis "
                "beside seed, such as model.name: [lenet5, mlp]"
            )
        if self.until.at_most < fewest:
            raise BadInput(
                f"{self.where}: sweep.until.at_most: {self.until.at_most}, and of "
                f"{len(self.rows)} rows none can be settled before {fewest} seeds; set {fewest} or "
                "more"
            )

    def _one_more(self) -> None:
        self.seeds.append(max(self.seeds) + 1)

    def _add(self, row: Row, seed: int) -> Cell:
        """Plan one more fit of a row."""
        first = next(iter(row.cells.values()))
        axes = first.axes | {"seed": seed}
        given = settings.at_axes(self._base, axes, self.where)
        number = int(first.job.path[1]) + self.seeds.index(seed) * self._grid
        source = first.plan.source
        row.cells[seed] = plan_cell(given, source, ("cell", number), axes, self._known)
        return row.cells[seed]

    @property
    def cells(self) -> list[Cell]:
        """All that were planned so far, by rows."""
        return [cell for row in self.rows for cell in row.cells.values()]

    @property
    def params(self) -> dict[str, Any]:
        """For the parent run."""
        return {
            UNTIL_ALPHA: self.until.alpha,
            "sweep.until.margin": self.until.margin,
        }

    @property
    def most(self) -> int:
        """So many runs there will be at most."""
        return len(self.rows) * self.until.at_most

    def announcement(self) -> str:
        """What is about to run, in a line."""
        axes = {key: v for key, v in self.config.sweep.axes.items() if key != "seed"}
        product = " x ".join(f"{len(values)} {key}" for key, values in axes.items())
        margin = f", margin {self.until.margin:g} points" if self.until.margin else ""
        fits = in_fits(self.cells)
        first = f"; at first {len(self.cells)}{fits}" if fits else ""
        return (
            f"{self.config.name}: {len(self.rows)} rows ({product}), {len(self.seeds)} seeds each "
            f"and then more until all are settled (alpha {self.until.alpha:g}{margin}): "
            f"{len(self.cells)} runs at least, {self.most} at most{first}"
        )

    def further(
        self, done: Mapping[FitPath, tuple[Outcome, str]], book: Journal, say: Callable[[str], None]
    ) -> list[Cell]:
        """Look at a round that has ended, say what it settled, and plan the next; empty at the end.

        Args:
            done: all fits so far.
            book: of the sweep, which `ilsvrc status` reads.
        """
        self._look(done)
        document = self.document()
        book.append("look", **document)
        say(in_words(document))
        if not self.standing.undecided:
            return []
        if len(self.seeds) < self.until.at_most:
            self._one_more()
        going = [self.standing.leader, *self.standing.undecided]
        return [
            self._add(row, seed)
            for number, row in enumerate(self.rows)
            if number in going
            for seed in self.seeds
            if seed not in row.cells
        ]

    def _look(self, done: Mapping[FitPath, tuple[Outcome, str]]) -> None:
        scores = [
            [
                self._scores_of(row.cells[seed], done) if seed in row.cells else {}
                for seed in self.seeds
            ]
            for row in self.rows
        ]
        for name in by_preference(validation_first=self._on_validation_folds):
            if any(name in cell for row in scores for cell in row):
                self.score = name
                break
        self._scores = np.array(
            [[cell.get(self.score or "", math.nan) for cell in row] for row in scores], np.float64
        )
        higher = -1.0 if self._is_error else 1.0
        self.standing = settle(
            higher * self._scores,
            self.standing.settled,
            self.until.alpha,
            self.margin,
            0.0 if self._is_error else self._resolution,
        )

    def _scores_of(
        self, cell: Cell, done: Mapping[FitPath, tuple[Outcome, str]]
    ) -> Mapping[str, float]:
        """Those of a finished fit, or the means over its folds; none of one that failed."""
        if not cell.folds:
            outcome = done[cell.job.path][0] if cell.job.path in done else None
        else:
            outcome = folds.outcome_of(cell, done)
        return outcome.scores if outcome and outcome.status == "finished" else {}

    @property
    def _on_validation_folds(self) -> bool:
        protocol = self.cells[0].plan.config.validation
        return protocol.fold is not None and not protocol.test_folds

    @property
    def _is_error(self) -> bool:
        return bool(self.score and self.score.endswith("mse"))

    @property
    def margin(self) -> float | None:
        """In the unit of the score; None of squared errors, which have no points."""
        return None if self._is_error or not self.until.margin else self.until.margin / 100

    @property
    def _resolution(self) -> float:
        """What one image more or less is of the score."""
        part = "test" if self.score and self.score.startswith("test") else "validation"
        sizes = [
            sum(
                len(indices) for fit in cell.fits if (indices := getattr(fit.job, part)) is not None
            )
            for cell in self.cells
        ]
        return 1 / max(min(sizes), 1)

    def document(self) -> dict[str, Any]:
        """What is settled, as the command's JSON has it; differences are row minus leader."""
        standing, rows = self.standing, []
        for number, row in enumerate(self.rows):
            known = standing.settled.get(number)
            gap = known.gap if known else standing.undecided.get(number)
            count = int(np.isfinite(self._scores[number]).sum())
            rows.append(
                {
                    "name": row.name,
                    **row.axes,
                    "group_hash": row.group,
                    "seeds": count,
                    "settled_as": self._settled_as(number),
                    "settled_after": known.gap.seeds if known else None,
                    **self._of_gap(gap),
                    "seeds_more": None
                    if known or gap is None
                    else seeds_more(gap, len(self.rows), self.until.alpha, self.margin),
                }
            )
            if rows[-1]["settled_as"] == "best":
                rows[-1]["settled_after"] = count
        return {
            "score": self.score,
            "alpha": self.until.alpha,
            "margin": self.until.margin if self.margin else None,
            "at_most": self.until.at_most,
            "seeds": list(self.seeds),
            "leader": None if standing.leader is None else self.rows[standing.leader].name,
            "all": standing.leader is not None and not standing.undecided,
            "rows": rows,
        }

    def _settled_as(self, number: int) -> str | None:
        standing = self.standing
        if known := standing.settled.get(number):
            return known.kind
        if number == standing.leader:
            return "undecided" if standing.undecided else "best"
        return "undecided" if number in standing.undecided else None

    def _of_gap(self, gap: Gap | None) -> dict[str, Any]:
        if gap is None or not gap.seeds:
            return {"against": None, "difference": None, "difference_interval": None}
        sign = -1.0 if self._is_error else 1.0
        mean, reach = sign * gap.mean, gap.half_width
        ends = [mean - reach, mean + reach] if math.isfinite(reach) else None
        against = self.rows[gap.leader].name
        return {"against": against, "difference": mean, "difference_interval": ends}
