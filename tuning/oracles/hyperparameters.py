"""A search space as KerasTuner's, and its proposals back as settings.

What KerasTuner holds without loss goes as it is. The rest goes as a position in the list of values:
choices of mixed types, lists, mappings, null or truth values (it turns those into 0 and 1), ranges
with a multiplying step, and floats with a step (it would lose 1.0 of 0, 0.1 ... 1.0 to rounding).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuning.space import Boolean, Choice, Float, Int, Parameter, Settings, Space, position, same


def to_keras_tuner(space: Space) -> Any:
    """The space as `keras_tuner.HyperParameters`, conditions included."""
    import keras_tuner

    entries = [
        {
            "class_name": kind,
            "config": config
            | {
                "name": parameter.key,
                "default": None if kind != "Boolean" else False,
                "conditions": _conditions(space, parameter),
            },
        }
        for parameter in space.ordered
        for kind, config in [_entry(parameter)]
    ]
    return keras_tuner.HyperParameters.from_config({"space": entries, "values": {}})


def to_values(space: Space, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as the values of KerasTuner's hyperparameters."""
    return {key: _encode(space.by_key[key], value) for key, value in settings.items()}


def from_values(space: Space, values: Mapping[str, Any]) -> Settings:
    """The settings that KerasTuner's values mean, in the order of the space; what it keeps beside
    them (`tuner/epochs`) and keys whose condition does not hold are left out."""
    settings: Settings = {}
    for parameter in space.ordered:
        if space.active(parameter.key, settings):
            settings[parameter.key] = _decode(parameter, values[parameter.key])
    return {p.key: settings[p.key] for p in space.parameters if p.key in settings}


def _entry(parameter: Parameter) -> tuple[str, dict[str, Any]]:
    if isinstance(parameter, Boolean):
        return "Boolean", {}
    if _by_position(parameter):
        return "Choice", {"values": list(range(len(parameter.options or ()))), "ordered": True}
    if isinstance(parameter, Choice):
        ordered = not isinstance(parameter.values[0], str)
        return "Choice", {"values": list(parameter.values), "ordered": ordered}
    if not isinstance(parameter, Int | Float):
        raise TypeError(f"{parameter.key}: expected a choice, int, float or boolean")
    kind = "Int" if isinstance(parameter, Int) else "Float"
    return kind, {
        "min_value": parameter.low,
        "max_value": parameter.high,
        "step": parameter.step,
        "sampling": "log" if parameter.log else "linear",
    }


def _by_position(parameter: Parameter) -> bool:
    if isinstance(parameter, Choice):
        kinds = {type(value) for value in parameter.values}
        return len(kinds) > 1 or not kinds <= {str, int, float}
    stepped = isinstance(parameter, Int | Float) and parameter.step is not None
    return stepped and (isinstance(parameter, Float) or getattr(parameter, "log", False))


def _conditions(space: Space, parameter: Parameter) -> list[dict[str, Any]]:
    return [
        {
            "class_name": "Parent",
            "config": {
                "name": other,
                "values": [_encode(space.by_key[other], value) for value in values],
            },
        }
        for other, values in space.conditions[parameter.key].items()
    ]


def _encode(parameter: Parameter, value: Any) -> Any:
    if _by_position(parameter):
        return position(parameter, value)
    if isinstance(parameter, Choice):
        return next(option for option in parameter.values if same(option, value))
    return value


def _decode(parameter: Parameter, value: Any) -> Any:
    if _by_position(parameter):
        return (parameter.options or ())[value]
    if isinstance(parameter, Int):  # KerasTuner's log range reaches high + 1 at its very end
        return max(parameter.low, min(int(value), parameter.high))
    if isinstance(parameter, Float):
        return parameter.nearest(value)
    return value
