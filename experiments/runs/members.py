"""Which networks an ensemble is made of, and the fits that make them.

Three kinds (`evaluate.ensemble.kind`):

- seeds: the same settings and the same split; initial weights, dropout and the order of images are
  each member's own (Lakshminarayanan et al. 2017). The first is the run of `ilsvrc train`.
- top: the best candidates of the config's finished search, retrained.
- checkpoints: the network of one run at its last epoch and at epochs `every` apart before it. They
  cost one training, and are the more alike, the lower the learning rate has become.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import models
import pipelines
from experiments.config.evaluate import Ensemble
from experiments.config.identity import config_hash
from experiments.config.schema import Config, Sweep
from experiments.errors import BadInput
from experiments.jobs.dataset import open_source, with_test_fraction
from experiments.jobs.folds import thinned
from experiments.jobs.job import reseeded
from experiments.jobs.plan import Plan, prepare
from experiments.jobs.predictions import PROBABILITIES, epoch_column
from experiments.runs.cells import Cell
from experiments.search.candidates import refit_config
from experiments.search.folds import search_folds
from experiments.search.space import candidate
from experiments.tracking.journal import Journal, of_sweep
from tuning.trial import Trial


@dataclass(frozen=True)
class Member:
    """One network: the fit that makes it and the column of its predictions."""

    name: str
    about: dict[str, Any]
    """What tells it from the others: its seed, its epoch, or its trial and hyperparameters."""
    cell: Cell
    column: str = PROBABILITIES


@dataclass(frozen=True)
class Team:
    """An ensemble, planned."""

    settings: dict[str, Any]
    """kind, size, and what else its kind reads of `evaluate.ensemble`."""
    members: list[Member]
    digest: str
    """Of everything but the data that the result depends on."""
    level: str = "run"
    """Of the members' tracked runs: what trains on validation images too is no `run`, whose
    settings it shares."""

    @property
    def cells(self) -> list[Cell]:
        """The fits, each once."""
        return list({member.cell.job.path: member.cell for member in self.members}.values())


def plan_team(config: Config, where: str) -> Team:
    """Plan the ensemble that `evaluate.ensemble` asks for.

    Raises:
        BadInput: no such section, or one that does not suit the run.
    """
    wanted = config.evaluate.ensemble
    if wanted is None:
        raise BadInput(
            f"{where}: no evaluate.ensemble; add for example "
            "evaluate: {ensemble: {kind: seeds, size: 5}}"
        )
    _check(config, where)
    kinds = {"seeds": _seeds, "top": _top, "checkpoints": _checkpoints}
    return kinds[wanted.kind](config, wanted, where)


def _seeds(config: Config, wanted: Ensemble, where: str) -> Team:
    plan = _with_held_out_parts(config, where)
    members = []
    for number in range(wanted.size):
        config = reseeded(plan.config, "ensemble", number) if number else plan.config
        seeded, seed = replace(plan, config=config), config.seed
        about = {"seed": seed}
        cell = Cell(about, seeded, seeded.job(("member", number), about))
        members.append(Member(f"seed {seed}", about, cell))
    settings = {"kind": "seeds", "size": wanted.size}
    return Team(settings, members, _digest(settings, [member.cell.plan for member in members]))


def _checkpoints(config: Config, wanted: Ensemble, where: str) -> Team:
    if config.train.updates is not None:
        raise BadInput(
            f"{where}: evaluate.ensemble.kind checkpoints counts epochs, train.updates does not; "
            "set train.epochs"
        )
    last = config.train.epochs
    epochs = [last - wanted.every * back for back in reversed(range(wanted.size))]
    if epochs[0] < 1:
        raise BadInput(
            f"{where}: evaluate.ensemble: {wanted.size} checkpoints, {wanted.every} epochs apart, "
            f"need {(wanted.size - 1) * wanted.every + 1} epochs. Received: train.epochs={last}"
        )
    if config.train.early_stopping:
        raise BadInput(
            f"{where}: evaluate.ensemble.kind checkpoints needs a last epoch that is known; "
            "leave train.early_stopping out"
        )
    if config.evaluate.dropout_samples > 1:
        raise BadInput(
            f"{where}: evaluate.dropout_samples: checkpoints are asked once each. Received: "
            f"{config.evaluate.dropout_samples}; set it to 1"
        )
    plan = _with_held_out_parts(config, where)
    settings = wanted.model_dump(mode="json")
    digest = _digest(settings, [plan])
    # apart from the plain run of this config, which keeps the last epoch's predictions alone
    directory = of_sweep(plan.config.name, digest).directory / "run"
    job = replace(
        plan.job(("run",)), directory=str(directory), prediction_epochs=tuple(epochs[:-1])
    )
    cell = Cell({}, plan, job)
    members = [
        Member(f"epoch {e}", {"epoch": e}, cell, epoch_column(e) if e < last else PROBABILITIES)
        for e in epochs
    ]
    return Team(settings, members, digest)


def _top(config: Config, wanted: Ensemble, where: str) -> Team:
    """The best candidates, best first by their search score, which is what chooses the best member.

    Each is trained anew on the whole learning set (all but the test images) with a seed of its own,
    and tested once. There are no validation images left then: one with early stopping trains as
    the refit of a search's winner does.
    """
    from experiments.search.results.report import top
    from experiments.search.sharing import settled
    from experiments.tracking.search_journal import find, matters_of

    if config.search is None:
        raise BadInput(
            f"{where}: evaluate.ensemble.kind top averages the best candidates of a search; add "
            "the search section, or set kind seeds"
        )
    source = open_source(config.data)
    config = settled("search", with_test_fraction(config, source), source)
    directory = find(config.name, "search", matters_of(config, "search", source), fresh=False)
    if not (directory / "result.json").exists():
        raise BadInput(
            f"{where}: evaluate.ensemble.kind top needs the search of this config to have ended "
            f"here; run: ilsvrc search {where}"
        )
    result = json.loads((directory / "result.json").read_text())
    trials = top(result, wanted.size)
    if len(trials) < wanted.size:
        raise BadInput(
            f"{where}: evaluate.ensemble.size: {wanted.size} candidates, and the search finished "
            f"{len(trials)}; set evaluate.ensemble.size={max(len(trials), 2)} or search further"
        )
    folds = search_folds(config, source)
    if folds.test is None:
        raise _no_part(where, "test")
    split = pipelines.splits.Split(thinned(config, source, folds.learning), None, folds.test)
    given = _epochs_given(directory)
    plans = [_refit(config, row, given.get(row["number"]), source, split) for row in trials]
    settings = {"kind": "top", "size": wanted.size}
    digest = _digest({**settings, "trials": [trial["number"] for trial in trials]}, plans)
    # apart from ordinary runs of these settings, which train on less
    state = of_sweep(config.name, digest).directory
    members = []
    for trial, plan in zip(trials, plans, strict=True):
        number = trial["number"]
        job = plan.job(("trial", number), trial["hyperparameters"])
        job = replace(job, directory=str(state / f"trial-{number:04d}"))
        about = {
            "trial": number,
            "hyperparameters": trial["hyperparameters"],
            "search_score": trial["score"],
            "fold_val_top1": trial["val_top1"],
        }
        cell = Cell(trial["hyperparameters"], plan, job)
        members.append(Member(f"trial {number}", about, cell))
    return Team(settings, members, digest, "refit")


def _epochs_given(directory: Path) -> dict[int, int | None]:
    """The epochs that the strategy gave each trial of a search; None: as configured."""
    proposed = (e for e in Journal(directory).events() if e["event"] == "proposed")
    return {trial["trial"]: trial["epochs"] for event in proposed for trial in event["trials"]}


def _refit(
    config: Config, row: dict[str, Any], epochs: int | None, source: Any, split: Any
) -> Plan:
    lengths = dict(enumerate(row["epochs"]))
    trial = Trial(
        row["number"], row["hyperparameters"], None, len(lengths), "finished", lengths=lengths
    )
    refit = candidate(config, trial.settings, epochs, where="search")
    refit = reseeded(refit, "ensemble", "trial", trial.number)
    return prepare(_alone(refit_config(refit, trial)), source, split)


def _alone(config: Config) -> Config:
    """A member's own config: an ordinary run's, which names no ensemble."""
    evaluate = config.evaluate.model_copy(update={"ensemble": None})
    return config.model_copy(update={"evaluate": evaluate, "sweep": Sweep()})


def _with_held_out_parts(config: Config, where: str) -> Plan:
    plan = prepare(_alone(config))
    if plan.split.validation is None:
        raise _no_part(where, "validation")
    if plan.split.test is None and plan.source.headline != "validation":
        raise _no_part(where, "test")
    return plan


def _no_part(where: str, part: str) -> BadInput:
    return BadInput(
        f"{where}: evaluate.ensemble chooses its best member on validation images and compares it "
        f"on test images; set validation.{part}_fraction=0.2"
    )


def _check(config: Config, where: str) -> None:
    try:
        card = models.card(config.model.name)
    except ValueError as error:
        raise BadInput(f"model.name: {error}") from None
    if card.task == "reconstruction":
        raise BadInput(
            f"{where}: evaluate.ensemble averages class probabilities, and {card.name} is a "
            "reconstruction; choose a classifier"
        )


def _digest(settings: dict[str, Any], plans: Sequence[Plan]) -> str:
    parts = [json.dumps(settings, sort_keys=True), *(config_hash(plan.config) for plan in plans)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:12]
