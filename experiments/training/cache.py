"""What a worker made for one job and can use for its next ones: the newest of each kind."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

LIMITS = {
    "statistics": 256, "views": 2, "datasets": 16, "updates": 8, "executions": 2, "scoring": 2
}  # fmt: skip
"""How many of each are kept: a nested search has as many training parts as folds."""


class Cache:
    """The newest results by kind and key; older ones go."""

    def __init__(self) -> None:
        self._kinds: dict[str, OrderedDict[Hashable, Any]] = {}

    def get(self, kind: str, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once as long as it is kept."""
        known = self._kinds.setdefault(kind, OrderedDict())
        if key in known:
            known.move_to_end(key)
        else:
            known[key] = make()
            if len(known) > LIMITS[kind]:
                known.popitem(last=False)
        return known[key]


def digest(indices: np.ndarray) -> str:
    """Equal for equal index arrays only."""
    whole = np.ascontiguousarray(indices, np.int64)
    return hashlib.blake2b(whole.data, digest_size=16).hexdigest()
