"""Weights of keras.applications in the networks of this zoo, layer by layer, by name.

The networks compute the same function as their counterparts there; what differs is folded in:
convolutions before a batch normalisation have no bias here (it moves into the moving mean), every
normalisation here has a gamma (1 where Keras trains none), and epsilons may differ (the difference
moves into the moving variance). Images must be prepared as the card's `preprocessing` says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from models.architectures.branches import Conv, stems
from models.architectures.inception import V3_MODULES, V3_STEM
from models.architectures.inception_resnet import V2_RELEASED, normalised_stems
from models.errors import WeightsUnavailable


class Counterpart(NamedTuple):
    """A network of keras.applications, and what its layers are called here.

    Attributes:
        constructor: its name in keras.applications.
        renamed: its layers to ours, where the names differ.
        numbered: ours, without "_conv" and "_bn", to its convolutions and normalisations without a
            name, in the order in which it makes them.
        top: ours that it lacks when built with include_top=False.
    """

    constructor: str
    renamed: Mapping[str, str] = {"predictions": "fc"}
    numbered: tuple[str, ...] = ()
    top: tuple[str, ...] = ("fc",)


_VGG_TOP = {"fc1": "fc6", "fc2": "fc7", "predictions": "fc8"}
_VGG = {
    **{f"block{s}_conv{n}": f"conv{s}_{n}" for s in range(1, 6) for n in range(1, 5)},
    **_VGG_TOP,
}


def inception_v3_stems() -> list[str]:
    """Our layer names, without "_conv" and "_bn", in the order in which Keras makes its layers.

    Keras numbers its 94 convolutions and normalisations in that order: conv2d, conv2d_1, ... and
    batch_normalization, batch_normalization_1, ...; the first has no number in a fresh session. Its
    last layer, "predictions", is our "fc".
    """
    names = [name for name, step in V3_STEM.items() if isinstance(step, Conv)]
    for name, branches in V3_MODULES.items():
        names += stems(branches, name=name)
    return names


COUNTERPARTS = {
    "vgg16": Counterpart("VGG16", _VGG, top=tuple(_VGG_TOP.values())),
    "vgg19": Counterpart("VGG19", _VGG, top=tuple(_VGG_TOP.values())),
    "inception_v3": Counterpart("InceptionV3", numbered=tuple(inception_v3_stems())),
    "inception_resnet_v2": Counterpart(
        "InceptionResNetV2",
        {"predictions": "fc", "conv_7b": "conv2d_7b_conv", "conv_7b_bn": "conv2d_7b_bn"},
        numbered=tuple(normalised_stems(V2_RELEASED)[:-1]),  # the last has a name, conv_7b
    ),
    "resnet50": Counterpart("ResNet50"),
    "resnet101": Counterpart("ResNet101"),
    "resnet152": Counterpart("ResNet152"),
    "resnet50_v2": Counterpart("ResNet50V2"),
    "resnet101_v2": Counterpart("ResNet101V2"),
    "resnet152_v2": Counterpart("ResNet152V2"),
}


def copy_from_keras_applications(reference: keras.Model, model: keras.Model) -> None:
    """Gives `model` the weights of `reference`, so that both compute the same logits.

    Args:
        reference: from keras.applications, with its top for the same classes (its softmax, if any,
            is not part of ours), or with include_top=False, which leaves our top as drawn.
        model: from `models.build` under the counterpart's name, with its default options; images
            may be of another size where the top takes any (all but VGG).

    Raises:
        ValueError: the two do not belong together, by name, layers, classes or shapes; nothing
            has been copied then.
    """
    entry = _counterpart(model)
    sources = _by_our_names(reference, entry)
    targets = {layer.name: layer for layer in model.layers if layer.weights}
    topless = not any(name in sources for name in entry.top)
    for name in entry.top if topless else ():
        targets.pop(name, None)
    _check_layers(reference, model, entry, sources, targets)
    values = [
        (weight, _value(weight, layer, sources, reference, model))
        for layer in targets.values()
        for weight in layer.weights
    ]
    for weight, value in values:
        weight.assign(value)


def load_imagenet(model: keras.Model, *, top: bool = True) -> None:
    """Fetches the weights that Keras publishes for the network, once, and copies them.

    `top`=False leaves the last layers as drawn, for other classes than the 1000 of ILSVRC-2012.

    Raises:
        ValueError: none are published, or the model's classes, channels or layers are others.
        WeightsUnavailable: they could not be fetched.
    """
    entry = _counterpart(model)
    channels, classes = model.inputs[0].shape[-1], model.outputs[0].shape[-1]
    if channels != 3:
        raise ValueError(f"published weights are for 3 channels. Received: {channels} channels")
    if top and classes != 1000:
        raise ValueError(
            f"published weights are for 1000 classes. Received: {model.name} with {classes}; "
            "top=False leaves the last layers as drawn"
        )
    constructor = getattr(keras.applications, entry.constructor)
    try:
        reference = constructor(weights="imagenet", include_top=top)
    except Exception as error:  # Keras raises Exception itself where a download fails
        reason = " ".join(str(error).split())
        raise WeightsUnavailable(
            f"the weights of keras.applications.{entry.constructor} could not be fetched: {reason}"
        ) from error
    copy_from_keras_applications(reference, model)


def _counterpart(model: keras.Model) -> Counterpart:
    entry = COUNTERPARTS.get(model.name)
    if entry is None:
        raise ValueError(
            f"keras.applications has no counterpart of {model.name!r}; those with one are "
            f"{', '.join(COUNTERPARTS)}"
        )
    return entry


def _by_our_names(reference: keras.Model, entry: Counterpart) -> dict[str, Any]:
    """The layers with weights of `reference`, under the names that they have here."""
    named: dict[str, Any] = {}
    unnamed: dict[str, list[tuple[int, Any]]] = {"conv2d": [], "batch_normalization": []}
    for layer in reference.layers:
        if not layer.weights:
            continue
        # Keras numbers layers without a name through the whole session, conv2d, conv2d_1, ...: the
        # numbers say in which order they were made (model.layers does not), not where they start.
        number = re.fullmatch(r"(conv2d|batch_normalization)(?:_(\d+))?", layer.name)
        if entry.numbered and number:
            unnamed[number[1]].append((int(number[2] or 0), layer))
        else:
            named[entry.renamed.get(layer.name, layer.name)] = layer
    for kind, ending in (("conv2d", "_conv"), ("batch_normalization", "_bn")):
        made = sorted(unnamed[kind], key=lambda pair: pair[0])
        for index, (_, layer) in enumerate(made):
            ours = entry.numbered[index] + ending if index < len(entry.numbered) else layer.name
            named[ours] = layer
    return named


def _check_layers(
    reference: keras.Model,
    model: keras.Model,
    entry: Counterpart,
    sources: Mapping[str, Any],
    targets: Mapping[str, Any],
) -> None:
    """Every layer on one side must have one on the other; raises ValueError."""
    missing = [name for name in targets if name not in sources]
    spare = [layer.name for name, layer in sources.items() if name not in targets]
    for name, layer in targets.items():  # a bias needs a bias here, or a moving mean to move into
        followed = f"{name.removesuffix('_conv')}_bn" in targets
        if name in sources and "bias" in _arrays(sources[name]).keys() - _arrays(layer).keys():
            spare += [] if followed else [f"bias of {name}"]
    if not missing and not spare:
        return
    lack = f"{reference.name} has no {missing[0]}" if missing else f"{model.name} no {spare[0]}"
    raise ValueError(
        f"{model.name} takes the weights of keras.applications.{entry.constructor}, built with its "
        f"default options. Received: {reference.name}, and {lack}"
    )


def _value(
    weight: Any,
    layer: Any,
    sources: Mapping[str, Any],
    reference: keras.Model,
    model: keras.Model,
) -> np.ndarray:
    """What `weight` of `layer` must be for the two networks to compute the same."""
    source = sources[layer.name]
    given = _arrays(source)
    if weight.name == "gamma" and "gamma" not in given:
        value = np.ones(weight.shape, dtype="float32")
    elif weight.name in given:
        value = given[weight.name]
    else:
        raise ValueError(
            f"{model.name} has a {weight.name} in layer {layer.name} that {reference.name} lacks; "
            "copy into a network with its default options"
        )
    if value.shape != tuple(weight.shape):
        raise ValueError(_other_shape(weight, layer, value.shape, reference, model))
    if weight.name == "moving_mean":
        return value - _bias_before(layer.name, sources, model)
    if weight.name == "moving_variance":
        return value + np.float32(source.epsilon - layer.epsilon)
    return value


def _bias_before(normalization: str, sources: Mapping[str, Any], model: keras.Model) -> Any:
    """The bias that a convolution has there, and not here, before the `normalization`; or 0."""
    name = f"{normalization.removesuffix('_bn')}_conv"
    if name not in sources or model.get_layer(name).use_bias:
        return 0.0
    return _arrays(sources[name]).get("bias", 0.0)


def _other_shape(
    weight: Any, layer: Any, shape: Any, reference: keras.Model, model: keras.Model
) -> str:
    ours, theirs = tuple(weight.shape), tuple(shape)
    if layer is model.layers[-1] and ours[-1] != theirs[-1]:
        return (
            f"{model.name} has {ours[-1]} classes and {reference.name} {theirs[-1]}; build both "
            "for the same, or the reference with include_top=False"
        )
    return (
        f"{weight.name} of layer {layer.name} is {ours} in {model.name} and {theirs} in "
        f"{reference.name}; build both for the same input_shape, without a width"
    )


def _arrays(layer: Any) -> dict[str, np.ndarray]:
    return {weight.name: keras.ops.convert_to_numpy(weight) for weight in layer.weights}
