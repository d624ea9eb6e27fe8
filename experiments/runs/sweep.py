"""`ilsvrc sweep`: the product of axes. What is done stays, what fails lets the rest go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.config.schema import Config
from experiments.jobs.composition import lines
from experiments.jobs.job import FitPath, Job, Outcome
from experiments.launch import executors
from experiments.launch.pool import Backlog
from experiments.launch.progress import Display
from experiments.reporting import parent_page
from experiments.runs import folds
from experiments.runs.cells import (
    Cell,
    announcement,
    check_axes,
    plan_cells,
    result,
    sizes_differ,
    sweep_hash,
)
from experiments.runs.execute import execute
from experiments.runs.folds import FoldsRun
from experiments.runs.parent import end_parent, parent_run
from experiments.runs.until import Rounds
from experiments.tracking.delivery import Delivery
from experiments.tracking.experiment import Experiment, replay
from experiments.tracking.initial import fetch_initial
from experiments.tracking.journal import Journal, of_sweep
from experiments.tracking.lock import check_free, held
from experiments.tracking.progress import paces
from experiments.tracking.tracked_run import find_run

Further = Callable[
    [Mapping[FitPath, tuple[Outcome, str]], Journal, Callable[[str], None]], list[Cell]
]
"""From the outcomes so far, the command's journal and what says a line to cells that follow."""


def sweep(config: Config, where: str) -> dict[str, Any]:
    """Run every cell that is not done yet and return the command's JSON.

    Args:
        config: the base settings and the axes.
        where: the config file, for errors.

    Raises:
        BadInput: a cell's config is wrong; nothing has started then.
    """
    check_axes(config, where)
    rounds = Rounds(config, where) if config.sweep.until else None
    cells = rounds.cells if rounds else list(plan_cells(config, where))
    book = of_sweep(config.name, rounds.digest if rounds else sweep_hash(cells)).open()
    with held(book.directory):
        fits = [fit for cell in cells for fit in cell.fits]
        check_free(Path(fit.job.directory) for fit in fits)
        experiment = Experiment(config.name, config.tracking)
        axes = {f"sweep.{key}": values for key, values in config.sweep.axes.items()}
        axes |= rounds.params if rounds else {}
        parent = parent_run(config, experiment, book, "sweep", axes, fits)
        status = "killed"
        try:
            line = rounds.announcement() if rounds else announcement(config, cells)
            done = run_cells(
                config, cells, experiment, parent.id, book, line, sizes_differ(config, cells),
                further=rounds.further if rounds else None,
            )  # fmt: skip
            failed = any(outcome.status != "finished" for outcome, _ in done.values())
            status = "failed" if failed else "finished"
        finally:
            settlement = rounds.document() if rounds else None
            end_parent(parent, experiment, book, status, settlement)
        if not experiment.away:
            parent_page.attach(experiment.client, config.name, parent.id)
    rows = [
        {**cell.axes, **result(cell.job, *done[cell.job.path]), **folds.rows(cell, done)}
        for cell in (rounds.cells if rounds else cells)
        if cell.job.path in done
    ]
    document = {"run_id": parent.id, "status": status, "runs": rows}
    return document | ({"settled": settlement} if settlement else {})


def run_cells(
    config: Config,
    cells: Sequence[Cell],
    experiment: Experiment,
    parent: str | None,
    book: Journal,
    headline: str,
    remark: str = "",
    level: str = "run",
    further: Further | None = None,
) -> dict[FitPath, tuple[Outcome, str]]:
    """Run the fits of cells that are not done yet, each tracked under a parent run with this level,
    or under the run of its cell, where that is run on folds.

    Args:
        further: asked when all fits so far have ended, for cells to follow; none at the end.

    Returns:
        (outcome, run id) by path, of those done before as well, and of cells above folds; without
        those that were not begun because `launch.stop_after_failures` had come before them.
    """
    planned: list[Cell] = []
    above: dict[FitPath, FoldsRun] = {}
    parents: dict[FitPath, str] = {}
    prints: dict[FitPath, str] = {}
    done: dict[FitPath, tuple[Outcome, str]] = {}
    tracked: dict[FitPath, tuple[Outcome, Delivery]] = {}
    workers = executors.at_a_time(config.launch)
    stop = StopAfter(config.launch.stop_after_failures)
    backlog = Backlog(wanted=lambda job: not stop.reached)

    def outcomes() -> dict[FitPath, tuple[Outcome, str]]:
        return done | {path: (outcome, run.id) for path, (outcome, run) in tracked.items()}

    def begin(cells: Sequence[Cell]) -> list[Job]:
        """Plan the fits of cells, and queue those that are not done yet."""
        fits = [fit for cell in cells for fit in cell.fits]
        check_free(Path(fit.job.directory) for fit in fits)
        planned.extend(cells)
        above.update(_runs_above(cells, experiment, parent))
        parents.update({path: folds_run.run.id for path, folds_run in above.items()})
        prints.update({fit.job.path: fit.plan.source.fingerprint for fit in fits})
        kept = _kept(fits, experiment, parents, parent, level, display)
        done.update(kept)
        left = [fit for fit in fits if fit.job.path not in kept]
        display.expect({fit.job.path: fit.work for fit in left}, len(kept))
        book.append(
            "planned",
            cells=[
                {"directory": f.job.directory, "label": f.job.label, "work": asdict(f.work)}
                for cell in planned
                for f in cell.fits
            ],
            workers=workers,
        )
        for fit in left:
            fetch_initial(fit.job, experiment, fit.plan.source)
        jobs = [fit.job for fit in left]
        backlog.add(jobs)
        return jobs

    def go_on() -> list[Job]:
        """Begin the rounds that follow, as long as all of the last one has ended."""
        jobs: list[Job] = []
        while further and not jobs and len(prints) == len(done) + len(tracked):
            if not (more := further(outcomes(), book, display.say)):
                break
            jobs = begin(more)
        return jobs

    with Display(0, workers=workers) as display:
        display.paces = paces(config.name)
        try:
            queued = len(begin(cells))
            display.say(headline + (f", {len(done)} already done" if done else "") + remark)
            for line in _remarks(cells):
                display.say(line)
            queued += len(go_on())
            if queued:
                with executors.executor(config.launch) as executor:
                    for job, outcome, run in execute(
                        backlog, executor, experiment, prints, display,
                        parent=parent, level=level, parents=parents,
                    ):  # fmt: skip
                        tracked[job.path] = (outcome, run)
                        stop.hear(outcome)
                        if (ends := above.get(job.path)) and ends.is_whole(outcomes()):
                            ends.end(outcomes())
                        queued += len(go_on())
                if left := queued - len(tracked):
                    display.say(stop.in_words(left))
        finally:
            ended = outcomes()
            for folds_run in dict.fromkeys(above.values()):
                outcome = folds_run.end(ended)
                if any(fit.job.path in ended for fit in folds_run.cell.folds):
                    ended[folds_run.cell.job.path] = (outcome, folds_run.run.id)
    return ended


def _remarks(cells: Sequence[Cell]) -> list[str]:
    """What must be known of the images and folds, each line once."""
    plans = [cell.plan for cell in cells]
    of_data = [line for plan in plans for line in lines(plan.source, plan.parts)]
    of_folds = [line for cell in cells for line in cell.notes]
    return list(dict.fromkeys(filter(None, [*of_data, *of_folds, *(p.to_beat for p in plans)])))


def _runs_above(
    cells: Sequence[Cell], experiment: Experiment, parent: str | None
) -> dict[FitPath, FoldsRun]:
    """The run above each fit on a fold, by the fit's path."""
    above: dict[FitPath, FoldsRun] = {}
    for cell in cells:
        if cell.folds:
            folds_run = FoldsRun(cell, experiment, parent)
            above |= {fit.job.path: folds_run for fit in cell.folds}
    return above


class StopAfter:
    """Counts failed runs in a row, up to the limit of them; the folds of a cell count once."""

    def __init__(self, limit: int | None):
        self.limit = limit
        self.in_a_row: set[FitPath] = set()
        self.reached = False
        """Stays so, whatever those come to that were at work then."""

    def hear(self, outcome: Outcome) -> None:
        path = outcome.path
        cell = path[: path.index("fold")] if "fold" in path else path
        self.in_a_row = self.in_a_row | {cell} if outcome.status == "failed" else set()
        self.reached |= self.limit is not None and len(self.in_a_row) >= self.limit

    def in_words(self, left: int) -> str:
        """What is said of so many runs that were not begun."""
        return (
            f"stopped after {self.limit} failed runs in a row (launch.stop_after_failures), "
            f"{left} not begun: mend what the last ones say, and run the same command to go on; it "
            "tries the failed ones again"
        )


def _kept(
    cells: Sequence[Cell],
    experiment: Experiment,
    parents: Mapping[FitPath, str],
    parent: str | None,
    level: str,
    display: Display,
) -> dict[FitPath, tuple[Outcome, str]]:
    """Outcomes of cells that are done, with their runs; a run that the store lacks is replayed."""
    kept = {}
    for cell in cells:
        journal = Journal(Path(cell.job.directory))
        fingerprint = cell.plan.source.fingerprint
        outcome = journal.outcome(fingerprint)
        if outcome is None:
            continue
        run_id = journal.tracked(experiment.key)
        run = find_run(experiment.client, run_id) if run_id else None
        if run is None or not run.is_complete:
            display.say(f"{cell.job.label}: done before, written to this store from the journal")
            above = parents.get(cell.job.path, parent)
            run_id = replay(cell.job, experiment, fingerprint, above, level)
        kept[cell.job.path] = (outcome, run_id)
    return kept
