"""What a planned network costs an image, known before anything of it is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.errors import BadInput
from experiments.jobs.plan import Plan
from experiments.runtime.machine import check_weights
from experiments.runtime.startup import load_tensorflow

if TYPE_CHECKING:
    from models.cost import Profile


def profile_of(plan: Plan) -> Profile:
    """Parameters and multiply-accumulates of the network, which is not built.

    Raises:
        BadInput: the options do not suit it, or its weights do not fit into memory.
    """
    load_tensorflow()
    import models
    from models.registry import deployable

    model = plan.config.model
    try:
        network = models.outline(
            model.name, input_shape=plan.input_shape, classes=plan.classes, **model.options
        )
    except ValueError as error:
        raise BadInput(f"model: {error}") from None
    profile = models.profile(deployable(network))
    if plan.config.launch.executor != "ray":  # whose nodes may be larger
        check_weights(profile.params)
    return profile
