"""Update rules. Weight decay is L2 in the gradient, as in the papers; decoupled for AdamW only."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from experiments.config import Optimizer as Settings


def build(settings: Settings, model: keras.Model) -> keras.optimizers.Optimizer:
    """An optimizer with its slots for `model`, decaying what `settings.decay` names.

    Keras's own `weight_decay` is decoupled for every rule (Loshchilov and Hutter 2019), which is
    not what the papers of 1998 to 2016 trained with; here g <- g + weight_decay * w enters the
    gradient before momentum or scaling (Krizhevsky et al. 2012, section 5).
    """
    rate, epsilon = settings.learning_rate, settings.epsilon
    betas = {"beta_1": settings.beta_1, "beta_2": settings.beta_2}
    decayed = [v for v in model.trainable_variables if settings.decay == "all" or len(v.shape) > 1]
    optimizer: Any
    if settings.name == "adamw":
        optimizer = keras.optimizers.AdamW(
            rate, weight_decay=settings.weight_decay, epsilon=epsilon, **betas
        )
        kept = {id(v) for v in decayed}
        optimizer.exclude_from_weight_decay(
            var_list=[v for v in model.trainable_variables if id(v) not in kept]
        )
    else:
        arguments: dict[str, dict[str, Any]] = {
            "sgd": {"momentum": settings.momentum, "nesterov": settings.nesterov},
            "rmsprop": {"momentum": settings.momentum, "rho": settings.rho, "epsilon": epsilon},
            "adagrad": {"epsilon": epsilon},
            "adam": {"epsilon": epsilon, **betas},
        }
        rule = with_l2(RULES[settings.name])
        optimizer = rule(rate, **arguments[settings.name])
        optimizer.penalise(decayed, settings.weight_decay)
    optimizer.build(model.trainable_variables)
    return optimizer


RULES = {
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "adam": keras.optimizers.Adam,
}


def with_l2(rule: type) -> type:
    """The rule, with weight_decay * w added to the gradient of the penalised variables."""

    class WithL2(rule):
        def penalise(self, variables: list[Any], weight_decay: float) -> None:
            self._penalised = {id(v) for v in variables} if weight_decay else set()
            self._l2 = weight_decay

        def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
            variables = self._trainable_variables
            if trainable_variables is not None:
                variables = list(trainable_variables)
            grads = [
                g + keras.ops.cast(self._l2 * v, g.dtype)
                if g is not None and id(v) in self._penalised
                else g
                for g, v in zip(grads, variables, strict=True)
            ]
            return super().apply(grads, trainable_variables)

    WithL2.__name__ = rule.__name__
    return WithL2


class InitialState:
    """The optimizer's variables as built, to go back to: slots, iterations, loss scale.

    Slots are constant when built (zero, or 0.1 in AdaGrad), so a number is kept, not an array.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer):
        self.values = []
        for variable in optimizer.variables:
            value = keras.ops.convert_to_numpy(variable.value)
            first = value.flat[0] if value.size else value
            constant = value.size and (value == first).all()
            self.values.append((variable, first if constant else value))

    def restore(self) -> None:
        for variable, value in self.values:
            variable.assign(np.broadcast_to(value, variable.shape).astype(variable.dtype))
