"""`ilsvrc sweep`: the product of axes. What is done stays, what fails lets the rest go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from experiments.config.schema import Config
from experiments.config.settings import to_yaml
from experiments.jobs.composition import lines
from experiments.jobs.dataset import check_same_images, source_key
from experiments.jobs.job import FitPath, Outcome
from experiments.launch import executors
from experiments.launch.pool import Backlog
from experiments.launch.progress import Display
from experiments.presentation.console import say
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
from experiments.tracking import provenance
from experiments.tracking.delivery import Delivery, Opening, open_run
from experiments.tracking.experiment import Experiment, forgiving, replay
from experiments.tracking.initial import fetch_initial
from experiments.tracking.journal import Journal, of_sweep
from experiments.tracking.lock import check_free, held
from experiments.tracking.progress import paces
from experiments.tracking.run_log import RunLog
from experiments.tracking.tracked_run import find_run


def sweep(config: Config, where: str) -> dict[str, Any]:
    """Run every cell that is not done yet and return the command's JSON.

    Args:
        config: the base settings and the axes.
        where: the config file, for errors.

    Raises:
        BadInput: a cell's config is wrong; nothing has started then.
    """
    check_axes(config, where)
    cells = list(plan_cells(config, where))
    book = of_sweep(config.name, sweep_hash(cells)).open()
    with held(book.directory):
        fits = [fit for cell in cells for fit in cell.fits]
        check_free(Path(fit.job.directory) for fit in fits)
        experiment = Experiment(config.name, config.tracking)
        axes = {f"sweep.{key}": values for key, values in config.sweep.axes.items()}
        parent = parent_run(config, experiment, book, "sweep", axes, fits)
        status = "killed"
        try:
            line, remark = announcement(config, cells), sizes_differ(config, cells)
            done = run_cells(config, cells, experiment, parent.id, book, line, remark)
            failed = any(outcome.status != "finished" for outcome, _ in done.values())
            status = "failed" if failed else "finished"
        finally:
            end_parent(parent, experiment, book, status)
        if not experiment.away:
            parent_page.attach(experiment.client, config.name, parent.id)
    rows = [
        {**cell.axes, **result(cell.job, *done[cell.job.path]), **folds.rows(cell, done)}
        for cell in cells
        if cell.job.path in done
    ]
    return {"run_id": parent.id, "status": status, "runs": rows}


def run_cells(
    config: Config,
    cells: Sequence[Cell],
    experiment: Experiment,
    parent: str | None,
    book: Journal,
    headline: str,
    remark: str = "",
    level: str = "run",
) -> dict[FitPath, tuple[Outcome, str]]:
    """Run the fits of cells that are not done yet, each tracked under a parent run with this level,
    or under the run of its cell, where that is run on folds.

    Returns:
        (outcome, run id) by path, of those done before as well, and of cells above folds; without
        those that were not begun because `launch.stop_after_failures` had come before them.
    """
    fits = [fit for cell in cells for fit in cell.fits]
    check_free(Path(fit.job.directory) for fit in fits)
    tracked: dict[FitPath, tuple[Outcome, Delivery]] = {}
    works = {fit.job.path: fit.work for fit in fits}
    workers = executors.at_a_time(config.launch)
    with Display(len(fits), works=works, workers=workers) as display:
        display.paces = paces(config.name)
        above = _runs_above(cells, experiment, parent)
        parents = {path: folds_run.run.id for path, folds_run in above.items()}
        done = _kept(fits, experiment, parents, parent, level, display)
        todo = [fit.job for fit in fits if fit.job.path not in done]
        display.ended = len(done)
        for path in done:
            del display.waiting[path]
        display.say(headline + (f", {len(done)} already done" if done else "") + remark)
        plans = [cell.plan for cell in cells]
        for line in dict.fromkeys(line for p in plans for line in lines(p.source, p.parts)):
            display.say(line)
        for line in dict.fromkeys(line for cell in cells for line in cell.notes):
            display.say(line)
        for line in dict.fromkeys(filter(None, (plan.to_beat for plan in plans))):
            display.say(line)
        book.append(
            "planned",
            cells=[
                {"directory": f.job.directory, "label": f.job.label, "work": asdict(f.work)}
                for f in fits
            ],
            workers=workers,
        )

        def outcomes() -> dict[FitPath, tuple[Outcome, str]]:
            return done | {path: (outcome, run.id) for path, (outcome, run) in tracked.items()}

        try:
            if todo:
                prints = {fit.job.path: fit.plan.source.fingerprint for fit in fits}
                for fit in fits:
                    if fit.job.path not in done:
                        fetch_initial(fit.job, experiment, fit.plan.source)
                stop = StopAfter(config.launch.stop_after_failures)
                backlog = Backlog(todo, wanted=lambda job: not stop.reached)
                with executors.executor(config.launch) as executor:
                    for job, outcome, run in execute(
                        backlog, executor, experiment, prints, display,
                        parent=parent, level=level, parents=parents,
                    ):  # fmt: skip
                        tracked[job.path] = (outcome, run)
                        stop.hear(outcome)
                        if (ends := above.get(job.path)) and ends.is_whole(outcomes()):
                            ends.end(outcomes())
                if left := len(todo) - len(tracked):
                    display.say(stop.in_words(left))
        finally:
            ended = outcomes()
            for folds_run in dict.fromkeys(above.values()):
                outcome = folds_run.end(ended)
                if any(fit.job.path in ended for fit in folds_run.cell.folds):
                    ended[folds_run.cell.job.path] = (outcome, folds_run.run.id)
    return ended


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


def parent_run(
    config: Config,
    experiment: Experiment,
    book: Journal,
    level: str,
    params: Mapping[str, Any],
    cells: Sequence[Cell],
) -> RunLog:
    """The command's own run: the one of an earlier start of the same command, or a new one.

    Raises:
        BadInput: the images are no longer those of the earlier start.
    """
    started = book.last("started") or {}
    prints = {source_key(cell.plan.config.data): cell.plan.source for cell in cells}
    for key, source in prints.items():
        then = started.get("fingerprints", {}).get(key, "") or _former(source, cells)
        check_same_images(source, then, f"when this {level} began")
    for cell in cells:  # the images may go on under the name they had
        cell.job = replace(cell.job, fingerprint=cell.plan.source.fingerprint)
    opening = Opening.of_event(started)
    if opening is None:
        tags = experiment.origin | {"level": level, "path": level}
        documents = {"config.yaml": to_yaml(config)}
        plans = {cell.plan.source.fingerprint: cell.plan for cell in cells}
        data = [
            provenance.whole(plan.config.data.source, fingerprint, len(plan.source))
            for fingerprint, plan in plans.items()
        ]
        opening = Opening(
            f"{level} {config.name}", tags, dict(params), documents,
            [given.to_dictionary() for given in data],
        )  # fmt: skip
    run = open_run(experiment.client, experiment.id, opening)
    book.append(
        "started",
        **asdict(opening),
        run_id=run.id,
        store=experiment.key,
        fingerprints={key: source.fingerprint for key, source in prints.items()},
    )
    return run


def _former(source: Any, cells: Sequence[Cell]) -> str:
    """What a source was called when one of these cells ended under a former version; else empty."""
    for cell in cells:
        ended = Journal(Path(cell.job.directory)).last("ended") or {}
        then = ended.get("fingerprint", "")
        if then != source.fingerprint and source.is_known_as(then):
            return str(then)
    return ""


def end_parent(parent: RunLog, experiment: Experiment, book: Journal, status: str) -> None:
    """Journal how a command ended, and close its run unless the store is away."""
    book.append("ended", status=status)
    if not experiment.away:
        with forgiving(say):
            parent.end(status)


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
