"""Published weights into our networks, layer by layer by name, from other libraries' files.

Images must then be prepared as that library prepares them. torchvision: RGB, 0..1, minus
(0.485, 0.456, 0.406), over (0.229, 0.224, 0.225); timm's inception_v4: RGB, -1..1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from models.weights import torch_names
from models.weights.checkpoint_files import CheckpointError, read
from models.weights.keras_applications import load_imagenet

Shape = tuple[int, ...]

_WEIGHTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
"""PyTorch's name of a weight, by Keras's."""


def load(weights: str | os.PathLike[str], model: keras.Model) -> None:
    """As in `models.build`: "imagenet", those of keras.applications, or a checkpoint's path."""
    if weights == "imagenet":
        load_imagenet(model)
    else:
        load_checkpoint(weights, model)


def load_checkpoint(path: str | os.PathLike[str], model: keras.Model) -> None:
    """Weights that torchvision or timm saved, into the network `models.build` made of its name.

    FILE.safetensors, or FILE.pth or FILE.pt with PyTorch installed. alexnet_owt is torchvision's
    alexnet; vgg_a, vgg_b, vgg16, vgg19 are vgg11, vgg13, vgg16, vgg19; resnet18, resnet34 and the
    resnet*_v1_5 its ResNets; inception_v4 is timm's. Nothing is assigned unless every tensor of the
    file and every weight of the network has its partner.

    Raises CheckpointError: a network or kind of file that is not known, a tensor missing, left over
    or of another shape, another number of classes.
    """
    if model.name not in torch_names.NETWORKS:
        raise CheckpointError(
            f"no checkpoints are known for {model.name}; they are for "
            f"{', '.join(torch_names.NETWORKS)}"
        )
    names = torch_names.NETWORKS[model.name](model.name)
    tensors = read(path)
    _check_classes(os.fspath(path), model, names, tensors)
    partners = list(_partners(os.fspath(path), model, names, tensors))
    left = {key for key in tensors if not key.endswith(".num_batches_tracked")}
    left -= {key for _, _, key in partners}
    if left:
        raise CheckpointError(
            f"{path} holds {len(left)} tensors that {model.name} as built has no weights for, "
            f"beginning with {min(left)}; build it with the options it was trained with"
        )
    for layer, weight, key in partners:
        weight.assign(_reordered(tensors[key], _map_shape(model, layer)))


def _partners(
    path: str, model: keras.Model, names: Mapping[str, str], tensors: Mapping[str, np.ndarray]
) -> Iterator[tuple[Any, Any, str]]:
    """(layer, weight, key) for every weight of the network; raises CheckpointError."""
    for layer in model.layers:
        for weight in layer.weights:
            if layer.name not in names or weight.name not in _WEIGHTS:
                raise CheckpointError(
                    f"checkpoints of {model.name} have nothing for {layer.name}.{weight.name}; "
                    "build it without the option that adds it"
                )
            key = f"{names[layer.name]}.{_WEIGHTS[weight.name]}"
            expected = _torch_shape(weight.shape)
            if key not in tensors:
                raise CheckpointError(
                    f"{path} lacks {key} of shape {expected}, for layer {layer.name}; give a "
                    f"checkpoint of {model.name} as torchvision or timm saves it"
                )
            if tensors[key].shape != expected:
                raise CheckpointError(
                    f"{key} must have shape {expected} for layer {layer.name}; build {model.name} "
                    "with the input_shape and options of the checkpoint. "
                    f"Received: {tensors[key].shape} in {path}"
                )
            yield layer, weight, key


def _check_classes(
    path: str, model: keras.Model, names: Mapping[str, str], tensors: Mapping[str, np.ndarray]
) -> None:
    """The last layer's units, said in words: the commonest mismatch of all."""
    bias = tensors.get(f"{names.get(model.layers[-1].name)}.bias")
    classes = model.output_shape[-1]
    if bias is not None and bias.shape != (classes,):
        raise CheckpointError(
            f"{path} is for {bias.size} classes; build {model.name} with classes={bias.size}. "
            f"Received: a network of {classes} classes"
        )


def _map_shape(model: keras.Model, layer: Any) -> Shape | None:
    """(h, w, c) of the maps whose positions a dense layer takes one by one, else None."""
    for flatten, dense in torch_names.FLATTENED.items():
        if layer.name == dense:
            return tuple(model.get_layer(flatten).input.shape[1:])
    return None


def _torch_shape(shape: Shape) -> Shape:
    """Kernels (h, w, in, out) are (out, in, h, w) there, and (in, out) are (out, in)."""
    if len(shape) == 4:
        return shape[3], shape[2], shape[0], shape[1]
    return tuple(reversed(shape))


def _reordered(tensor: np.ndarray, map_shape: Shape | None) -> np.ndarray:
    """From PyTorch's order of axes to Keras's."""
    if tensor.ndim == 4:
        return tensor.transpose(2, 3, 1, 0)
    if tensor.ndim == 2 and map_shape is not None:
        height, width, channels = map_shape
        maps = tensor.reshape(-1, channels, height, width)
        tensor = maps.transpose(0, 2, 3, 1).reshape(len(tensor), -1)
    return tensor.T
