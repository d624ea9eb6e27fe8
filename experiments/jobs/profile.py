"""What a planned network costs an image, known before anything of it is built."""

from __future__ import annotations

import functools
import json
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
    model = plan.config.model
    options = json.dumps(model.options, sort_keys=True)
    profile = _profile(model.name, options, plan.input_shape, plan.classes)
    if plan.config.launch.executor != "ray":  # whose nodes may be larger
        check_weights(profile.params)
    return profile


@functools.lru_cache(maxsize=1024)  # networks of one sweep, asked for again by each of its fits
def _profile(name: str, options: str, input_shape: tuple[int, int, int], classes: int) -> Profile:
    load_tensorflow()
    import models
    from models.registry import deployable

    try:
        network = models.outline(
            name, input_shape=input_shape, classes=classes, **json.loads(options)
        )
    except ValueError as error:
        raise BadInput(f"model: {error}") from None
    return models.profile(deployable(network))
