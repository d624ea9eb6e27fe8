"""`ilsvrc sweep`: the product of axes. What is done stays, what fails lets the rest go on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from experiments.config import settings
from experiments.config.identity import IRRELEVANT, config_hash
from experiments.config.schema import Config
from experiments.config.settings import to_yaml
from experiments.errors import BadInput
from experiments.jobs.composition import lines
from experiments.jobs.dataset import check_same_images, open_source, source_key
from experiments.jobs.job import FitPath, Job, Outcome
from experiments.jobs.pace import Work, work_of
from experiments.jobs.plan import Plan, check_settings, prepare
from experiments.launch import executors
from experiments.launch.pool import Backlog
from experiments.launch.progress import Display
from experiments.presentation.console import say
from experiments.reporting import parent_page
from experiments.runs.execute import execute
from experiments.runs.train import result
from experiments.runtime import devices
from experiments.tracking import provenance
from experiments.tracking.delivery import Opening, open_run
from experiments.tracking.experiment import Experiment, forgiving, replay
from experiments.tracking.initial import fetch_initial
from experiments.tracking.journal import Journal, of_sweep
from experiments.tracking.lock import check_free, held
from experiments.tracking.progress import paces
from experiments.tracking.run_log import RunLog
from experiments.tracking.tracked_run import find_run
from tuning.oracles import grid


@dataclass
class Cell:
    """One point of the product: its axis values and the plan they give."""

    axes: dict[str, Any]
    plan: Plan
    job: Job

    @property
    def work(self) -> Work:
        """What its fit has to do, as far as that is known without building the network."""
        return work_of(self.plan.config, self.plan.input_shape, len(self.job.train))


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
        check_free(Path(cell.job.directory) for cell in cells)
        experiment = Experiment(config.name, config.tracking)
        axes = {f"sweep.{key}": values for key, values in config.sweep.items()}
        parent = parent_run(config, experiment, book, "sweep", axes, cells)
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
        {**cell.axes, **result(cell.job, *done[cell.job.path])}
        for cell in cells
        if cell.job.path in done
    ]
    return {"run_id": parent.id, "status": status, "runs": rows}


def check_axes(config: Config, where: str) -> None:
    """Refuse a sweep without axes, or with axes that sweep nothing that changes a result."""
    if not config.sweep:
        raise BadInput(
            f"{where}: sweep: no axes; add for example sweep: {{model.name: [lenet5, mlp]}}"
        )
    for key in config.sweep:
        section, _, rest = key.partition(".")
        ignored = IRRELEVANT.get(section, section == "name")
        if ignored is True or (ignored and rest.split(".")[0] in ignored):
            raise BadInput(f"{where}: sweep.{key}: cannot be an axis; it changes no result")


def plan_cells(config: Config, where: str) -> Iterator[Cell]:
    """Every cell in order, each checked; cells that come to the same config count once."""
    base = config.model_dump(mode="json") | {"sweep": {}}
    sources: dict[str, Any] = {}
    seen: set[str] = set()
    configs = []
    for axes in grid(config.sweep):  # all of them before any images are opened
        configs.append((axes, settings.at_axes(base, axes, where)))
        devices.refuse_hosts(configs[-1][1].train.devices, "sweep")
        check_settings(configs[-1][1])
    for number, (axes, cell) in enumerate(configs):
        key = source_key(cell.data)
        if key not in sources:
            sources[key] = open_source(cell.data)
        plan = prepare(cell, sources[key])
        if config_hash(plan.config) not in seen:
            seen.add(config_hash(plan.config))
            yield Cell(axes, plan, plan.job(("cell", number), axes))


def sweep_hash(cells: list[Cell]) -> str:
    """Digest of the set of cells, whatever their order."""
    hashes = sorted(config_hash(cell.plan.config) for cell in cells)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:12]


def run_cells(
    config: Config,
    cells: Sequence[Cell],
    experiment: Experiment,
    parent: str,
    book: Journal,
    headline: str,
    remark: str = "",
    level: str = "run",
) -> dict[FitPath, tuple[Outcome, str]]:
    """Run the cells that are not done yet, each tracked under a parent run with this level.

    Returns:
        (outcome, run id) by path, of those done before as well; without those that were not begun
        because `launch.stop_after_failures` had come before them.
    """
    check_free(Path(cell.job.directory) for cell in cells)
    tracked = {}
    works = {cell.job.path: cell.work for cell in cells}
    workers = executors.at_a_time(config.launch)
    with Display(len(cells), works=works, workers=workers) as display:
        display.paces = paces(config.name)
        done = _kept(cells, experiment, parent, level, display)
        todo = [cell.job for cell in cells if cell.job.path not in done]
        display.ended = len(done)
        for path in done:
            del display.waiting[path]
        display.say(headline + (f", {len(done)} already done" if done else "") + remark)
        plans = [cell.plan for cell in cells]
        for line in dict.fromkeys(line for p in plans for line in lines(p.source, p.parts)):
            display.say(line)
        for line in dict.fromkeys(filter(None, (plan.to_beat for plan in plans))):
            display.say(line)
        book.append(
            "planned",
            cells=[
                {"directory": c.job.directory, "label": c.job.label, "work": asdict(c.work)}
                for c in cells
            ],
            workers=workers,
        )
        if todo:
            prints = {cell.job.path: cell.plan.source.fingerprint for cell in cells}
            for cell in cells:
                if cell.job.path not in done:
                    fetch_initial(cell.job, experiment, cell.plan.source)
            stop = StopAfter(config.launch.stop_after_failures)
            backlog = Backlog(todo, wanted=lambda job: not stop.reached)
            with executors.executor(config.launch) as executor:
                for job, outcome, run in execute(
                    backlog, executor, experiment, prints, display, parent=parent, level=level
                ):
                    tracked[job.path] = (outcome, run)
                    stop.hear(outcome)
            if left := len(todo) - len(tracked):
                display.say(stop.in_words(left))
    return done | {path: (outcome, run.id) for path, (outcome, run) in tracked.items()}


class StopAfter:
    """Counts failed runs in a row, up to the limit of them."""

    def __init__(self, limit: int | None):
        self.limit, self.in_a_row = limit, 0
        self.reached = False
        """Stays so, whatever those come to that were at work then."""

    def hear(self, outcome: Outcome) -> None:
        self.in_a_row = self.in_a_row + 1 if outcome.status == "failed" else 0
        self.reached |= self.limit is not None and self.in_a_row >= self.limit

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
    cells: Sequence[Cell], experiment: Experiment, parent: str, level: str, display: Display
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
            run_id = replay(cell.job, experiment, fingerprint, parent, level)
        kept[cell.job.path] = (outcome, run_id)
    return kept


def announcement(config: Config, cells: Sequence[Cell]) -> str:
    """What a sweep is about to run, in a line."""
    product = " x ".join(f"{len(values)} {key}" for key, values in config.sweep.items())
    runs_word = "run" if len(cells) == 1 else "runs"
    text = f"{config.name}: {len(cells)} {runs_word} ({product})"
    same = prod(len(values) for values in config.sweep.values()) - len(cells)
    if same:
        text += f", {same} left out that come to the same settings"
    return text


def sizes_differ(config: Config, cells: Sequence[Cell]) -> str:
    """A remark on cells that see images of different sizes without being asked to; else empty."""
    sizes = {cell.plan.input_shape[:2] for cell in cells}
    if len(sizes) == 1 or "data.image_size" in config.sweep:
        return ""
    shown = ", ".join(f"{h}x{w}" for h, w in sorted(sizes))
    return f"; image sizes differ ({shown}): set data.image_size to compare like with like"
