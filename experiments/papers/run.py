"""`ilsvrc paper`: a paper's tables trained as one sweep, and set beside the published ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config.identity import IRRELEVANT
from experiments.errors import BadInput
from experiments.jobs.plan import Plan
from experiments.papers import scale as rule
from experiments.papers.catalogue import paper_of, tables_of, with_rows
from experiments.papers.declaration import Images
from experiments.papers.figures import Trained, figures_of, finished
from experiments.papers.judging import judged
from experiments.papers.planning import Planned, Request, plan
from experiments.reporting import parent_page
from experiments.runs import cells as runs
from experiments.runs.sweep import end_parent, parent_run, run_cells
from experiments.tracking.experiment import Experiment
from experiments.tracking.journal import Journal, of_sweep
from experiments.tracking.lock import held

MOST_SEEDS = 100
TABLES = "tables"
"""Event of the journal: what a command came to, for the page of results."""


def requested(
    name: str,
    tables: Sequence[str],
    rows: Sequence[str],
    scale: str,
    seeds: int,
    words: Sequence[str],
) -> Request:
    """Raises BadInput: no such paper, table or row; a scale or number of seeds that cannot be."""
    if not 1 <= seeds <= MOST_SEEDS:
        raise BadInput(f"--seeds: expected a number from 1 to {MOST_SEEDS}. Received: {seeds}")
    paper = paper_of(name)
    chosen = with_rows(tables_of(paper, list(tables)), list(rows))
    return Request(paper, chosen, rule.parsed(scale), seeds, words)


def run(request: Request) -> dict[str, Any]:
    """Train what is not done yet of the tables and return the command's JSON.

    Raises:
        BadInput: as `planning.plan`, or the images are no longer those of an earlier start.
    """
    began = time.monotonic()
    planned = plan(request)
    config = planned.fits[0].plan.config
    book = of_sweep(request.name, runs.sweep_hash(planned.fits)).open()
    with held(book.directory):
        experiment = Experiment(request.name, config.tracking)
        params = {
            "paper": request.paper.name,
            "tables": [table.name for table in request.tables],
            "scale": str(request.scale),
            "seeds": request.seeds,
        }
        parent = parent_run(config, experiment, book, "sweep", params, planned.fits)
        before = {fit.job.path for fit in planned.fits if _is_done(fit)}
        status = "killed"
        try:
            done = run_cells(
                config, planned.fits, experiment, parent.id, book, announcement(request, planned)
            )
            failed = [o for o, _ in done.values() if o.status != "finished"]
            status = "failed" if failed or len(done) < len(planned.fits) else "finished"
            fits = finished(planned, done)
            document = document_of(Trained(request, planned, fits, book, experiment.uri))
        finally:
            end_parent(parent, experiment, book, status)
        if not experiment.away:
            parent_page.attach(experiment.client, request.name, parent.id)
        now = [outcome for path, (outcome, _) in done.items() if path not in before]
        document |= {
            "run_id": parent.id,
            "status": status,
            "failed": [
                {"label": fit.job.label, "run_id": done[fit.job.path][1],
                 "error": done[fit.job.path][0].error}
                for fit in planned.fits
                if fit.job.path in done and done[fit.job.path][0].status != "finished"
            ],
            "wall_seconds": time.monotonic() - began,
            "update_seconds": sum(outcome.cost.get("step_seconds", 0.0) for outcome in now),
            "fits": {"planned": len(planned.fits), "done_before": len(before)},
        }  # fmt: skip
        if status == "finished":
            book.append(TABLES, document=document)
    return document


def document_of(trained: Trained) -> dict[str, Any]:
    """Every table, from the fits that have finished."""
    request, planned, fits = trained.request, trained.planned, trained.fits
    tables = []
    for table in request.tables:
        of_table = (keys for (name, *_), keys in planned.members.items() if name == table.name)
        hashes = list(dict.fromkeys(key for keys in of_table for key in keys))
        plans = [planned.by_hash[key].plan for key in hashes]
        same = request.scale == 1 and all(is_of(table.images, plan) for plan in plans)
        document = judged(table, figures_of(trained, table), same)
        costs = [fits[key][0].cost for key in hashes if key in fits]
        document["train_seconds"] = sum(cost.get("train_seconds", 0.0) for cost in costs)
        document["networks"] = len(costs)
        document |= counted(plans[0])
        tables.append(document)
    return {
        "paper": request.paper.name,
        "title": request.paper.title,
        "scale": str(request.scale),
        "seeds": request.seeds,
        "source": planned.source.spec,
        "fingerprint": planned.source.fingerprint,
        "settings": [word for word in request.words if changes_results(word)],
        "tables": tables,
    }


def changes_results(word: str) -> bool:
    """Is it a setting that a result depends on, and not said elsewhere?"""
    key = word.partition("=")[0]
    section, _, rest = key.partition(".")
    ignored = IRRELEVANT.get(section, False)
    return ignored is not True and not (ignored and rest in ignored) and key != "data.source"


def counted(plan: Plan) -> dict[str, int]:
    """What a table's first network is trained on and scored by."""
    return {
        "classes": plan.classes,
        "train_images": len(plan.split.train),
        "scored_images": len(scored_part(plan)),
    }


def scored_part(plan: Plan) -> np.ndarray:
    """Indices of the images that a fit is scored by."""
    split = plan.split
    return np.asarray(split.test if split.test is not None else split.validation)


def is_of(images: Images, plan: Plan) -> bool:
    """Are a fit's images the paper's, by how many there are of what?"""
    return tuple(counted(plan).values()) == (images.classes, images.train, images.scored)


def _is_done(fit: runs.Cell) -> bool:
    return Journal(Path(fit.job.directory)).outcome(fit.plan.source.fingerprint) is not None


def announcement(request: Request, planned: Planned) -> str:
    """What is about to be trained, in a line."""
    figures = sum(len(table.cells) for table in request.tables)
    graphs = len({fit.job.graph_key for fit in planned.fits})
    names = ", ".join(table.name for table in request.tables)
    return (
        f"{request.name}, {names} at scale {request.scale}: {figures} figures of "
        f"{len(planned.fits)} fits with {graphs} graphs, the cheapest first"
    )
