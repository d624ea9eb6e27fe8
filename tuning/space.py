"""What a search may vary: typed parameters, conditions between them, and every combination."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Settings = dict[str, Any]
"""One candidate: config key to value. Keys whose condition does not hold are absent."""


DIGITS = 6  # of a continuous value: readable, and equal on machines that differ in the last bit


class SpaceError(ValueError):
    """A search space that cannot be; one line that names the key and the fix."""


@dataclass(frozen=True)
class Parameter:
    """One config key that varies. `when` maps other keys to the value, or list of values, that
    they must have for this one to exist."""

    key: str
    when: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    @property
    def options(self) -> Sequence[Any] | None:
        """Every value in order; None where there are too many to list."""
        raise NotImplementedError

    def holds(self, value: Any) -> bool:
        """Is this one of the values?"""
        return any(same(value, option) for option in self.options or ())

    def __str__(self) -> str:
        return "one of " + ", ".join(json.dumps(value) for value in self.options or ())


@dataclass(frozen=True)
class Choice(Parameter):
    """One of the listed values, which may be anything that YAML holds."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise SpaceError(f"{self.key}: no values to choose from; list at least one")
        for position, value in enumerate(self.values):
            if any(same(value, other) for other in self.values[:position]):
                raise SpaceError(f"{self.key}: names {json.dumps(value)} twice; leave one out")

    @property
    def options(self) -> Sequence[Any]:
        return self.values


@dataclass(frozen=True)
class Boolean(Parameter):
    """False or true."""

    @property
    def options(self) -> Sequence[Any]:
        return (False, True)


@dataclass(frozen=True)
class Int(Parameter):
    """Whole numbers from low to high, both included, `step` apart (1 if not given).

    With `log` every scale is equally likely, and `step` multiplies: 16, 32, 64 for a step of 2.
    """

    low: int
    high: int
    step: int | None = None
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if not _whole(value) and not (name == "step" and value is None):
                raise SpaceError(
                    f"{self.key}: {name} of an int is a whole number. Received: {value!r}; "
                    "use type float for others"
                )
        _check_range(self)

    @property
    def options(self) -> Sequence[Any] | None:
        if not self.log:
            return range(self.low, self.high + 1, self.step or 1)
        if self.step is None:
            return None
        return [self.low * self.step**power for power in range(_steps(self))]

    def holds(self, value: Any) -> bool:
        if not _whole(value):
            return False
        if self.options is None:
            return self.low <= value <= self.high
        return value in self.options

    def __str__(self) -> str:
        return _range_in_words(self, "a whole number")


@dataclass(frozen=True)
class Float(Parameter):
    """Numbers from low to high, both included; with `step` only those that far apart.

    With `log` every scale is equally likely, and `step` multiplies: 0.001, 0.01, 0.1 for 10.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if not (_number(value) and math.isfinite(value)) and not (
                name == "step" and value is None
            ):
                raise SpaceError(f"{self.key}: {name} is a number. Received: {value!r}")
        _check_range(self)

    @property
    def options(self) -> Sequence[Any] | None:
        if self.step is None:
            return None
        powers = range(_steps(self))
        if self.log:
            return [tidy(self.low * self.step**power) for power in powers]
        return [tidy(self.low + self.step * power) for power in powers]

    def holds(self, value: Any) -> bool:
        if not _number(value):
            return False
        if self.options is None:
            return self.low <= value <= self.high
        return any(math.isclose(value, option, rel_tol=1e-9) for option in self.options)

    def nearest(self, value: float) -> float:
        """The number of the range that this is but for its digits beyond DIGITS."""
        return max(self.low, min(tidy(value, DIGITS), self.high))

    def __str__(self) -> str:
        return _range_in_words(self, "a number")


@dataclass(frozen=True)
class Space:
    """Parameters that vary together.

    Raises:
        SpaceError: a key twice, a condition on an unknown key, on a value that its key never has
            or on a continuous one, or conditions that go round in a circle.
    """

    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        if not self.parameters:
            raise SpaceError("no parameters; name at least one key and its values")
        keys = [parameter.key for parameter in self.parameters]
        for key in keys:
            if keys.count(key) > 1:
                raise SpaceError(f"{key}: is there twice; leave one out")
        _ = self.conditions, self.ordered  # both check what they are made of

    @cached_property
    def by_key(self) -> dict[str, Parameter]:
        """The parameters under their keys."""
        return {parameter.key: parameter for parameter in self.parameters}

    @cached_property
    def conditions(self) -> dict[str, dict[str, list[Any]]]:
        """For each key, what other keys must be (any one of the values) for it to exist."""
        return {
            parameter.key: {
                other: self._wanted(parameter.key, other, value)
                for other, value in parameter.when.items()
            }
            for parameter in self.parameters
        }

    @cached_property
    def ordered(self) -> tuple[Parameter, ...]:
        """The parameters, each after those that it depends on."""
        placed: list[Parameter] = []
        waiting = list(self.parameters)
        while waiting:
            done = {parameter.key for parameter in placed}
            ready = next((p for p in waiting if set(p.when) <= done), None)
            if ready is None:
                circle = ", ".join(parameter.key for parameter in waiting)
                raise SpaceError(f"{waiting[0].key}: conditions go round in a circle: {circle}")
            waiting.remove(ready)
            placed.append(ready)
        return tuple(placed)

    def active(self, key: str, settings: Mapping[str, Any]) -> bool:
        """Does the key exist, given the values of those that it depends on?"""
        return all(
            other in settings and any(same(settings[other], value) for value in values)
            for other, values in self.conditions[key].items()
        )

    def size(self) -> int | None:
        """How many candidates there are; None where a parameter is continuous."""
        if any(parameter.options is None for parameter in self.parameters):
            return None
        return self._count(0, {})

    def grid(self) -> list[Settings]:
        """Every candidate once, ordered: the last key runs fastest.

        Raises:
            SpaceError: a parameter has no list of values.
        """
        self.check_listed()
        keys = [parameter.key for parameter in self.parameters]
        cells = sorted(
            self._cells(0, {}, {}), key=lambda cell: [cell[1].get(key, 0) for key in keys]
        )
        return [{key: cell[key] for key in keys if key in cell} for cell, _ in cells]

    def check_listed(self) -> None:
        """Refuse a space that no grid covers.

        Raises:
            SpaceError: a parameter has no list of values.
        """
        for parameter in self.parameters:
            if parameter.options is None:
                fix = "a factor, such as step: 10" if _is_log(parameter) else "such as step: 0.1"
                raise SpaceError(
                    f"{parameter.key}: a grid needs a list of values, and this range has no step; "
                    f"give step ({fix}), or list the values, or use strategy random"
                )

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse settings that are no candidate of this space.

        Raises:
            SpaceError: an unknown key, a value that its key never has, a key without its
                condition, or one that is missing.
        """
        for key in settings:
            if key not in self.by_key:
                raise SpaceError(f"{key}: not in the space. Keys: {', '.join(self.by_key)}")
        for parameter in self.ordered:
            key = parameter.key
            if not self.active(key, settings):
                if key in settings:
                    raise SpaceError(f"{key}: is there without its condition; leave it out")
            elif key not in settings:
                raise SpaceError(f"{key}: has no value; expected {parameter}")
            elif not parameter.holds(settings[key]):
                raise SpaceError(f"{key}: expected {parameter}. Received: {settings[key]!r}")

    def _wanted(self, key: str, other: str, value: Any) -> list[Any]:
        if other not in self.by_key:
            raise SpaceError(
                f"{key}: when names {other}, which is not in the space; add it, or set it outside "
                f"and take the condition out. Keys: {', '.join(self.by_key)}"
            )
        parent = self.by_key[other]
        if isinstance(parent, Float) and parent.step is None:
            raise SpaceError(
                f"{key}: when names {other}, which is continuous; a condition needs single values"
            )
        several = isinstance(value, list | tuple) and not parent.holds(value)
        values = list(value) if several else [value]
        wrong = [one for one in values if not parent.holds(one)]
        if wrong or not values:
            received = json.dumps(wrong[0] if wrong else values)
            raise SpaceError(
                f"{key}: when {other} is {received} never happens; {other} is {parent}"
            )
        return values

    def _count(self, at: int, settings: Settings) -> int:
        if at == len(self.ordered):
            return 1
        parameter = self.ordered[at]
        if not self.active(parameter.key, settings):
            return self._count(at + 1, settings)
        options = parameter.options or ()
        if not any(parameter.key in other.when for other in self.parameters):
            return len(options) * self._count(at + 1, settings)
        return sum(self._count(at + 1, settings | {parameter.key: value}) for value in options)

    def _cells(
        self, at: int, settings: Settings, positions: dict[str, int]
    ) -> Iterator[tuple[Settings, dict[str, int]]]:
        if at == len(self.ordered):
            yield settings, positions
            return
        key = self.ordered[at].key
        if not self.active(key, settings):
            yield from self._cells(at + 1, settings, positions)
            return
        for position, value in enumerate(self.ordered[at].options or ()):
            yield from self._cells(at + 1, settings | {key: value}, positions | {key: position})


def same(one: Any, other: Any) -> bool:
    """Equal as YAML values: 1 and 1.0 are, 1 and true are not, a list equals a tuple."""
    if _number(one) and _number(other):
        return bool(one == other)
    return identity(one) == identity(other)


def identity(value: Any) -> str:
    """A text that is equal for equal values, also of settings, whatever their order."""
    return json.dumps(value, sort_keys=True)


def position(parameter: Parameter, value: Any) -> int:
    """Where a value stands in the list of its parameter's, which it has."""
    options = parameter.options or ()
    if isinstance(parameter, Float):
        return min(range(len(options)), key=lambda i: abs(options[i] - value))
    if isinstance(parameter, Int):
        return options.index(value)
    return next(i for i, option in enumerate(options) if same(option, value))


def tidy(value: float, digits: int = 12) -> float:
    """The number without the last bits that arithmetic leaves: 0.3 for 0.1 * 3."""
    return float(f"{value:.{digits}g}")


def _is_log(parameter: Parameter) -> bool:
    return isinstance(parameter, Int | Float) and parameter.log


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _steps(parameter: Int | Float) -> int:
    """How many values a range with a step has; a last bit too few does not cost the last value."""
    low, high, step = parameter.low, parameter.high, parameter.step or 1
    reach = math.log(high / low) / math.log(step) if parameter.log else (high - low) / step
    return math.floor(reach + 1e-9) + 1


def _check_range(parameter: Int | Float) -> None:
    key, low, high, step = parameter.key, parameter.low, parameter.high, parameter.step
    if low >= high:
        raise SpaceError(f"{key}: low must be below high. Received: low {low}, high {high}")
    if parameter.log and low <= 0:
        raise SpaceError(f"{key}: log needs low above 0. Received: {low}")
    if step is not None and parameter.log and step <= 1:
        raise SpaceError(f"{key}: with log the step multiplies, and is above 1. Received: {step}")
    if step is not None and step <= 0:
        raise SpaceError(f"{key}: step must be above 0. Received: {step}")


def _range_in_words(parameter: Int | Float, what: str) -> str:
    steps = f" in {'factors' if parameter.log else 'steps'} of {parameter.step}"
    return f"{what} from {parameter.low} to {parameter.high}{steps if parameter.step else ''}"
