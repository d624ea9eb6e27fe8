"""The run above the fits of a configuration on its folds: their mean, spread and interval."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from experiments.config.identity import config_hash
from experiments.jobs.composition import DATA, document
from experiments.jobs.folds import held_out, interval_of, is_share
from experiments.jobs.job import FitPath, Outcome
from experiments.presentation.columns import COLUMNS
from experiments.presentation.console import say
from experiments.runs.cells import Cell, result
from experiments.tracking.delivery import Opening, open_run, under
from experiments.tracking.experiment import Experiment, forgiving
from experiments.tracking.journal import Journal, of_folds
from experiments.tracking.run_log import RunLog, complete_parent
from experiments.tracking.tracked_run import find_by_journal
from tuning.statistics.significance import Interval

Done = Mapping[FitPath, tuple[Outcome, str]]


def intervals_of(cell: Cell, done: Done) -> dict[str, Interval]:
    """Of each score on the images that the folds share out."""
    part = held_out(cell.plan.config)
    train = [len(fit.job.train) for fit in cell.folds]
    parts = [_part(fit, part) for fit in cell.folds]
    held, images = [len(indices) for indices in parts], len(np.unique(np.concatenate(parts)))
    found = {
        name: interval_of(values, train, held, images if is_share(name) else None)
        for name, values in by_fold(cell, done).items()
    }
    return {name: interval for name, interval in found.items() if interval}


def outcome_of(cell: Cell, done: Done) -> Outcome:
    """What a cell with folds came to: of each score of its fits the mean, the sample standard
    deviation (`_std`), and where the folds share out the images of it the interval (`_low`,
    `_high`); curves are means over folds, and times of training sums.

    A cell without all of its folds has no scores: means over others would not compare.
    """
    fits = [done[fit.job.path][0] for fit in cell.folds if fit.job.path in done]
    failed = [(o.path[-1], o.error) for o in fits if o.status == "failed"]
    if failed or len(fits) < len(cell.folds) or any(o.status != "finished" for o in fits):
        error = "; ".join(f"fold {fold}: {why}" for fold, why in failed)
        return Outcome(
            cell.job.path, "failed" if failed else "killed", error=error or "not all folds were run"
        )
    scores: dict[str, float] = {}
    for name, values in _columns([o.scores for o in fits]).items():
        scores[name], scores[f"{name}_std"] = fmean(values), stdev(values)
    for name, interval in intervals_of(cell, done).items():
        scores |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    cost = _cost([o.cost for o in fits])
    epochs = min(len(o.history) for o in fits)
    history = [
        {name: fmean(values) for name, values in _columns([o.history[at] for o in fits]).items()}
        for at in range(epochs)
    ]
    tags = dict(set.intersection(*(set(o.tags.items()) for o in fits)))
    return Outcome(cell.job.path, "finished", scores, history, cost, tags=tags)


def by_fold(cell: Cell, done: Done) -> dict[str, list[float]]:
    """Each score on the images that the folds share out, in the order of the folds."""
    part = held_out(cell.plan.config)
    scores = [done[fit.job.path][0].scores for fit in cell.folds]
    return {k: values for k, values in _columns(scores).items() if k.startswith(part)}


def rows(cell: Cell, done: Done) -> dict[str, Any]:
    """What the JSON of a cell has beside that of a single run: `folds`, a row each; `interval` and
    `interval_method` of the score `interval_of`, None where nothing can be said."""
    if not cell.folds:
        return {}
    outcome, _ = done[cell.job.path]
    part = held_out(cell.plan.config)
    names = [f"{part}_top1", f"{part}_mse"]
    name = next((name for name in names if f"{name}_low" in outcome.scores), None)
    ends = name and [outcome.scores[f"{name}_low"], outcome.scores[f"{name}_high"]]
    return {
        "interval": ends,
        "interval_of": name,
        "interval_method": name and intervals_of(cell, done)[name].method,
        "folds": [
            {"fold": fit.axes["fold"], **result(fit.job, *done[fit.job.path])}
            for fit in cell.folds
            if fit.job.path in done
        ],
    }


def in_words(row: Mapping[str, Any]) -> list[str]:
    """Mean, spread and interval of a cell's JSON, a line a part."""
    count, lines = len(row["folds"]), []
    for part, name in (("val", "validation"), ("test", "test")):
        score = f"{part}_top1"
        if score not in row:
            continue
        line = (
            f"{name} top-1: mean {100 * row[score]:.2f} %, standard deviation over {count} folds "
            f"{100 * row[f'{score}_std']:.2f} points"
        )
        if row["interval_of"] == score:
            low, high = (f"{100 * end:.2f}" for end in row["interval"])
            line += f", 95 % interval on new images {low} to {high} % ({row['interval_method']})"
        lines.append(line)
    return lines


def journal_of(cell: Cell) -> Journal:
    """Of the run above the folds of a cell."""
    config = cell.plan.config
    return of_folds(config.name, config_hash(config))


class FoldsRun:
    """The tracked run above the folds of a cell, with a journal of its own.

    Args:
        cell: with folds.
        experiment: where it goes.
        parent: run id of the sweep; None of a lone configuration.
    """

    def __init__(self, cell: Cell, experiment: Experiment, parent: str | None):
        self.cell, self.experiment = cell, experiment
        source = cell.plan.source
        self.book = journal_of(cell).open()
        opening = Opening.of_event(self.book.last("started"))
        if opening is None or opening.tags["source_fingerprint"] != source.fingerprint:
            opening = experiment.opening(cell.job, source.fingerprint, parent=parent)
            kept = json.dumps(document(source, cell.plan.parts), indent=1)
            opening.documents[DATA] = kept
        there = self._is_done and find_by_journal(experiment.client, experiment.id, opening.id)
        self.ended = bool(there and there.is_complete)
        """It has been written, and nothing has changed since."""
        if there and self.ended:
            self.run = RunLog(experiment.client, there.id)
            return
        opening = under(opening, parent)
        self.run = open_run(experiment.client, experiment.id, opening)
        self.book.append("started", **asdict(opening), run_id=self.run.id, store=experiment.key)

    @property
    def _is_done(self) -> bool:
        ended, fingerprint = self.book.last("ended"), self.cell.plan.source.fingerprint
        whole = ended is not None and ended["outcome"]["status"] == "finished"
        journals = [Journal(Path(fit.job.directory)) for fit in self.cell.folds]
        return whole and all(journal.outcome(fingerprint) for journal in journals)

    def is_whole(self, done: Done) -> bool:
        """Have all folds ended?"""
        return all(fit.job.path in done for fit in self.cell.folds)

    def end(self, done: Done) -> Outcome:
        """Journal what the folds came to, and close the run unless the store is away."""
        outcome = outcome_of(self.cell, done)
        if self.ended:
            return outcome
        self.ended = True
        finished = outcome.status == "finished"
        self.book.append(
            "ended",
            status=outcome.status,
            outcome=asdict(outcome),
            fingerprint=self.cell.plan.source.fingerprint,
            folds=by_fold(self.cell, done) if finished else {},
        )
        if not self.experiment.away:
            with forgiving(say):
                complete_parent(self.run, self.book.last("ended") or {})
        return outcome


def _part(fit: Cell, part: str) -> np.ndarray:
    indices = fit.job.test if part == "test" else fit.job.validation
    assert indices is not None
    return indices


def _columns(rows: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Values by the names that all rows have."""
    return {name: [row[name] for row in rows] for name in rows[0] if all(name in r for r in rows)}


def _cost(costs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Seconds of training of all fits, and of all else the mean: where the machine was disturbed
    now and then, of those fits that it was not disturbed at."""
    flags = {column.key: column.disturbed for column in COLUMNS if column.disturbed}
    mean: dict[str, float] = {}
    for name, values in _columns(costs).items():
        flag = flags.get(name)
        calm = [cost[name] for cost in costs if flag and cost.get(flag) == 0] or values
        mean[name] = calm[0] if len(set(calm)) == 1 else fmean(calm)
        if name in flags.values():
            mean[name] = min(values)
        elif name.endswith("train_seconds"):
            mean[name] = sum(values)
    return mean
