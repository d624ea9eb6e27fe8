"""A command's own run, above those of its fits: opened or gone on with, and closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from experiments.config.schema import Config
from experiments.config.settings import to_yaml
from experiments.jobs.dataset import check_same_images, source_key
from experiments.presentation.console import say
from experiments.runs.cells import Cell
from experiments.tracking import provenance
from experiments.tracking.delivery import Opening, open_run
from experiments.tracking.experiment import Experiment, forgiving
from experiments.tracking.journal import Journal
from experiments.tracking.run_log import RunLog, complete_parent


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


def end_parent(
    parent: RunLog,
    experiment: Experiment,
    book: Journal,
    status: str,
    settlement: dict[str, Any] | None = None,
) -> None:
    """Journal how a command ended, and close its run unless the store is away."""
    book.append("ended", status=status, **({"settlement": settlement} if settlement else {}))
    if not experiment.away:
        with forgiving(say):
            complete_parent(parent, book.last("ended") or {})
