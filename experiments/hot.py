"""Values that may change after the trace: variables only, set in one place."""

from __future__ import annotations

from typing import Any

import keras

from experiments.errors import FailedWork


def assign(owner: Any, name: str, value: Any) -> None:
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
