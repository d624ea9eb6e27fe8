"""What a candidate costs, counted before it is built: the profile of its network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.runtime.startup import load_tensorflow

if TYPE_CHECKING:
    from models.cost import Profile


def profile_of(config: Config, input_shape: tuple[int, int, int], classes: int) -> Profile:
    """Parameters, multiply-accumulates and activations of a config's network as it is deployed.

    Takes milliseconds and no memory: no weights are drawn.

    Raises:
        BadInput: the options do not suit the network.
    """
    load_tensorflow()
    import models
    from models.registry import deployable

    model = config.model
    try:
        network = models.outline(
            model.name, input_shape=input_shape, classes=classes, **model.options
        )
    except ValueError as error:
        raise BadInput(f"model: {error}") from None
    return models.profile(deployable(network))
