"""Update rules. Weight decay is L2 in the gradient, as in the papers; decoupled for AdamW only.

Weight decay and the momentum of SGD are variables: a traced network takes others as they come, and
trains bit for bit as with a constant. That there is any is traced (`jobs.graph_key`), for without
it the program is another, shorter one. Keras's Adam computes 1 - beta in Python, in double
precision; of a variable it would be another number, so betas stay constants.
"""

from __future__ import annotations

from typing import Any

import keras

from experiments import hot
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
        optimizer.weight_decay = _variable(settings.weight_decay, "weight_decay")
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


def assign(optimizer: Any, settings: Settings) -> None:
    """Give a built optimizer the values that vary without a new trace.

    Raises:
        FailedWork: a value that the traced program holds as a constant.
    """
    if settings.weight_decay or hasattr(optimizer, "weight_decay_rate"):
        at = "weight_decay" if settings.name == "adamw" else "weight_decay_rate"
        hot.assign(optimizer, at, settings.weight_decay)
    if settings.name == "sgd" and (settings.momentum or optimizer.momentum):
        hot.assign(optimizer, "momentum_rate", settings.momentum)


def _variable(value: float, name: str) -> keras.Variable:
    return keras.Variable(value, dtype="float32", trainable=False, name=name)


class SGD(keras.optimizers.SGD):
    """Keras's, with its momentum, where there is any, in a variable."""

    def __init__(self, learning_rate: float, *, momentum: float, nesterov: bool):
        super().__init__(learning_rate, momentum=momentum, nesterov=nesterov)
        if momentum:
            self.momentum_rate = _variable(momentum, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if not self.momentum:
            super().update_step(gradient, variable, learning_rate)
            return
        cast = keras.ops.cast
        velocity = self.momentums[self._get_variable_index(variable)]
        momentum = cast(self.momentum_rate, variable.dtype)
        step = cast(gradient, variable.dtype) * cast(learning_rate, variable.dtype)
        self.assign(velocity, velocity * momentum - step)
        self.assign_add(variable, velocity * momentum - step if self.nesterov else velocity)


RULES: dict[str, type] = {
    "sgd": SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "adam": keras.optimizers.Adam,
}


def with_l2(rule: type) -> type:
    """The rule, with weight_decay * w added to the gradient of the penalised variables."""

    class WithL2(rule):
        def penalise(self, variables: list[Any], weight_decay: float) -> None:
            self._penalised = {id(v) for v in variables} if weight_decay else set()
            if weight_decay:
                self.weight_decay_rate = _variable(weight_decay, "weight_decay")

        def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
            variables = self._trainable_variables
            if trainable_variables is not None:
                variables = list(trainable_variables)
            grads = [
                g + keras.ops.cast(self.weight_decay_rate * v, g.dtype)
                if g is not None and id(v) in self._penalised
                else g
                for g, v in zip(grads, variables, strict=True)
            ]
            return super().apply(grads, trainable_variables)

    WithL2.__name__ = rule.__name__
    return WithL2


SETTINGS = ("weight_decay", "weight_decay_rate", "momentum_rate")


class InitialState:
    """The optimizer's variables as built, to go back to: slots, iterations, loss scale.

    Slots are constant when built (zero, or 0.1 in AdaGrad), so a number is kept, not an array.
    Values that `assign` sets are no state and stay.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer):
        self.values: list[tuple[Any, Any]] = []
        rule = getattr(optimizer, "inner_optimizer", optimizer)
        settings = [getattr(rule, name, None) for name in SETTINGS]
        for variable in optimizer.variables:
            if any(variable is setting for setting in settings):
                continue
            value = keras.ops.convert_to_numpy(variable.value)
            first = value.flat[0] if value.size else value
            constant = value.size and (value == first).all()
            self.values.append((variable, first if constant else value))

    def restore(self) -> None:
        for variable, value in self.values:
            full = keras.ops.broadcast_to(keras.ops.cast(value, variable.dtype), variable.shape)
            variable.assign(full)
