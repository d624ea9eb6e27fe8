"""`ilsvrc nested`: how good is what a search finds? Tested on images that it never saw."""

from __future__ import annotations

from typing import Any

from experiments import search
from experiments.config import Config


def nested(config: Config, where: str, *, fresh: bool = False) -> dict[str, Any]:
    """Run what is not done yet of a nested cross-validation and return the command's JSON.

    In each outer fold: a search over inner folds of its learning set, the winner retrained on the
    whole learning set, one test. `validation.test_fraction` plays no part: every image is tested
    once, by one outer fold. With early stopping a refit, which has no validation images, trains for
    the median of the best epochs of the winner's inner folds.

    Raises:
        BadInput: the search cannot be, or another one has its name.
    """
    return search.run("nested", config, where, fresh=fresh)
