"""From proposed settings to Jobs: a candidate's config, its seed, its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import pipelines
from experiments.config.identity import graph_key
from experiments.config.objectives import LATENCIES, PLANNED
from experiments.config.schedule import OVER_ITS_LENGTH
from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.jobs.dataset import open_source, source_key
from experiments.jobs.folds import thinned
from experiments.jobs.job import FitPath, Job, reseeded
from experiments.jobs.plan import Plan, prepare
from experiments.jobs.profile import profile_of
from experiments.search.space import candidate
from experiments.search.study import Study
from tuning.nested import Task, median_epochs
from tuning.space import identity
from tuning.trial import Trial

if TYPE_CHECKING:
    from models.cost import Profile


@dataclass(frozen=True)
class Prepared:
    """A candidate's resolved config, the digest of its traced program, and that of its images."""

    config: Config
    graph_key: str
    fingerprint: str
    plan: Plan


class Candidates:
    """Makes the jobs of one search.

    Args:
        study: what is searched.
        root: folder below which each fit has its own.
    """

    def __init__(self, study: Study, root: Path) -> None:
        self.study, self.root = study, root
        config, source = study.config, study.source
        self._sources = {source_key(config.data): source}
        self._prepared: dict[str, Prepared | BadInput] = {}
        self._pairs = [
            [(thinned(config, source, train), held) for train, held in fold.pairs]
            for fold in study.all_folds
        ]

    def prepared(self, settings: Mapping[str, Any], epochs: int | None = None) -> Prepared:
        """A candidate's config, checked against data and network.

        Raises:
            BadInput: they do not go together.
        """
        key = identity([dict(settings), epochs])
        if key not in self._prepared:
            try:
                self._prepared[key] = self._prepare(settings, epochs)
            except BadInput as error:
                self._prepared[key] = error
        prepared = self._prepared[key]
        if isinstance(prepared, BadInput):
            raise prepared
        return prepared

    def profile(self, settings: Mapping[str, Any], epochs: int | None = None) -> Profile:
        """What a candidate's network costs, counted once for all that differ in how they
        are trained.

        Raises:
            BadInput: as `prepared`, or of `profile_of`.
        """
        return profile_of(self.prepared(settings, epochs).plan)

    def priced(self, settings: Mapping[str, Any], epochs: int | None = None) -> dict[str, float]:
        """The costs of a candidate's network that are known before it is trained; raises as
        `profile`."""
        profile = self.profile(settings, epochs)
        return {name: getattr(profile, name) for name in PLANNED}

    def known(self, trial: Trial) -> dict[str, float]:
        """`priced` of a trial."""
        return self.priced(trial.settings, trial.epochs)

    def cost(self, trial: Trial) -> tuple[float, float]:
        """MACs and parameters of a trial's network."""
        known = self.known(trial)
        return known["macs"], known["params"]

    def path(self, task: Task) -> FitPath:
        """Of a task: ("trial", 7, "fold", 1), below ("outer", 2) if nested, where there is
        ("refit",), and of the front's trial 7 ("refit", 7); of a shared fit
        ("trial", 7, "pair", "0-2"), and ("repeat", 1) behind it of another one of the pair."""
        below, part = self._part(task)
        return (*below, *(("trial", task.fit.trial) if task.fit else ()), *part)

    def _part(self, task: Task) -> tuple[FitPath, FitPath]:
        """What a path has before its trial and behind it."""
        if task.fit is None and self.study.is_final(task.outer):
            return (), ("final",)
        if task.fit is None:
            member = () if task.member is None else (task.member,)
            return self.study.below(task.outer), ("refit", *member)
        if task.other is None:
            return self.study.below(task.outer), ("fold", task.fit.fold)
        again = ("repeat", task.repeat) if task.repeat else ()
        return (), ("pair", f"{task.outer}-{task.other}", *again)

    def draws(self, task: Task) -> FitPath:
        """The words that a fit's seed is drawn by: its fold or pair, and its repeat; of a refit,
        and where candidates are not paired, its path. Members of a front are refitted under the
        same draws."""
        if task.member is not None and self.study.section.paired:
            return self.path(replace(task, member=None))
        if task.fit is None or not self.study.section.paired:
            return self.path(task)
        below, part = self._part(task)
        return (*below, *part)

    def job(self, task: Task, winner: Trial | None = None) -> Job:
        """The fit of a task; of a refit, `winner` is the trial that it repeats.

        A refit trains on the whole learning set and has no validation images: see `refit_config`.
        The final fit is a refit on all images, whose network is kept.
        """
        validation: np.ndarray | None = None
        pair = None
        if task.fit is not None:
            settings = task.fit.settings
            prepared = self.prepared(settings, task.fit.epochs)
            config, test = prepared.config, None
            train, validation = self._pairs[task.outer][task.fit.fold]
            if task.other is not None:
                parts = ((outer, self.study.folds[outer].test) for outer in task.outers)
                pair = {outer: part for outer, part in parts if part is not None}
                validation = None
        else:
            assert winner is not None
            settings, folds = winner.settings, self.study.all_folds[task.outer]
            prepared = self.prepared(settings, winner.epochs)
            config, test = refit_config(prepared.config, winner), folds.test
            train = thinned(self.study.config, self.study.source, folds.learning)
            if self.study.is_final(task.outer):
                config = kept(config)
        path, first = self.path(task), self.path(first_of_its_row(task))
        row = task.fit is not None and (path != first or task.fit.goes_on)
        return Job(
            path=path,
            config=reseeded(config, *self.draws(first_of_its_row(task))),
            train=train,
            validation=validation,
            test=test,
            graph_key=prepared.graph_key,
            fingerprint=prepared.fingerprint,
            directory=str(self.folder(path)),
            axes=dict(settings),
            measured=task.fit is None,
            timed=any(one.name in LATENCIES for one in self.study.section.objectives or ()),
            pair=pair,
            row=str(self.folder(first)) if row and not starts_anew(config) else "",
            row_goes_on=task.fit is not None and task.fit.goes_on,
        )

    def folder(self, path: FitPath) -> Path:
        """Of a fit."""
        words = [str(part) for part in path]
        return self.root.joinpath(*("-".join(words[at : at + 2]) for at in range(0, len(words), 2)))

    def _prepare(self, settings: Mapping[str, Any], epochs: int | None) -> Prepared:
        config = candidate(self.study.config, settings, epochs, where="search")
        key = source_key(config.data)
        if key not in self._sources:
            self._sources[key] = open_source(config.data)
        source = self._sources[key]
        fold = self.study.folds[0]
        split = pipelines.splits.Split(*fold.pairs[0], fold.test)
        plan = prepare(config, source, split)
        graph = graph_key(plan.config, plan.input_shape, plan.classes)
        return Prepared(plan.config, graph, source.fingerprint, plan)


def kept(config: Config) -> Config:
    """The same, its network saved whatever becomes of others: a final fit is made for it."""
    if config.tracking.save_model != "none":
        return config
    tracking = config.tracking.model_copy(update={"save_model": "last"})
    return config.model_copy(update={"tracking": tracking})


def starts_anew(config: Config) -> str | None:
    """Why a candidate that is promoted to more epochs starts anew; None if it goes on.

    It goes on from its snapshot where that gives the bits of a fit that was as long from its
    beginning: nothing in its first epochs may depend on how many there are.
    """
    train = config.train
    if train.early_stopping is not None:
        return "train.early_stopping chooses among all epochs of a fit"
    if train.schedule.name in OVER_ITS_LENGTH and train.schedule.epochs is None:
        return (
            f"train.schedule.name: {train.schedule.name} is drawn over the epochs of each fit "
            "(train.schedule.epochs fixes it)"
        )
    if not train.checkpoint.every_seconds:
        return "train.checkpoint.every_seconds is 0, which takes no snapshots"
    return None


def first_of_its_row(task: Task) -> Task:
    """The fit that this is a longer one of, which it shares its draws with; or itself."""
    if task.fit is None or task.fit.first is None:
        return task
    return replace(task, fit=replace(task.fit, trial=task.fit.first))


def refit_config(config: Config, winner: Trial) -> Config:
    """A winner's config for training without validation images.

    With early stopping it trains for the median of the best epochs of the winner's folds, which is
    all that stopping can teach it, at the learning rates that these epochs had in the folds: its
    schedule is as long as theirs, and is left where they were best.

    Raises:
        BadInput: its schedule needs them.
    """
    if config.train.schedule.name == "plateau":
        raise BadInput(
            "train.schedule.name: plateau waits for val_loss, and the refit of a winner has no "
            "validation images; set constant, step or cosine"
        )
    if config.train.early_stopping is None:
        return config
    train, schedule = config.train, config.train.schedule
    if schedule.name != "constant":
        schedule = schedule.model_copy(update={"epochs": schedule.epochs or train.epochs})
    changes = {
        "early_stopping": None,
        "epochs": median_epochs(winner),
        "updates": None,
        "schedule": schedule,
    }
    return config.model_copy(update={"train": train.model_copy(update=changes)})
