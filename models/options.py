"""Checks on the values of a network's options, so that a wrong one fails at once and says why."""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence

from models.errors import InvalidOption

MOST_UNITS = 10**6  # of a layer


def choice(option: str, value: object, choices: Sequence[str]) -> str:
    """`value` if it is one of `choices`; raises InvalidOption."""
    if isinstance(value, str) and value in choices:
        return value
    raise InvalidOption(f"{option} must be one of {', '.join(choices)}. Received: {value!r}")


def dropout_rate(value: object) -> float:
    """The fraction of units dropped, 0 <= rate < 1, checked; raises InvalidOption."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1:
        return float(value)
    raise InvalidOption(f"dropout must be a number from 0 to below 1. Received: {value!r}")


def flag(option: str, value: object) -> bool:
    """True or False, checked; raises InvalidOption."""
    if isinstance(value, bool):
        return value
    raise InvalidOption(f"{option} must be true or false. Received: {value!r}")


def positive(option: str, value: object, most: float = sys.float_info.max) -> float:
    """A number above 0 and up to `most`, checked; raises InvalidOption."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= most:
        return float(value)
    bound = f"at most {most:g}" if isinstance(value, (int, float)) and value > most else "above 0"
    raise InvalidOption(f"{option} must be a number {bound}. Received: {value!r}")


def widths(option: str, value: object) -> tuple[int, ...]:
    """Units of stacked dense layers, a list of positive integers, checked; raises InvalidOption."""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        try:
            units = tuple(operator.index(v) for v in value if not isinstance(v, bool))
        except TypeError:
            units = ()
        if len(units) == len(value) and all(0 < u <= MOST_UNITS for u in units):
            return units
    raise InvalidOption(
        f"{option} must be a list of positive integers up to {MOST_UNITS}, such as [100]. "
        f"Received: {value!r}"
    )
