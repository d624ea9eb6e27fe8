"""From tables to fits: each cell's config at a scale, checked before anything trains; equal configs
of cells, members and tables are one fit."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import models
from experiments.config import settings
from experiments.config.identity import config_hash
from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.jobs.dataset import open_source, split_of
from experiments.jobs.job import Job
from experiments.jobs.plan import check_settings
from experiments.papers import scale as rule
from experiments.papers.declaration import Cell, Paper, Table
from experiments.runs import cells as runs
from experiments.runtime import devices
from pipelines.sources.some_classes import some_classes

SEED_STEP = 1000  # between the members' seeds of one repetition and those of the next
ELSEWHERE = {
    "seed": "use --seeds N",
    "name": "results are kept as paper-NAME",
    "sweep": "use --table",
}


@dataclass(frozen=True)
class Request:
    """What the command was asked for."""

    paper: Paper
    tables: Sequence[Table]
    scale: Fraction
    seeds: int
    words: Sequence[str]
    """key.path=value"""

    @property
    def name(self) -> str:
        """Of the experiment."""
        return f"paper-{self.paper.name}"

    def scores_again(self, table: Table, cell: Cell) -> bool:
        """Is a figure that of crops, by the stored networks, and not as the fits were scored?"""
        return cell.protocol != "centre" and (table.varies_protocol or self.scale == 1)


@dataclass
class Planned:
    """Fits, and which of them are whose."""

    source: Any
    fits: list[runs.Cell] = field(default_factory=list)
    """Cheapest first, those of one graph side by side."""
    members: dict[tuple[str, int, int], list[str]] = field(default_factory=dict)
    """Hashes of the networks of a figure, by table, position of the cell, and seed."""
    by_hash: dict[str, runs.Cell] = field(default_factory=dict)


def plan(request: Request) -> Planned:
    """Every fit of the tables.

    Raises:
        BadInput: a setting that the table varies or that has a place of its own, fewer classes than
            the scale asks, a network that the scale leaves too small images, images without labels
            to score by; and as `prepare`.
    """
    check_words(request)
    drafts = [
        (table, position, seed, member, draft(request, table, cell, member, seed))
        for table in request.tables
        for position, cell in enumerate(table.cells)
        for seed in range(1, request.seeds + 1)
        for member in cell.members
    ]
    for table, position, _, _, raw in drafts:  # all of them before any images are opened
        config = settings.parse(raw, where=f"paper {request.paper.name}, {table.name}")
        check_sides(request, table, table.cells[position], config)
        devices.refuse_hosts(config.train.devices, "paper")
        check_settings(config)
        if request.scores_again(table, table.cells[position]):
            check_stored(config, table)
        if config.validation.fits > 1:
            raise BadInput("validation: a table is of one split; repeat it with --seeds N")
    source = open_source(settings.parse(drafts[0][-1]).data)
    for table in request.tables:
        check_classes(request, table, source)
    planned = Planned(source)
    sources: dict[int, Any] = {}
    available: dict[str, int] = {}
    known: dict[str, list[Any]] = {}
    for table, position, seed, member, raw in drafts:
        count = _classes(request, table, source)
        if count not in sources:
            sources[count] = some_classes(source, count)
        if count < len(source.class_names):
            settings.set_key(raw, "data.classes", count)
        part = sources[count]
        config = _with_fraction(request, table, settings.parse(raw), part, available)
        axes = {**table.cells[position].changes, **member, "seed": config.seed}
        cell = runs.plan_cell(config, part, ("cell", len(planned.by_hash)), axes, known)
        if cell.plan.split.test is None and cell.plan.split.validation is None:
            raise BadInput(
                f"data.source: {source.spec} has no test and no validation images to score by; set "
                "validation.test_fraction=0.2"
            )
        key = config_hash(cell.plan.config)
        if (count := table.cells[position].checkpoints) > 1:
            key = f"{key}-checkpoints-{count}"
            cell.job = with_checkpoints(cell.job, count)
        planned.by_hash.setdefault(key, cell)
        planned.members.setdefault((table.name, position, seed), []).append(key)
    planned.fits = in_order(list(planned.by_hash.values()))
    return planned


def draft(request: Request, table: Table, cell: Cell, member: Any, seed: int) -> dict[str, Any]:
    """The sections of one fit, but for what depends on the images."""
    raw = copy.deepcopy(dict(table.base))
    for key, value in (cell.changes | member).items():
        settings.set_key(raw, key, copy.deepcopy(value))
    first = raw.pop("seed", 0)
    raw = settings.override(rule.scaled(raw, request.scale, table.images), request.words)
    raw["seed"] = (seed - 1) * SEED_STEP + first if first else seed
    return raw | {"name": request.name}


def check_words(request: Request) -> None:
    """Refuse settings that the tables vary, or that are not for a paper."""
    varied = {key for table in request.tables for cell in table.cells for key in cell.changes}
    given = []
    for word in request.words:
        key = word.partition("=")[0]
        given.append(key)
        if key in ELSEWHERE:
            raise BadInput(f"{key}: no setting of a paper's table; {ELSEWHERE[key]}")
        inside = [k for k in varied if k == key or f"{k}.".startswith(f"{key}.")]
        if inside:
            raise BadInput(f"{key}: that is what the table varies ({inside[0]}); leave it out")
    if "data.source" not in given:
        raise BadInput(
            "data.source: name the images, such as data.source=ilsvrc:DIR, folder:DIR or cifar"
        )


def check_sides(request: Request, table: Table, cell: Cell, config: Config) -> None:
    """Refuse a scale that leaves a network smaller images than it can take."""
    try:
        least = max(models.card(config.model.name).smallest_input)
    except ValueError:
        return  # check_settings says so
    size = config.data.image_size
    have = size if isinstance(size, int) else min(size or (least,))
    if have >= least:
        return
    paper_side = cell.changes.get("data.image_size", table.base["data"]["image_size"])
    smallest = rule.smallest_for(paper_side, least)
    hint = f"--scale {smallest} is the smallest for it, or " if smallest else ""
    raise BadInput(
        f"--scale {request.scale}: {table.name} leaves {config.model.name} {have}x{have} pixels; "
        f"it takes {least}x{least} or larger: {hint}set data.image_size={least}"
    )


def check_stored(config: Config, table: Table) -> None:
    """Refuse to drop the networks that crops are scored by later."""
    if config.tracking.save_model == "none":
        raise BadInput(
            f"tracking.save_model: {table.name} is scored under protocols of crops by the stored "
            "networks; set last or best"
        )


def check_classes(request: Request, table: Table, source: Any) -> None:
    """Refuse images of fewer classes than the scale asks."""
    asked, have = rule.wanted(table.images, request.scale).classes, len(source.class_names)
    if have >= asked:
        return
    largest = rule.largest_for(table.images, have)
    hint = (
        f"use --scale {largest}, the largest for them" if largest else "use images of more classes"
    )
    raise BadInput(
        f"data.source: {source.spec} has {have} classes, and {table.name} ({table.images.name}) "
        f"asks for {asked} at scale {request.scale}; {hint}"
    )


def with_checkpoints(job: Job, count: int) -> Job:
    """The fit with its predictions of so many last epochs, kept apart from one without them."""
    last = job.config.train.epochs
    epochs = tuple(range(max(1, last - count + 1), last))
    directory = f"{job.directory}-checkpoints-{count}"
    return replace(job, directory=directory, prediction_epochs=epochs)


def _classes(request: Request, table: Table, source: Any) -> int:
    """How many of the source's are trained on: as the scale asks, or as a setting does."""
    if request.scale == 1 or any(word.startswith("data.classes=") for word in request.words):
        return len(source.class_names)
    return min(len(source.class_names), rule.wanted(table.images, request.scale).classes)


def _with_fraction(
    request: Request, table: Table, config: Config, source: Any, available: dict[str, int]
) -> Config:
    """The config with as many training images as the scale asks, of those that there are."""
    if request.scale == 1:
        return config
    data = config.data.model_copy(update={"train_fraction": 1.0})
    key = config.validation.model_dump_json() + str(config.data.classes)
    if key not in available:
        whole = config.model_copy(update={"data": data})
        available[key] = len(split_of(whole, source).train)
    asked = rule.wanted(table.images, request.scale)
    images = asked.images_of_class * len(source.class_names)
    share = min(1.0, images / available[key]) * config.data.train_fraction
    update = {"train_fraction": float(f"{share:.6g}")}
    return config.model_copy(update={"data": config.data.model_copy(update=update)})


def in_order(fits: Sequence[runs.Cell]) -> list[runs.Cell]:
    """Those of one graph side by side, as workers keep the compiled network; cheapest first."""
    cheapest: dict[str, float] = {}
    for fit in fits:
        graph = fit.job.graph_key
        cheapest[graph] = min(fit.work.amount, cheapest.get(graph, float("inf")))
    ranked = sorted(
        fits,
        key=lambda fit: (cheapest[fit.job.graph_key], fit.job.graph_key, fit.work.amount),
    )
    for number, fit in enumerate(ranked):
        fit.job = replace(fit.job, path=("cell", number))
    return ranked
