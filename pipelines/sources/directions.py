"""The lectures' toy task: which way does the line run, if any, in 4 x 4 grey pixels?

Each image is a ground of one grey level, 0.1 to 0.3 of white. On it, but for the class "none", is a
line four pixels long and 0.3 to 0.7 of white brighter: any column, any row, or either diagonal, all
equally often. Every pixel then gets noise, uniform on +-0.2. The lectures show one picture of each
class; here image i depends on (seed, i) alone, so a longer set starts with the shorter one.
"""

from __future__ import annotations

import numpy as np

from pipelines.errors import SourceError
from pipelines.sources.array_source import ArraySource
from pipelines.sources.base import Opening
from pipelines.sources.spec import whole_numbers
from pipelines.sources.synthetic import uniform

CLASSES = ("none", "vertical", "horizontal", "diagonal")
SIDE = 4
DEFAULTS = {"examples": 1000, "seed": 1}
LOWEST = {"examples": len(CLASSES), "seed": 0}
MOST_EXAMPLES = 10**7

_BLANK = np.zeros((SIDE, SIDE))
_EYE = np.eye(SIDE)

# Four masks a class: the places where its line may be.
LINES = np.array([
    [_BLANK] * SIDE,
    [np.tile(column, (SIDE, 1)) for column in _EYE],
    [np.tile(row[:, None], (1, SIDE)) for row in _EYE],
    [_EYE, _EYE[::-1]] * (SIDE // 2),
])  # fmt: skip


def open_directions(text: str, opening: Opening) -> ArraySource:
    """`text`: "examples=1000,seed=1", any part left out; three channels repeat the one.

    Raises SourceError for unknown keys and bad values.
    """
    settings = DEFAULTS | whole_numbers("directions", text, LOWEST)
    examples, seed = settings["examples"], settings["seed"]
    if examples > MOST_EXAMPLES:
        raise SourceError(
            f"directions: examples: expected {MOST_EXAMPLES} or fewer, received {examples}"
        )
    labels = np.arange(examples, dtype=np.int64) % len(CLASSES)
    depth = opening.channels or 1
    return ArraySource(
        lambda: np.repeat(draw(labels, seed), depth, axis=-1),
        labels,
        CLASSES,
        spec=f"directions:examples={examples},seed={seed}",
        image_shape=(SIDE, SIDE, depth),
    )


def draw(labels: np.ndarray, seed: int) -> np.ndarray:
    """uint8 [n, 4, 4, 1]; image i is of class labels[i]."""
    r = uniform(seed, np.arange(len(labels)), 3 + SIDE * SIDE)
    at = (SIDE * r[:, 0]).astype(np.int64)
    ground = 0.1 + 0.2 * r[:, 1, None, None]
    contrast = 0.3 + 0.4 * r[:, 2, None, None]
    noise = 0.4 * (r[:, 3:].reshape(-1, SIDE, SIDE) - 0.5)
    image = ground + contrast * LINES[labels, at] + noise
    return np.clip(np.rint(image * 255.0), 0, 255).astype(np.uint8)[..., None]
