"""An augmentation is declared once, by the function that makes it.

    @augmentation(on="image", first=("fill", "probability"))
    def rotate(
        degrees: Annotated[float, Setting(ge=0, le=180)] = 15.0,
        fill: Fill = "reflect",
        probability: Probability = 1.0,
    ) -> Op:

Its name is the function's. A parameter with a default is a setting of the recipe; one without is
what the pipeline knows: `size`, (height, width) of the network, or a field of `colour.Colours`.
The section of the config, the check and the text of a recipe and the table of ops come from this.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType, SimpleNamespace
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

Step = Mapping[str, Any]
"""An augmentation in a recipe: its name under "op", and settings."""

LIMITS = ("gt", "ge", "lt", "le")  # as `operator` and pydantic call them


@dataclass(frozen=True)
class Setting:
    """What a setting may be: limits of a number, or of both of a pair [low, high] in order.

    description  for the schema of the config
    expected     for errors, where the limits do not say it all
    config_gt    the config's own lower limit, where it refuses what would do nothing
    """

    description: str | None = None
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    expected: str | None = None
    config_gt: float | None = None

    def holds(self, value: float) -> bool:
        limits = ((name, getattr(self, name)) for name in LIMITS)
        return math.isfinite(value) and all(
            getattr(operator, name)(value, limit) for name, limit in limits if limit is not None
        )


Probability = Annotated[float, Setting(ge=0, le=1)]


class Parameter(NamedTuple):
    """A setting as the function declares it: float, int, a pair of either, or some words."""

    type: Any
    default: Any
    setting: Setting

    def check(self, name: str, value: Any) -> None:
        """Raises ValueError with the name, what was expected and what was received."""
        try:
            good = (value is None and self.default is None) or self._holds(value)
        except (TypeError, ValueError, OverflowError):  # no number, or no pair
            good = False
        if not good:
            refuse(name, self.expected, value)

    def _holds(self, value: Any) -> bool:
        if get_origin(self.type) is Literal:
            return value in get_args(self.type)
        if get_origin(self.type) is tuple:
            low, high = value
            return low <= high and self.setting.holds(low) and self.setting.holds(high)
        return self.setting.holds(value) and (self.type is float or value == int(value))

    @property
    def expected(self) -> str:
        """In words."""
        if self.setting.expected:
            return self.setting.expected
        if get_origin(self.type) is Literal:
            return f"one of {', '.join(get_args(self.type))}"
        kind = "a number" if self.type is float else "a whole number"
        kind = "[low, high]" if get_origin(self.type) is tuple else kind
        gt, ge, lt, le = (getattr(self.setting, name) for name in LIMITS)
        low = gt if ge is None else ge
        if le is not None:
            return f"{kind} within {low:g}..{le:g}"
        if lt is not None:
            return f"{kind} from {low:g} to below {lt:g}"
        return f"{kind} {'above' if ge is None else 'from'} {low:g}"


def refuse(name: str, expected: str, received: object) -> None:
    raise ValueError(f"{name}: expected {expected}, received {received!r}")


@dataclass(frozen=True)
class Augmentation:
    """A function that makes an augmentation, and how it acts.

    on             what it changes: a "window" of an image that is then resized, drawn before
                   anything is decoded (the function gives a `crops.Window`), an "image" (an Op), or
                   a "batch" whose labels it mixes (a `mixing.BatchOp`)
    crop           a recipe has one of these at most
    drawn_apart    the function gives (drawn(key), op(image, drawn)): its draws can be made for many
                   images at once
    keeps_range    0..255 in, 0..255 out
    before_resize  may act on the uint8 window, before it is resized
    rgb_only       refuses grey images
    on_device      a colour added to every pixel, which is left to the device where images cross as
                   uint8
    first          settings that a written config names before `op`
    check          check(**settings): what no setting can tell alone
    """

    function: FunctionType
    on: Literal["window", "image", "batch"]
    crop: bool = False
    drawn_apart: bool = False
    keeps_range: bool = False
    before_resize: bool = False
    rgb_only: bool = False
    on_device: bool = False
    first: tuple[str, ...] = ()
    check: Callable[..., None] | None = None

    def __call__(self, *args: Any, **settings: Any) -> Any:
        return self.function(*args, **settings)

    @property
    def name(self) -> str:
        return self.function.__name__

    @functools.cached_property
    def settings(self) -> dict[str, Parameter]:
        """By name, in the order of the signature, which is that of the recipe's text."""
        signature = inspect.signature(self.function).parameters
        defaults = {name: p.default for name, p in signature.items() if p.default is not p.empty}
        # Of these alone: other annotations name types of TensorFlow.
        written = {name: self.function.__annotations__[name] for name in defaults}
        hints = get_type_hints(
            SimpleNamespace(__annotations__=written),
            self.function.__globals__,
            include_extras=True,
        )
        return {name: _parameter(hints[name], default) for name, default in defaults.items()}

    @functools.cached_property
    def known(self) -> tuple[str, ...]:
        """Names of what it needs of the pipeline."""
        parameters = inspect.signature(self.function).parameters
        return tuple(name for name in parameters if name not in self.settings)

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Raises ValueError for values that cannot be; all settings are given."""
        for name, parameter in self.settings.items():
            parameter.check(name, settings[name])
        if self.check is not None:
            self.check(**settings)


def augmentation(
    on: Literal["window", "image", "batch"] = "image", **traits: Any
) -> Callable[[Any], Augmentation]:
    """Declare the decorated function an augmentation; see `Augmentation`."""
    return lambda function: Augmentation(function, on, **traits)


def _parameter(hint: Any, default: Any) -> Parameter:
    if get_origin(hint) is not Annotated:
        return Parameter(hint, default, Setting())
    kind, *settings = get_args(hint)
    return Parameter(kind, default, settings[-1])
