"""The moving averages of a network's weights, in the place of the weights and out again.

Weights and averages change places, so that nothing is lost or rounded: what is measured between
two exchanges is the averaged network, and training goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import keras


class Averages:
    """Those that an optimizer of `optimizers.build` keeps, if it keeps any.

    Args:
        rule: the optimizer, without the one that scales its loss.
        weights: what it was built for.
    """

    def __init__(self, rule: Any = None, weights: Sequence[Any] = ()):
        self._rule, self._weights = rule, weights
        self._averages = rule.averages if rule else []

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
