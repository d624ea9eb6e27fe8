"""What every section of the configuration is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0, le=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
HeldOut = Annotated[float, Field(ge=0, lt=1)]

# Above these no machine of today gets to the end, and libraries say so in words of their own.
MILLION = 10**6
Count = Annotated[int, Field(gt=0, le=MILLION)]  # of what is made, held or repeated
CountOrZero = Annotated[int, Field(ge=0, le=MILLION)]
AtLeastTwo = Annotated[int, Field(ge=2, le=MILLION)]
Limit = Annotated[int, Field(gt=0, le=10**9)]  # that something else is compared with
Pixels = Annotated[int, Field(gt=0, le=2**14)]  # along a side
Threads = Annotated[int, Field(ge=0, le=2**12)]
Seconds = Annotated[float, Field(ge=0, le=MILLION)]


class Section(BaseModel):
    """Unknown keys are refused, and numbers are not read from strings."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def without_defaults(
    section: Section, document: dict[str, Any], keys: Iterable[str]
) -> dict[str, Any]:
    """The document of a section without those of `keys` that hold their default.

    For keys that came later: a config without them keeps its hashes.
    """
    fields = type(section).model_fields
    unset = {
        key
        for key in keys
        if getattr(section, key) == fields[key].get_default(call_default_factory=True)
    }
    return {key: value for key, value in document.items() if key not in unset}
