"""The digits with some images ruined, for tests of who may see which image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import pipelines


def ruined_digits(where: Any) -> Callable[[Any], Any]:
    """An `open_source` that gives the digits with these images replaced by bright noise."""

    def open_source(data: Any) -> Any:
        source = pipelines.open_source("digits")
        images = np.array(source.array)
        images[where] = np.random.default_rng(0).integers(200, 256, images[where].shape)
        source.__dict__["_array"] = images
        return source

    return open_source
