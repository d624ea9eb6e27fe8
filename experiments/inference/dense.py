"""A classifier as a fully convolutional network: class scores at every position of a larger image.

Simonyan and Zisserman 2015 (arXiv:1409.1556), section 3.2: the dense layers are applied as
convolutions, and the class scores (logits) averaged over positions, then softmax. No weight is
copied: the layers after the flattening see every window of the last map in turn, which is what the
convolution would compute. Where the network averages its last map itself, it averages the larger
map: with a linear classifier behind it that is the average of the class scores at all positions.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

import models
from experiments.errors import BadInput
from experiments.inference import layerwise

GLOBAL = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)
SPATIAL = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
)


class Dense:
    """The network at any size.

    `network` is a functional model of images [b, h, w, c] to logits [b, classes].

    Raises:
        BadInput: it has no maps, or a layer between them and the classes that fixes their size.
    """

    def __init__(self, network: keras.Model) -> None:
        self.network = network
        nodes = _steps(network)
        necks = [node for node in nodes if _rank(node) == 4 and len(node.outputs[0].shape) == 2]
        if len(necks) != 1:
            raise BadInput(
                f"evaluate.protocol: dense needs one layer that ends the maps of {network.name}; "
                f"it has {len(necks)}; use multi_scale"
            )
        self.neck = necks[0].operation
        before = nodes[: nodes.index(necks[0])]
        if not isinstance(self.neck, (keras.layers.Flatten, *GLOBAL)):
            raise BadInput(
                f"evaluate.protocol: dense cannot take layer {self.neck.name} of {network.name}, a "
                f"{type(self.neck).__name__} that fixes the image's size; use multi_scale"
            )
        if not any(_is_spatial(node.operation) for node in before):
            raise BadInput(
                f"evaluate.protocol: {network.name} has no convolutions before its layer "
                f"{self.neck.name}, so dense means nothing for it; use ten_crop or multi_scale"
            )
        self.window = tuple(necks[0].input_tensors[0].shape[1:3])

    @property
    def how(self) -> str:
        """What is done, in a line for people."""
        if isinstance(self.neck, keras.layers.Flatten):
            height, width = self.window
            return (
                f"{self.network.name} dense: layers after {self.neck.name} at every {height} x "
                f"{width} window of the last map, class scores averaged over windows"
            )
        return f"{self.network.name} dense: {self.neck.name} over all of the larger map"

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Class scores averaged over positions: float32 [b, h, w, c] -> float32 [b, classes]."""
        scores = self._forward(ops.convert_to_tensor(images))
        return np.asarray(ops.convert_to_numpy(scores), np.float32)

    def macs(self, height: int, width: int) -> int:
        """Multiply-accumulates for one image of this size."""
        channels = self.network.inputs[0].shape[-1]
        image = keras.Input((height, width, channels))
        own = models.profile(self.network).layers
        last = [layer.macs for layer in own if len(layer.output_shape) == 1]
        positions = 1

        def until_neck(layer: Any, arguments: Any, keywords: Any) -> Any:
            nonlocal positions
            if layer is self.neck and isinstance(layer, keras.layers.Flatten):
                sides = zip(arguments[0].shape[1:3], self.window, strict=True)
                positions = int(np.prod([side - window + 1 for side, window in sides]))
                # one window stands for all
                arguments = (arguments[0][:, : self.window[0], : self.window[1], :],)
            return layer(*arguments, **keywords)

        [scores] = layerwise.forward(self.network, [image], until_neck)
        larger = models.profile(keras.Model(image, scores)).layers
        return sum(x.macs for x in larger if len(x.output_shape) == 3) + positions * sum(last)

    def _forward(self, images: Any) -> Any:
        count = images.shape[0]
        [scores] = layerwise.forward(self.network, [images], self._apply)
        return ops.mean(ops.reshape(scores, (count, -1, scores.shape[-1])), axis=1)

    def _apply(self, layer: Any, arguments: Any, keywords: Any) -> Any:
        if layer is self.neck and isinstance(layer, keras.layers.Flatten):
            return windows(arguments[0], *self.window)
        if isinstance(layer, keras.layers.Conv2D) and layer.groups > 1:
            return grouped(layer, arguments[0])
        return layer(*arguments, **keywords)


def grouped(layer: Any, x: Any) -> Any:
    """A convolution in groups, one after another: Keras compiles it anew for every image size."""
    kernel = ops.cast(layer.kernel, layer.compute_dtype)
    maps = zip(
        ops.split(ops.cast(x, layer.compute_dtype), layer.groups, axis=-1),
        ops.split(kernel, layer.groups, axis=-1),
        strict=True,
    )
    made = ops.concatenate(
        [
            ops.conv(
                part,
                weights,
                layer.strides,
                padding=layer.padding,
                dilation_rate=layer.dilation_rate,
            )
            for part, weights in maps
        ],
        axis=-1,
    )
    if layer.use_bias:
        made = made + ops.cast(layer.bias, layer.compute_dtype)
    return layer.activation(made) if layer.activation is not None else made


def windows(maps: Any, height: int, width: int) -> Any:
    """Every window of maps [b, h, w, c], flattened: [b * positions, height * width * c].

    Positions of an image stand together, so that each is an example of its own to what follows.
    """
    rows, columns = maps.shape[1] - height + 1, maps.shape[2] - width + 1
    cells = [maps[:, y : y + rows, x : x + columns, :] for y in range(height) for x in range(width)]
    flat = height * width * maps.shape[-1]
    return ops.reshape(ops.concatenate(cells, axis=-1), (maps.shape[0] * rows * columns, flat))


def _steps(network: keras.Model) -> list[Any]:
    try:
        return layerwise.steps(network)
    except (AttributeError, TypeError):
        raise BadInput(
            f"evaluate.protocol: dense needs a functional model. Received: {network.name}, a "
            f"{type(network).__name__}; use multi_scale"
        ) from None


def _rank(node: Any) -> int:
    return len(node.input_tensors[0].shape)


def _is_spatial(operation: Any) -> bool:
    return isinstance(operation, SPATIAL) or hasattr(operation, "kernel_size")
