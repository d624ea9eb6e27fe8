"""The points of a sweep, planned: each a fit of its own, or one on each of its folds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from experiments.config import settings
from experiments.config.identity import IRRELEVANT, config_hash
from experiments.config.schema import MOST_RUNS, Config
from experiments.errors import BadInput
from experiments.jobs.dataset import open_source, source_key
from experiments.jobs.folds import notes
from experiments.jobs.job import FitPath, Job, Outcome
from experiments.jobs.pace import Work, work_of
from experiments.jobs.plan import Plan, check_settings, prepare_fits
from experiments.runtime import devices
from tuning.oracles.oracle import grid

FOLDS = ("folds", "repeats", "test_folds", "fold")
"""Keys of `validation` that say how many fits a cell is."""


@dataclass
class Cell:
    """One point of the product: its axis values and the plan they give."""

    axes: dict[str, Any]
    plan: Plan
    job: Job
    """Of a cell with folds it is not run: its run is the mean over theirs."""
    folds: list[Cell] = field(default_factory=list)

    @property
    def fits(self) -> list[Cell]:
        """What is trained: on each fold, or the cell itself."""
        return self.folds or [self]

    @property
    def work(self) -> Work:
        """What its fit has to do, as far as that is known without building the network."""
        return work_of(self.plan.config, self.plan.input_shape, len(self.job.train))

    @property
    def notes(self) -> list[str]:
        """What must be known of its folds; nothing of a single fit."""
        return notes(self.plan.config, self.plan.source) if self.folds else []


def plan_cell(
    config: Config,
    source: Any,
    path: FitPath,
    axes: Mapping[str, Any] | None = None,
    known: dict[str, list[Any]] | None = None,
) -> Cell:
    """One configuration, checked, with its folds if it has any; `known` as in `prepare_fits`.

    Raises:
        BadInput: as `prepare_fits`.
    """
    if config.validation.fits > MOST_RUNS:
        raise BadInput(
            f"validation: {config.validation.fits:,} folds, and {MOST_RUNS:,} are the most; set "
            "folds or repeats to less"
        )
    chosen = dict(axes or {})
    whole, each = prepare_fits(config, source, known)
    cell = Cell(chosen, whole, whole.job(path, chosen))
    if len(each) > 1:
        for plan in each:
            named = chosen | {"fold": plan.config.validation.fold}
            cell.folds.append(Cell(named, plan, plan.job(path, named)))
    return cell


def check_axes(config: Config, where: str) -> None:
    """Refuse a sweep without axes, or with axes that sweep nothing that changes a result."""
    if not config.sweep.axes:
        raise BadInput(
            f"{where}: sweep: no axes; add for example sweep: {{model.name: [lenet5, mlp]}}"
        )
    for key in config.sweep.axes:
        section, _, rest = key.partition(".")
        ignored = IRRELEVANT.get(section, section == "name")
        if ignored is True or (ignored and rest.split(".")[0] in ignored):
            why = "every cell is run on the same folds" if rest in FOLDS else "it changes no result"
            raise BadInput(f"{where}: sweep.{key}: cannot be an axis; {why}")


def plan_cells(config: Config, where: str) -> Iterator[Cell]:
    """Every cell in order, each checked; cells that come to the same config count once."""
    base = config.model_dump(mode="json") | {"sweep": {}}
    sources: dict[str, Any] = {}
    known: dict[str, list[Any]] = {}
    seen: set[str] = set()
    configs = []
    for axes in grid(config.sweep.axes):  # all of them before any images are opened
        configs.append((axes, settings.at_axes(base, axes, where)))
        devices.refuse_hosts(configs[-1][1].train.devices, "sweep")
        check_settings(configs[-1][1])
    for number, (axes, given) in enumerate(configs):
        key = source_key(given.data)
        if key not in sources:
            sources[key] = open_source(given.data)
        cell = plan_cell(given, sources[key], ("cell", number), axes, known)
        if config_hash(cell.plan.config) not in seen:
            seen.add(config_hash(cell.plan.config))
            yield cell


def sweep_hash(cells: Sequence[Cell]) -> str:
    """Digest of the set of cells, whatever their order."""
    hashes = sorted(config_hash(cell.plan.config) for cell in cells)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:12]


def announcement(config: Config, cells: Sequence[Cell]) -> str:
    """What a sweep is about to run, in a line."""
    product = " x ".join(f"{len(values)} {key}" for key, values in config.sweep.axes.items())
    runs_word = "run" if len(cells) == 1 else "runs"
    text = f"{config.name}: {len(cells)} {runs_word} ({product}){in_fits(cells)}"
    same = prod(len(values) for values in config.sweep.axes.values()) - len(cells)
    if same:
        text += f", {same} left out that come to the same settings"
    return text


def in_fits(cells: Sequence[Cell]) -> str:
    """What folds make of so many runs: " x 5 folds = 20 fits"; empty where there are none."""
    folds = len(cells[0].folds)
    return f" x {folds} folds = {folds * len(cells)} fits" if folds else ""


def sizes_differ(config: Config, cells: Sequence[Cell]) -> str:
    """A remark on cells that see images of different sizes without being asked to; else empty."""
    sizes = {cell.plan.input_shape[:2] for cell in cells}
    if len(sizes) == 1 or "data.image_size" in config.sweep.axes:
        return ""
    shown = ", ".join(f"{h}x{w}" for h, w in sorted(sizes))
    return f"; image sizes differ ({shown}): set data.image_size to compare like with like"


def result(job: Job, outcome: Outcome, run_id: str) -> dict[str, Any]:
    """One run as JSON: identity, status, every score and cost."""
    row: dict[str, Any] = {
        "run_id": run_id,
        "status": outcome.status,
        "epochs": len(outcome.history),
    }
    row |= outcome.scores | outcome.cost
    if outcome.error:
        row["error"] = outcome.error
    return row
