"""Factors on the learning rate and weight decay of single weights, by pattern.

Caffe's lr_mult and decay_mult: AlexNet's published training doubles the rate of biases and does not
let them decay.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

from experiments.config.train import Factor
from experiments.errors import BadInput


def name_of(variable: Any) -> str:
    """LAYER/WEIGHT, such as conv1/bias: what patterns are held against."""
    return "/".join(str(variable.path).split("/")[-2:])


def factors_of(patterns: Mapping[str, Factor], model: Any) -> list[tuple[float, float]]:
    """(of the rate, of weight decay) for each trainable weight of a model, in order.

    The factors of all patterns that match a weight are multiplied, whatever their order.

    Raises:
        BadInput: a pattern matches no weight.
    """
    names = [name_of(v) for v in model.weights]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            raise BadInput(
                f"train.optimizer.factors: {pattern!r} matches no weight of {model.name}: "
                + ", ".join(names)
            )
    factors = []
    for name in map(name_of, model.trainable_variables):
        rate = decay = 1.0
        for pattern, factor in patterns.items():
            if fnmatch.fnmatchcase(name, pattern):
                rate, decay = rate * factor.rate, decay * factor.weight_decay
        factors.append((rate, decay))
    return factors
