"""How long a fit is, in updates and in epochs of its own training images.

`train.updates` takes the place of `train.epochs`: as many updates, whatever the batch and the
number of images. The epochs are then whole ones and a last one that may be a part of one: after it
there is validation as after any other, and it counts as an epoch for patience, journal and names of
checkpoints. So the epochs of a config are known once its images are.
"""

from __future__ import annotations

import math

from experiments.config.schema import Config
from experiments.errors import BadInput


def with_epochs(config: Config, images: int) -> Config:
    """The config with `train.epochs` as `train.updates` says for so many training images.

    Raises:
        BadInput: its schedule is made for fewer.
    """
    train = config.train
    if train.updates is None:
        return config
    epochs = math.ceil(train.updates / updates_an_epoch(config, images))
    if train.schedule.epochs is not None and train.schedule.epochs < epochs:
        length = in_words(train.updates, epochs)
        raise BadInput(
            f"train.schedule.epochs: must last as long as the run, {length}. "
            f"Received: {train.schedule.epochs}; raise it, or leave it out"
        )
    return config.model_copy(update={"train": train.model_copy(update={"epochs": epochs})})


def updates_an_epoch(config: Config, images: int) -> int:
    """The last batch is what is left over (`pipelines.portions.edges`)."""
    return max(1, math.ceil(images / config.data.batch_size))


def all_updates(config: Config, updates_an_epoch: int) -> int:
    """Of the run itself, without its stages."""
    if config.train.updates is not None:
        return config.train.updates
    return config.train.epochs * updates_an_epoch


def in_words(updates: int | None, epochs: int) -> str:
    """10 epochs, or 500 updates (10 epochs)."""
    if updates is None:
        return f"{epochs} epochs"
    return f"{updates:,} update{'s' * (updates != 1)} ({epochs} epoch{'s' * (epochs != 1)})"
