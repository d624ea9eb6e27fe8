"""Who proposes the next settings. An oracle knows names and values, nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any


def grid(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the axes' values, complete and ordered: the last axis runs fastest.

    >>> grid({"model.name": ["mlp", "lenet5"], "seed": [1, 2]})[1]
    {'model.name': 'mlp', 'seed': 2}
    """
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
