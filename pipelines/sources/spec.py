"""A spec behind its scheme: a place with settings behind commas, or settings alone."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping

from pipelines.errors import SourceError, nearest

SETTING = re.compile(r",(?=\s*\w+\s*=)")


def place_and_settings(
    scheme: str, rest: str, known: Mapping[str, Collection[str]], form: str
) -> tuple[str, dict[str, str]]:
    """The place, and the settings "key=value" that follow it, each behind a comma.

    known   key -> values that it takes; none: any
    form    how the spec is written, for refusals

    What exists under a name with ",x=" in it is the place. Raises SourceError for other keys and
    values, keys given twice, and where no place is named.
    """
    pieces = SETTING.split(rest)
    ends = (end for end in range(len(pieces), 1, -1) if _exists(",".join(pieces[:end])))
    end = next(ends, 1)
    place, values = ",".join(pieces[:end]).strip(), dict[str, str]()
    for setting in pieces[end:]:
        key, value = _setting(scheme, setting, known, values, f": write {form!r}")
        if not value or (known[key] and value not in known[key]):
            expected = " or ".join(known[key]) or "a value"
            close = nearest(value, known[key])
            raise SourceError(f"{scheme}: {key}: expected {expected}, received {value!r}{close}")
        values[key] = value
    if not place:
        raise SourceError(f"{scheme}: expected a place, received none: write {form!r}")
    return place, values


def _exists(path: str) -> bool:
    return os.path.lexists(os.path.expanduser(path.strip()))


def _setting(
    scheme: str, text: str, known: Collection[str], before: Collection[str], advice: str = ""
) -> tuple[str, str]:
    """Key and value of "key=value": one of the known keys, and none of those before it."""
    key, _, value = (piece.strip() for piece in text.partition("="))
    if key not in known:
        expected = ", ".join(known) or "none"
        raise SourceError(
            f"{scheme}: unknown setting {key!r}{nearest(key, known)}; expected {expected}{advice}"
        )
    if key in before:
        raise SourceError(f"{scheme}: {key} is given twice: remove one")
    return key, value


def spelled(place: str, settings: Mapping[str, str]) -> str:
    """The place and its settings as a spec has them."""
    return ",".join([place, *(f"{key}={value}" for key, value in settings.items())])


def whole_numbers(scheme: str, text: str, lowest: Mapping[str, int]) -> dict[str, int]:
    """The settings "key=value,..." of a spec, each a whole number from `lowest`[key] up.

    Raises SourceError for other keys and values, for keys given twice and seeds of 2**63 and more.
    """
    values: dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, value = _setting(scheme, part, lowest, values)
        if not value.isdecimal() or int(value) < lowest[key]:
            raise SourceError(
                f"{scheme}: {key}: expected a whole number from {lowest[key]}, received {value!r}"
            )
        values[key] = int(value)
    if values.get("seed", 0) >= 2**63:
        raise SourceError(f"{scheme}: seed: expected a number below 2**63")
    return values
