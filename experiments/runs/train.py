"""`ilsvrc train`: one run, tracked."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from experiments.config.schema import Config
from experiments.config.settings import at_axes, flatten
from experiments.errors import BadInput, shown
from experiments.jobs import composition, length
from experiments.jobs.pace import work_of
from experiments.jobs.plan import Plan, prepare
from experiments.jobs.profile import profile_of
from experiments.launch import executors
from experiments.launch.progress import Display
from experiments.optimization.schedules import base_rate
from experiments.presentation.formatting import in_words
from experiments.runs import folds
from experiments.runs.cells import Cell, plan_cell, result
from experiments.runs.execute import execute
from experiments.runtime import devices
from experiments.tracking.experiment import Experiment
from experiments.tracking.initial import fetch_initial
from experiments.tracking.journal import Journal
from experiments.tracking.lock import check_free, held
from experiments.tracking.progress import paces


def train(config: Config, *, quiet: bool = False) -> dict[str, Any]:
    """Train once, or once on each fold, and return the result as the command's JSON.

    Raises:
        BadInput: the config does not suit its data or network, or there cannot be so many folds.
    """
    if config.validation.fits > 1 and config.validation.one_fold is None:
        return _on_folds(config)
    if devices.process_index(config.train.devices):
        return _follow(config, quiet=quiet)
    with executors.executor(config.launch) as executor:
        plan = prepare(config)
        job = plan.job(("run",))
        check_free([Path(job.directory)])
        Journal(Path(job.directory)).open()
        experiment = Experiment(config.name, config.tracking)
        fetch_initial(job, experiment, plan.source)
        fingerprints = {job.path: plan.source.fingerprint}
        works = {job.path: work_of(plan.config, plan.input_shape, len(job.train))}
        with Display(1, every_epoch=not quiet, works=works) as display:
            display.paces = paces(config.name)
            display.say(headline(plan))
            for line in (*composition.remarks(plan.source, plan.parts), plan.to_beat):
                if line:
                    display.say(line)
            [(job, outcome, run)] = execute([job], executor, experiment, fingerprints, display)
    if outcome.bad_input:
        raise BadInput(str(outcome.error))
    return result(job, outcome, run.id)


def _on_folds(config: Config) -> dict[str, Any]:
    """A fit on each fold that is not done yet, below a run that has their mean; as a sweep of one
    cell, its JSON has `folds` and `interval` beside that of a single run."""
    from experiments.runs.sweep import run_cells

    devices.refuse_hosts(config.train.devices, "train with folds")
    cell = plan_cell(config, None, ("run",))
    book = folds.journal_of(cell).open()
    with held(book.directory):
        experiment = Experiment(config.name, config.tracking)
        line = f"{config.name}: {config.model.name}, {folds_in_words(cell)}"
        done = run_cells(config, [cell], experiment, None, book, line)
    for outcome, _ in done.values():
        if outcome.bad_input:
            raise BadInput(str(outcome.error))
    outcome, run_id = done[cell.job.path]
    return result(cell.job, outcome, run_id) | folds.rows(cell, done)


def _follow(config: Config, *, quiet: bool) -> dict[str, Any]:
    """What every host but the first does: train with it, and leave all that is kept to it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        executors.executor(config.launch) as executor,
        Display(1, every_epoch=not quiet) as display,
    ):
        plan = prepare(config)
        job = dataclasses.replace(plan.job(("run",)), directory=folder)
        if config.train.initialize_from:
            fetch_initial(job, Experiment(config.name, config.tracking), plan.source)
        display.say(f"{headline(plan)}; the first host keeps the results")
        [(job, outcome)] = executor.run([job], display.event)
        display.end(job, outcome)
    if outcome.bad_input:
        raise BadInput(str(outcome.error))
    return result(job, outcome, "")


def headline(plan: Plan) -> str:
    """What is about to be trained on what, in one line."""
    height, width, channels = plan.input_shape
    text = (
        f"{plan.config.model.name} on {plan.config.data.source}: "
        f"{composition.in_words(plan.source, plan.parts)} at {height}x{width}x{channels}, "
        f"{length.in_words(plan.config.train.updates, plan.config.train.epochs)}"
    )
    if stages := plan.config.train.stages:
        text += f" after {sum(stage.epochs for stage in stages)} in stages"
    return text


def folds_in_words(cell: Cell) -> str:
    """How many folds of what; empty where there are none."""
    part = "validation" if cell.plan.config.validation.test_folds is None else "test"
    return f"{len(cell.folds)} folds of {part}, a fit each" if cell.folds else ""


def dry_run(plan: Plan, fits: int) -> dict[str, Any]:
    """What a run would do: resolved config, data found, cost of the network, number of fits."""
    config, profile = plan.config, profile_of(plan)
    split = plan.split
    return {
        "config": _without_password(config.model_dump(mode="json")),
        "data": {
            "source": plan.source.spec,
            "images": len(plan.source),
            "classes": plan.classes,
            "fingerprint": plan.source.fingerprint,
            "corrupt": [list(item) for item in plan.source.corrupt],
            **composition.document(plan.source, plan.parts),
            "train": len(split.train),
            "validation": 0 if split.validation is None else len(split.validation),
            "test": 0 if split.test is None else len(split.test),
        },
        "cost": {
            "params": profile.params,
            "macs": profile.macs,
            "activation_bytes": profile.activation_bytes,
        },
        "update": {
            "images": config.data.batch_size,
            "parts": config.train.accumulate,
            "learning_rate": base_rate(config),
            "scaling": config.train.optimizer.learning_rate_scaling,
        },
        "fits": fits,
    }


def one_of_the_sweep(config: Config, where: str) -> str:
    """Which of a sweep's runs `train` takes, in a line. Raises BadInput: no such axis."""
    sections = config.model_dump(mode="json")
    first = {key: values[0] for key, values in config.sweep.items()}
    at_axes(sections, first, where)
    known = sections | flatten(sections)
    chosen = ", ".join(f"{key}={in_words(known[key])}" for key in config.sweep if key in known)
    product = " x ".join(f"{len(values)} {key}" for key, values in config.sweep.items())
    return (
        f"train takes one run, {chosen or 'as the sections say'}, and leaves the sweep axes "
        f"({product}) out; for all of them: ilsvrc sweep {where}"
    )


def _without_password(document: dict[str, Any]) -> dict[str, Any]:
    if uri := document["tracking"]["uri"]:
        document["tracking"]["uri"] = shown(uri)
    return document
