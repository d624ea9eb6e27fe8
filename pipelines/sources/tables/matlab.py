"""MATLAB files (to version 7) that come with published sets, as lists of Python values."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import SourceError

LARGEST_BYTES = 64 * 1024**2  # the true ones have 0.1 to 1 MB


def read_matlab(path: Path) -> dict[str, Any]:
    """Its variables; structures as dictionaries. Raises SourceError."""
    from scipy.io import loadmat

    try:
        with path.open("rb") as file:
            contents = file.read(LARGEST_BYTES)
    except OSError as error:
        raise SourceError(f"csv: {path} cannot be read ({error.strerror})") from None
    try:
        held: dict[str, Any] = loadmat(io.BytesIO(contents), simplify_cells=True)
    except Exception as error:  # of many kinds, for bytes that are no MATLAB file
        raise SourceError(
            f"csv: {path} is damaged or no MATLAB file ({type(error).__name__}): download it again"
        ) from None
    return held


def column_of(held: dict[str, Any], name: str, path: Path) -> list[Any]:
    """A variable as a flat list, numbers as Python's. Raises SourceError where there is none."""
    if name not in held:
        known = ", ".join(key for key in held if not key.startswith("__"))
        raise SourceError(f"csv: {path.name} has no {name!r}; it has {known or 'nothing'}")
    value = held[name]
    return value if isinstance(value, list) else np.asarray(value).reshape(-1).tolist()
