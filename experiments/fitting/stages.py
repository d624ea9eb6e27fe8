"""Networks trained one after another before a run, each starting from the one before it.

Deeper VGGs started from shallower ones (Simonyan and Zisserman 2015, section 3.1), or an MLP that
grows layer by layer. Layers of equal name and shapes are carried on in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from experiments.config.schema import Config, Model
from experiments.errors import BadInput, FailedWork
from experiments.jobs.job import seed_for
from experiments.training.batches import Batches
from experiments.training.weights import Donors, donors

if TYPE_CHECKING:
    from experiments.jobs.job import Emit
    from experiments.training.resume import Keeper
    from experiments.training.trainer import Trainer


def stage_config(config: Config, position: int) -> Config:
    """The run's config with the network, epochs and frozen layers of one of its stages."""
    stage = config.train.stages[position]
    train = config.train.model_copy(
        update={
            "stages": (),
            "epochs": stage.epochs,
            "freeze": stage.freeze,
            "early_stopping": None,
            "layer_statistics": False,
        }
    )
    model = Model(name=stage.model.name, options=stage.model.options)
    tracking = config.tracking.model_copy(update={"save_model": "last"})
    return config.model_copy(update={"train": train, "model": model, "tracking": tracking})


def train_stages(
    config: Config,
    batches: Batches,
    trainer_of: Callable[[int, Config], Trainer],
    validation: Callable[[Trainer], Callable[[], dict[str, float]] | None],
    emit: Emit,
    keeper: Keeper | None = None,
) -> tuple[Donors, list[dict[str, Any]]]:
    """Train every stage of `config` in order.

    Args:
        config: of the run.
        batches: its data; each stage draws its own order of it.
        trainer_of: position and config of a stage to its Trainer.
        validation: what scores a Trainer on the validation images, if there are any.
        emit: hears of progress, as of one long fit, and of each stage that has ended.
        keeper: takes snapshots; stages that had ended before its own are not trained again.

    Returns:
        The weights to start the run's network from, and a record of each stage with its epochs.

    Raises:
        BadInput, FailedWork: as a run, naming the stage.
    """
    carried: Donors | None = None
    records: list[dict[str, Any]] = list(keeper.place.get("records", ())) if keeper else []
    start = keeper.start if keeper else 0
    for position, stage in enumerate(config.train.stages):
        if position < start:
            continue
        own = stage_config(config, position)
        try:
            trainer = trainer_of(position, own)
            mean, scale = batches.normalisation(own)
            copied = trainer.reset(seed_for(config.seed, "weights"), mean, scale, carried)
            if keeper and keeper.resumes(position):
                copied = keeper.place["copied"]
            seed = seed_for(config.seed, "stage", position, "data")
            history = trainer.fit(
                lambda first=0, own=own, seed=seed: batches.training(own, seed, first),
                own,
                steps_per_epoch=batches.steps(own),
                validate=validation(trainer),
                emit=shifted(emit, config, batches, position),
                rows=batches.training_rows(own, seed),
                keeper=keeper and keeper.enter(position, records=list(records), copied=copied),
            )
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
        emit(
            {
                "kind": "note",
                "text": f"stage {position + 1} of {len(config.train.stages)}, {own.model.name}: "
                f"{copied} layers carried in, {stage.epochs} epochs, {reached}",
            }
        )
    return carried or {}, records


def shifted(emit: Emit, config: Config, batches: Batches, position: int) -> Emit:
    """`emit` for the fit at `position` (behind the stages: the run's own), on one common scale.

    The updates of all fits count as one; epochs of a stage are no epochs of the run.
    """
    stages = config.train.stages
    before = sum(stage.epochs for stage in stages[:position]) * batches.steps(config)
    total = (sum(s.epochs for s in stages) + config.train.epochs) * batches.steps(config)

    def told(event: dict[str, Any]) -> None:
        if event["kind"] == "progress":
            emit({**event, "step": before + event["step"], "steps": total})
        elif event["kind"] != "epoch" or position == len(stages):
            emit(event)

    return told
