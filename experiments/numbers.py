"""How numbers read in tables and figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def si(value: float | None, digits: int = 3) -> str:
    """A count with its prefix: 40.6 M, 270 k, 15.5 G."""
    if value is None:
        return ""
    if abs(value) < 1000 and float(value).is_integer():
        return str(int(value))
    for scale, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")):
        # 999,600 rounds to 1.00 M, not to 1000 k
        if float(f"{abs(value):.{digits}g}") >= scale:
            return f"{significant(value / scale, digits)} {prefix}".rstrip()
    return significant(value, digits)


def significant(value: float | None, digits: int = 3) -> str:
    """So many significant digits, never with an exponent: 0.0123, 4.06, 40.6, 1234."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    decimals = max(0, digits - 1 - _exponent(rounded))
    return f"{rounded:.{decimals}f}"


def percent(row: Mapping[str, Any], key: str) -> str:
    """A mean accuracy and its standard deviation over seeds: 97.4 ± 0.3."""
    mean, std = row.get(key), row.get(f"{key.removesuffix('_mean')}_std")
    if mean is None:
        return ""
    return f"{100 * mean:.1f}" + ("" if std is None else f" ± {100 * std:.1f}")


def _exponent(value: float) -> int:
    return int(f"{abs(value):e}".split("e")[1])
