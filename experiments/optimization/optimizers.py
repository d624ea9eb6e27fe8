"""Update rules, what of them may change after the trace, and the moving averages of weights.

Weight decay is L2 in the gradient, as in the papers; decoupled for AdamW only. Weight decay, the
momentum of SGD, the bound on the gradient and the momentum of the weights' moving average are
variables: a traced network takes others as they come, and trains bit for bit as with a constant.
That there is any is traced (`config.identity.graph_key`), for without it the program is another,
shorter one. Keras's Adam computes 1 - beta in Python, in double precision; of a variable it would
be another number, so betas stay constants.

Weights and their averages change places, so that nothing is lost or rounded: what is measured
between two exchanges is the averaged network, and training goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Literal

import keras

from experiments.config.train import Optimizer as Settings
from experiments.errors import FailedWork
from experiments.optimization.factors import factors_of
from models.cost import is_kernel


def build(settings: Settings, model: keras.Model) -> keras.optimizers.Optimizer:
    """An optimizer with its slots for `model`, decaying what `settings.decay` names.

    Keras's own `weight_decay` is decoupled for every rule (Loshchilov and Hutter 2019), which is
    not what the papers of 1998 to 2016 trained with; here g <- g + weight_decay * w enters the
    gradient before momentum or scaling (Krizhevsky et al. 2012, section 5). Gradients are bounded
    before it enters them, as in Caffe and PyTorch (Keras's own bound, in `apply`, comes after).
    """
    rate, epsilon = settings.learning_rate, settings.epsilon
    betas = {"beta_1": settings.beta_1, "beta_2": settings.beta_2}
    factors = factors_of(settings.factors, model)
    spared = {
        id(v) for v, (_, decay) in zip(model.trainable_variables, factors, strict=True) if not decay
    }
    decayed = [v for v in decaying(model, settings.decay) if id(v) not in spared]
    optimizer: Any
    if settings.name == "adamw":
        optimizer = extended(keras.optimizers.AdamW)(
            rate, weight_decay=settings.weight_decay, epsilon=epsilon, **betas
        )
        kept = {id(v) for v in decayed}
        optimizer.exclude_from_weight_decay(
            var_list=[v for v in model.trainable_variables if id(v) not in kept]
        )
        optimizer.weight_decay = _variable(settings.weight_decay, "weight_decay")
        decayed = []  # not in the gradient
    else:
        arguments: dict[str, dict[str, Any]] = {
            "sgd": {"momentum": settings.momentum, "nesterov": settings.nesterov},
            "rmsprop": {
                "momentum": settings.momentum,
                "rho": settings.rho,
                "epsilon": epsilon,
                "initial_square": settings.initial_square,
            },
            "adagrad": {"epsilon": epsilon},
            "adam": {"epsilon": epsilon, **betas},
        }
        optimizer = extended(RULES[settings.name])(rate, **arguments[settings.name])
    optimizer.build(model.trainable_variables)
    optimizer.extend(settings, decayed, factors)
    return optimizer


def decaying(model: keras.Model, decay: Literal["kernels", "all"]) -> list[Any]:
    """The trainable weights that decay: all, or the kernels of convolutions and dense layers.

    Slopes of a PReLU are no kernels: decay would push them to 0, a ReLU (He et al. 2015, Delving
    Deep into Rectifiers, arXiv:1502.01852, section 2.1).
    """
    return [v for v in model.trainable_variables if decay == "all" or is_kernel(v)]


def assign(optimizer: Any, settings: Settings) -> None:
    """Give a built optimizer the values that vary without a new trace.

    Raises:
        FailedWork: a value that the traced program holds as a constant.
    """
    if settings.weight_decay or hasattr(optimizer, "weight_decay_rate"):
        at = "weight_decay" if settings.name == "adamw" else "weight_decay_rate"
        assign_rate(optimizer, at, settings.weight_decay)
    if settings.name == "sgd" and (settings.momentum or optimizer.momentum):
        assign_rate(optimizer, "momentum_rate", settings.momentum)
    if settings.clip:
        assign_rate(optimizer, "clip_bound", settings.clip.bound[1])
    if settings.ema:
        assign_rate(optimizer, "average_momentum", settings.ema.momentum)


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


class RMSprop(keras.optimizers.RMSprop):
    """Keras's, v <- rho * v + (1 - rho) * g^2, m <- momentum * m + rate * g / sqrt(v + epsilon),
    w <- w - m, with v of any beginning: 0, or 1 as in TensorFlow 1's RMSPropOptimizer."""

    def __init__(self, learning_rate: float, *, initial_square: float, **settings: Any):
        super().__init__(learning_rate, **settings)
        self.initial_square = initial_square

    def build(self, variables: Any) -> None:
        begins = not self.built
        super().build(variables)
        if begins and self.initial_square:
            for square in self._velocities:
                square.assign(keras.ops.full(square.shape, self.initial_square, square.dtype))


RULES: dict[str, type] = {
    "sgd": SGD,
    "rmsprop": RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "adam": keras.optimizers.Adam,
}


def extended(rule: type) -> type:
    """The rule, with what `Settings` has beyond Keras's: see `extend`."""

    class Extended(rule):
        def extend(
            self, settings: Settings, penalised: list[Any], factors: list[tuple[float, float]]
        ) -> None:
            """Bounds the gradients, then adds weight_decay * w to those of the penalised variables,
            and after the update averages the weights. With `factors_of` the weights."""
            self._rate_factors = [rate for rate, _ in factors]
            decays = dict(zip(map(id, self._trainable_variables), factors, strict=True))
            self._penalised = {id(v): decays[id(v)][1] for v in penalised}
            if not settings.weight_decay:
                self._penalised = {}
            if settings.weight_decay and settings.name != "adamw":
                self.weight_decay_rate = _variable(settings.weight_decay, "weight_decay")
            self._clip_kind = None
            if settings.clip:
                self._clip_kind, bound = settings.clip.bound
                self.clip_bound = _variable(bound, "clip_bound")
            self.averages: list[Any] = []
            if settings.ema:
                self._ema = settings.ema
                self.average_momentum = _variable(settings.ema.momentum, "average_momentum")
                self.averages = self.add_optimizer_variables(self._trainable_variables, "average")

        def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
            variables = self._trainable_variables
            if trainable_variables is not None:
                variables = list(trainable_variables)
            if self._clip_kind:
                grads = bounded(list(grads), self._clip_kind, self.clip_bound)
            grads = [
                g + keras.ops.cast(self._decay_of(v) * v, g.dtype)
                if g is not None and id(v) in self._penalised
                else g
                for g, v in zip(grads, variables, strict=True)
            ]
            super().apply(grads, trainable_variables)
            if self.averages:
                self._average()

        def _decay_of(self, variable: Any) -> Any:
            factor = self._penalised[id(variable)]
            return self.weight_decay_rate if factor == 1 else self.weight_decay_rate * factor

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            factor = self._rate_factors[self._get_variable_index(variable)]
            if factor != 1:
                learning_rate = keras.ops.cast(learning_rate, variable.dtype) * factor
            super().update_step(gradient, variable, learning_rate)

        def _average(self) -> None:
            made = keras.ops.cast(self.iterations, "float32")
            momentum = keras.ops.convert_to_tensor(self.average_momentum)
            if self._ema.kind == "mean":
                count = keras.ops.maximum(made - float(self._ema.start), 1.0)
                momentum = (count - 1.0) / count
            elif self._ema.warmup:
                momentum = keras.ops.minimum(momentum, made / (made + 9.0))
            momentum = keras.ops.where(made > 1, momentum, 0.0)
            for average, variable in zip(self.averages, self._trainable_variables, strict=True):
                kept = keras.ops.cast(momentum, variable.dtype)
                self.assign(average, average * kept + variable * (1 - kept))

    Extended.__name__ = rule.__name__
    return Extended


def bounded(gradients: list[Any], kind: str, bound: Any) -> list[Any]:
    """Gradients no longer (norm, global_norm) or larger in any element (value) than `bound`.

    Those that are too long are scaled down to it (Pascanu et al. 2013, algorithm 1).
    """
    ops = keras.ops
    bound = ops.convert_to_tensor(bound)
    if kind == "value":
        return [None if g is None else ops.clip(g, -bound, bound) for g in gradients]

    def squares(gradient: Any) -> Any:
        return ops.sum(ops.square(ops.cast(gradient, "float32")))

    def scaled(gradient: Any, length: Any) -> Any:
        return gradient * ops.cast(bound / ops.maximum(length, bound), gradient.dtype)

    if kind == "norm":
        return [None if g is None else scaled(g, ops.sqrt(squares(g))) for g in gradients]
    length = ops.sqrt(sum(squares(g) for g in gradients if g is not None))
    return [None if g is None else scaled(g, length) for g in gradients]


SETTINGS = (
    "weight_decay", "weight_decay_rate", "momentum_rate", "clip_bound", "average_momentum"
)  # fmt: skip


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


def assign_rate(owner: Any, name: str, value: Any) -> None:
    """Give the attribute `name` of a traced object another value.

    A Python number read by a traced program is a constant of it: to set that has no effect and
    says nothing. So only what is a variable can be set here.

    Raises:
        FailedWork: the attribute is no variable.
    """
    variable = getattr(owner, name, None)
    if not isinstance(variable, keras.Variable):
        raise FailedWork(
            f"{name} of {type(owner).__name__} is fixed in the traced program: expected a "
            f"variable, received {variable!r}; build another network for another value"
        )
    variable.assign(value)


class Averages:
    """Those that an optimizer of `optimizers.build` keeps, if it keeps any.

    Args:
        rule: the optimizer, without the one that scales its loss.
        weights: what it was built for.
    """

    def __init__(self, rule: Any, weights: Sequence[Any]):
        self._rule, self._weights, self._averages = rule, weights, rule.averages

    def exchange(self) -> None:
        """Let weights and averages change places; before the first update there are none."""
        if self._averages and int(keras.ops.convert_to_numpy(self._rule.iterations)):
            self._exchange()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The network with its averages for weights."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    @cached_property
    def _exchange(self) -> Callable[[], None]:
        pairs = list(zip(self._weights, self._averages, strict=True))

        def exchange() -> None:
            for weight, average in pairs:
                held = keras.ops.copy(weight.value)
                weight.assign(keras.ops.copy(average.value))
                average.assign(held)

        if keras.backend.backend() != "tensorflow":
            return exchange
        import tensorflow as tf

        compiled: Callable[[], None] = tf.function(exchange, input_signature=[], autograph=False)
        return compiled
