"""The fits of a job one after another: networks that start from the one before, then its own.

Deeper VGGs started from shallower ones (Simonyan and Zisserman 2015, section 3.1), or an MLP that
grows layer by layer. Layers of equal name and shapes are carried on in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from experiments.config.schema import Config, Model
from experiments.errors import BadInput, FailedWork
from experiments.fitting.scoring import of_validation, score_part
from experiments.fitting.worker_state import WorkerState
from experiments.jobs.job import Job, draw_seed
from experiments.jobs.length import all_updates
from experiments.training.batches import Batches

if TYPE_CHECKING:
    from experiments.jobs.job import Emit
    from experiments.training.history import History
    from experiments.training.resume import Keeper
    from experiments.training.trainer import Trainer
    from experiments.training.weights import Donors


@dataclass(frozen=True)
class Chain:
    """The fits of a job by position: its stages, and behind them its own, `last`."""

    job: Job
    batches: Batches
    worker: WorkerState
    emit: Emit
    keeper: Keeper | None

    @property
    def last(self) -> int:
        return len(self.job.config.train.stages)

    def trainer(self, position: int, config: Config) -> Trainer:
        return self.worker.trainer(self.job, position, config)

    def resumes(self, position: int) -> bool:
        """Is there a snapshot of this fit to go on from?"""
        return self.keeper is not None and self.keeper.resumes(position)

    def fit(
        self,
        trainer: Trainer,
        position: int,
        batches: Batches,
        after_epoch: Callable[[int], None] | None = None,
    ) -> History:
        """Train one of them; each draws its own order of the data.

        Raises:
            Stopped, BadInput, FailedWork: as `Trainer.fit`.
            SourceError: a file has changed under it.
        """
        from experiments.training.loop import Hooks

        path = () if position == self.last else ("stage", position)
        data = batches.training(draw_seed(self.job.config, *path, "data"))
        emit, validate = self._told(position), self._validation(trainer)
        source = batches.source
        in_memory = source.read_from is not None  # and looked at when the fit has ended
        hooks = Hooks(
            emit,
            validate,
            after_epoch,
            self.keeper,
            self._train_error(trainer),
            None if in_memory else source.check_unchanged,
        )
        return trainer.fit(batches.config, data, hooks)

    def _validation(self, trainer: Trainer) -> Callable[[], dict[str, float]] | None:
        parts = [
            (part, self.batches.held_out(indices))
            for part, indices in self.job.held_out
            if part != "test"
        ]
        if not parts:
            return None

        def validate() -> dict[str, float]:
            return of_validation({part: score_part(trainer, rows, part) for part, rows in parts})

        return validate

    def _train_error(self, trainer: Trainer) -> Callable[[], float]:
        def train_error() -> float:
            rows = self.batches.held_out(self.batches.train)
            return 1 - score_part(trainer, rows, "train").scores["train_top1"]

        return train_error

    def _told(self, position: int) -> Emit:
        """`emit` for the fit at `position`, on one common scale.

        The updates of all fits count as one; epochs of a stage are no epochs of the run.
        """
        train, steps = self.job.config.train, self.batches.steps
        before = sum(stage.epochs for stage in train.stages[:position]) * steps
        total = sum(stage.epochs for stage in train.stages) * steps
        total += all_updates(self.job.config, steps)

        def tell(event: dict[str, Any]) -> None:
            if event["kind"] == "progress":
                self.emit({**event, "step": before + event["step"], "steps": total})
            elif event["kind"] != "epoch" or position == self.last:
                self.emit(event)

        return tell


def stage_config(config: Config, position: int) -> Config:
    """The run's config with the network, epochs and frozen layers of one of its stages."""
    stage = config.train.stages[position]
    train = config.train.model_copy(
        update={
            "stages": (),
            "epochs": stage.epochs,
            "updates": None,
            "schedule": config.train.schedule.model_copy(update={"epochs": None}),
            "freeze": stage.freeze,
            "early_stopping": None,
            "layer_statistics": False,
        }
    )
    model = Model(name=stage.model.name, options=stage.model.options)
    tracking = config.tracking.model_copy(update={"save_model": "last"})
    return config.model_copy(update={"train": train, "model": model, "tracking": tracking})


def train_stages(chain: Chain) -> tuple[Donors, list[dict[str, Any]]]:
    """Train every stage of a job in order, but those that had ended before the keeper's snapshot.

    Returns:
        The weights to start the job's own network from, and a record of each stage with its
        epochs.

    Raises:
        BadInput, FailedWork: as a run, naming the stage.
    """
    from experiments.training.weights import donors

    config, keeper = chain.job.config, chain.keeper
    carried: Donors | None = None
    records: list[dict[str, Any]] = list(keeper.entry.get("records", ())) if keeper else []
    start = keeper.start if keeper else 0
    for position, stage in enumerate(config.train.stages):
        if position < start:
            continue
        batches = replace(chain.batches, config=stage_config(config, position))
        try:
            trainer = chain.trainer(position, batches.config)
            mean, scale = batches.normalisation()
            copied = trainer.reset(
                draw_seed(config, "weights"), mean, scale, carried,
                patterns=config.train.initialize_layers,
            )  # fmt: skip
            if keeper:
                if keeper.resumes(position):
                    copied = keeper.entry["copied"]
                keeper.enter(position, records=list(records), copied=copied)
            history = chain.fit(trainer, position, batches)
        except (BadInput, FailedWork) as error:
            raise type(error)(f"train.stages.{position}: {error}") from None
        carried = donors(trainer.leaves)
        records.append(
            {
                "model": stage.model.model_dump(mode="json"),
                "layers_carried_in": copied,
                "epochs": history.epochs,
            }
        )
        last = history.epochs[-1]
        reached = ", ".join(f"{k} {last[k]:.4g}" for k in ("train_loss", "val_loss") if k in last)
        chain.emit(
            {
                "kind": "note",
                "text": f"stage {position + 1} of {chain.last}, {stage.model.name}: "
                f"{copied} layers carried in, {stage.epochs} epochs, {reached}",
            }
        )
    return carried or {}, records
