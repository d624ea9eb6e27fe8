"""An architecture of the registry with published weights, ready to be scored on pixels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

import models
from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.jobs import pretrained
from experiments.training.weights import load
from models.layers.normalizations import Normalise
from models.registry import deployable
from models.weights import checkpoint_files, torch_names


def build(name: str, weights: str, config: Config) -> tuple[keras.Model, str]:
    """Pixels of 0..255 to logits, the card's preprocessing inside, and whose weights these are.

    Args:
        name: of the registry.
        weights: imagenet, or a file; as `model.weights`.
        config: its model.options and data.image_size count.

    Raises:
        BadInput: no such weights, or not this network's.
        FailedWork: they could not be fetched.
    """
    card = models.card(name)
    chosen = config.model.model_copy(update={"name": name, "weights": weights})
    config = config.model_copy(
        update={
            "model": chosen,
            "data": config.data.model_copy(update={"normalise": "published", "channels": 3}),
        }
    )
    pretrained.check(config)
    _, centre, scale = pretrained.preprocessing(config)
    wanted = config.data.image_size
    size = (wanted, wanted) if isinstance(wanted, int) else wanted or card.input_shape[:2]
    classes = card.classes
    if weights != pretrained.IMAGENET:
        classes = _checkpoint_classes(name, weights, chosen.options) or classes
    try:
        built = models.build(name, input_shape=(*size, 3), classes=classes, **chosen.options)
    except ValueError as error:
        raise BadInput(f"model: {error}") from None
    network = deployable(built)
    load(weights, network, classes)
    pixels = keras.Input((*size, 3), name="pixels")
    normalise = Normalise(name="normalise")
    model = keras.Model(pixels, network(normalise(pixels)), name=name)
    normalise.mean.assign(np.asarray(centre))
    normalise.scale.assign(np.asarray(scale))
    origin = "Keras" if weights == pretrained.IMAGENET else "torchvision"
    if name == "inception_v4":
        origin = "timm"
    return model, origin


def _checkpoint_classes(name: str, path: str, options: dict[str, Any]) -> int | None:
    """How many classes a file of published weights has, where that can be seen."""
    if name not in torch_names.NETWORKS:
        return None
    try:
        last = models.outline(name, **options).layers[-1].name
        bias = checkpoint_files.read(path).get(f"{torch_names.NETWORKS[name](name)[last]}.bias")
    except (ValueError, KeyError):
        return None  # loading will say what is wrong
    return None if bias is None else int(bias.size)
