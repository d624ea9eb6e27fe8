"""Published weights as a start, and the preprocessing that they expect."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import models
from experiments.config.schema import Config
from experiments.errors import BadInput

IMAGENET = "imagenet"
SUFFIXES = (".safetensors", ".pth", ".pt")


def check(config: Config) -> None:
    """Refuse what can be seen to be wrong before anything has started.

    Raises:
        BadInput: weights that are neither imagenet nor such a file that exists, or
            `data.normalise` published where nothing is published.
    """
    weights = config.model.weights
    if weights is not None and weights != IMAGENET:
        if not weights.endswith(SUFFIXES):
            raise BadInput(
                f"model.weights: expected {IMAGENET}, or a file that ends in "
                f"{', '.join(SUFFIXES)}. Received: {weights}"
            )
        if not Path(weights).is_file():
            raise BadInput(f"model.weights: {weights}: no such file")
    if config.data.normalise == "published":
        preprocessing(config)


def preprocessing(config: Config) -> tuple[str, np.ndarray, np.ndarray]:
    """Whose preprocessing `data.normalise=published` is, and its centre and scale in RGB order.

    Keras's for its own weights, else torchvision's, else whatever the card names in numbers.

    Raises:
        BadInput: the card has none in numbers, or the images are not RGB.
    """
    known = {
        by: entry
        for by, entry in (models.card(config.model.name).preprocessing or {}).items()
        if isinstance(entry["centre"], list)
    }
    if not known:
        raise BadInput(
            f"data.normalise: nothing is published in numbers for {config.model.name}; "
            "use mean_std or mean"
        )
    if config.data.channels not in (3, None):
        raise BadInput("data.normalise: published is for RGB images; these have 1 channel")
    wanted = "Keras" if config.model.weights == IMAGENET else "torchvision"
    by = wanted if wanted in known else next(iter(known))
    centre = np.array(known[by]["centre"], np.float32)
    scale = np.array(known[by]["scale"] or [1.0] * 3, np.float32)
    reverse = -1 if known[by]["channels"] == "BGR" else 1
    return by, centre[::reverse], scale[::reverse]


def advice(config: Config) -> str | None:
    """One line where published weights would see images unlike those they were trained on."""
    if config.model.weights is None or config.data.normalise == "published":
        return None
    return (
        f"model.weights expect their own preprocessing, not data.normalise={config.data.normalise}"
        "; set data.normalise=published"
    )
