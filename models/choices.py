"""What may be chosen on any network, whatever its paper chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from models import options
from models.errors import InvalidOption

ACTIVATIONS = (
    "relu", "leaky_relu", "elu", "selu", "gelu", "swish", "mish", "prelu", "dice", "tanh",
    "scaled_tanh", "sigmoid",
)  # fmt: skip
NORMALIZATIONS = (
    "none", "batch", "layer", "instance", "group", "decorrelated", "local_response"
)  # fmt: skip
INITIALIZERS = ("glorot", "he", "lecun", "fan_in", "zeros")
POOLINGS = ("max", "average", "l2")
MOST_WIDTH = 100
REGULARIZERS = {
    "l1": {"l1": 1e-5},
    "l2": {"l2": 1e-4},
    "elastic": {"l1": 1e-5, "l2": 1e-4},
}


@dataclass(frozen=True)
class Choices:
    """Options that every network takes; None is the paper's own.

    Attributes:
        activation: of the hidden layers, one of ACTIVATIONS.
        normalization: after every convolution (in a network without convolutions, every hidden
            dense layer) and before its activation; local_response comes after it. Takes the place
            of the paper's own, of whatever kind.
        initializer: of the kernels. glorot: uniform (Glorot and Bengio 2010); he: normal, variance
            2/fan_in (He et al. 2015); lecun: normal, variance 1/fan_in; fan_in: uniform on
            +-1/fan_in; zeros.
        dropout: fraction dropped wherever the paper drops, or before the last layer if nowhere.
        monte_carlo: dropout also acts at inference, so that predictions can be averaged over
            draws (Gal and Ghahramani 2016).
        kernel_regularizer: a key of REGULARIZERS, or strengths {"l1": ..., "l2": ...} of
            l1 * sum |w| + l2 * sum w^2, added to the loss.
        max_norm: largest length of the weights into one unit, projected back after each update.
        width: factor on the number of channels and units of every hidden layer, up to MOST_WIDTH.
        pooling: of every pooling window (not of global pooling), one of POOLINGS.

    Raises:
        InvalidOption: a value that its option does not take.
    """

    activation: str | None = None
    normalization: str | None = None
    initializer: str | None = None
    dropout: float | None = None
    monte_carlo: bool = False
    kernel_regularizer: str | Mapping[str, float] | None = None
    max_norm: float | None = None
    width: float = 1.0
    pooling: str | None = None

    def __post_init__(self) -> None:
        for name, known in (
            ("activation", ACTIVATIONS),
            ("normalization", NORMALIZATIONS),
            ("initializer", INITIALIZERS),
            ("pooling", POOLINGS),
        ):
            if getattr(self, name) is not None:
                options.choice(name, getattr(self, name), known)
        if self.dropout is not None:
            options.dropout_rate(self.dropout)
        options.flag("monte_carlo", self.monte_carlo)
        if self.max_norm is not None:
            options.positive("max_norm", self.max_norm)
        options.positive("width", self.width, MOST_WIDTH)
        self.strengths()

    def strengths(self) -> dict[str, float]:
        """The regularizer's strengths by name, l1 and l2; empty without one."""
        value = self.kernel_regularizer
        if value is None:
            return {}
        if isinstance(value, str) and value in REGULARIZERS:
            return REGULARIZERS[value]
        if isinstance(value, Mapping) and value and set(value) <= {"l1", "l2"}:
            return {k: options.positive(f"kernel_regularizer.{k}", v) for k, v in value.items()}
        raise InvalidOption(
            f"kernel_regularizer must be one of {', '.join(REGULARIZERS)}, or strengths such as "
            f"{{l1: 1e-5, l2: 1e-4}}. Received: {value!r}"
        )

    def refuse(self, network: str, **reasons: str) -> None:
        """Raises InvalidOption where an option is set that `network` cannot take."""
        for name, reason in reasons.items():
            if getattr(self, name) != getattr(PAPER, name):
                raise InvalidOption(
                    f"{network} takes no {name}: {reason}. Received: {getattr(self, name)!r}"
                )


PAPER = Choices()
NAMES = tuple(field.name for field in fields(Choices))


def split(given: Mapping[str, Any]) -> tuple[Choices, dict[str, Any]]:
    """The choices among `given` options, and the rest, which are a network's own."""
    chosen = {name: value for name, value in given.items() if name in NAMES}
    return Choices(**chosen), {k: v for k, v in given.items() if k not in NAMES}
