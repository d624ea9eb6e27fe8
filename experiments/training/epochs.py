"""The three ways through the epochs of a fit: batch by batch, several updates a call, and whole
epochs as one call. All give the same bits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from experiments.errors import FailedWork
from experiments.training.batches import TrainingRows
from experiments.training.prefetch import prefetched

if TYPE_CHECKING:
    from experiments.training.loop import Loop
    from experiments.training.trainer import Trainer


def by_batch(trainer: Trainer, dataset: Callable[[int], Any], loop: Loop) -> None:
    """By Keras's `fit`: first what is left of an epoch, if it was stopped in one."""

    def train(data: Any, epochs: int, steps: int) -> None:
        if trainer.devices.distribution is not None:
            from experiments.training import spread_jax

            data = spread_jax.sharded(data, trainer.devices)
        else:
            data = prefetched(data)
        trainer.model.fit(
            data,
            initial_epoch=loop.epoch,
            epochs=epochs,
            steps_per_epoch=steps,
            callbacks=[loop],
            verbose=0,
            shuffle=False,
        )

    if made := loop.made:
        left = loop.updates_in(loop.epoch) - made
        train(dataset(loop.epoch).skip(made).take(left), loop.epoch + 1, left)
    if not loop.ended and loop.epoch < loop.whole_epochs:
        train(dataset(loop.epoch), loop.whole_epochs, loop.steps_per_epoch)
    if not loop.ended:  # a last epoch that is a part of one
        last = loop.updates_in(loop.epoch)
        train(dataset(loop.epoch).take(last), loop.epoch + 1, last)


def by_executions(trainer: Trainer, dataset: Callable[[int], Any], loop: Loop) -> None:
    """With several updates a call, whose learning rates go with it; on all devices of a
    TensorFlow strategy, where there is one.

    Compiled by XLA also where it is one: Keras's `fit` leaves XLA out, with a warning, where
    operations must be deterministic, though TensorFlow compiles deterministic ones then.
    """
    from experiments.training.updates import executions

    data = dataset(loop.epoch).skip(loop.made)
    batches: Any
    several: Callable[[Any, Any], Any]
    if trainer.devices.strategy is not None:
        batches, several = trainer.replicated.batches(data), trainer.replicated
    else:
        batches = iter(prefetched(data))
        several = trainer.programs.get(
            "executions",
            data.element_spec,
            lambda: executions(
                trainer.model, lambda batches: trainer.step(*batches.get_next()), batches
            ),
        )
    updates_a_call = loop.config.train.steps_per_execution

    def updates(epoch: int) -> float:
        rates, loss = loop.rates(), float("nan")
        while (made := loop.made) < len(rates):
            of_call = rates[made : made + updates_a_call]
            trainer.clock.start()
            loss = float(several(batches, of_call))
            trainer.clock.stop()
            loop.advanced(len(of_call), loss)
        return loss

    _run(loop, updates)


def by_whole_epochs(trainer: Trainer, rows: TrainingRows, loop: Loop) -> None:
    """On images that are held in memory, of which the program makes its batches itself.

    Raises:
        FailedWork: `rows` are not of the config that the network was compiled for.
    """
    from experiments.training.updates import EpochUpdates

    compiled_for = trainer.config
    weighs = compiled_for.train.class_weights is not None
    if (rows.class_weights is not None) != weighs or rows.transfer != compiled_for.data.transfer:
        raise FailedWork("rows: not of the config that this network was compiled for")
    recipe = json.dumps([rows.steps, rows.transfer, rows.antialias], sort_keys=True)
    epoch_updates, _ = trainer.programs.get(
        "updates",
        (id(rows.held), recipe),
        # the source is kept beside it, or its id could become another's
        lambda: (EpochUpdates(trainer.model, trainer.step, rows, weighs=weighs), rows.held),
    )

    def updates(epoch: int) -> float:
        loss = float("nan")
        trainer.clock.start()
        for count, loss in epoch_updates(rows, epoch, loop.rates(), loop.made):
            trainer.clock.stop()
            loop.advanced(count, loss)
            trainer.clock.start()
        return loss

    _run(loop, updates)


def _run(loop: Loop, updates: Callable[[int], float]) -> None:
    """What Keras's `fit` does around the updates; `updates` makes those of an epoch that are left,
    and gives its mean loss."""
    loop.network.stop_training = False
    for epoch in range(loop.epoch, loop.config.train.epochs):
        loop.network.reset_metrics()
        loop.on_epoch_begin(epoch)
        loop.on_epoch_end(epoch, {"loss": updates(epoch)})
        if loop.network.stop_training:
            break
