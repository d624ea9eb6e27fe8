"""What one image costs a network, layer by layer, read from the built graph.

Conventions: a MAC is one multiply-accumulate of a convolution or dense layer (half of what others
call FLOPs); biases, normalisation, pooling, interpolation and activations count none. Every weight
of a kernel works once a position of the output, or of the input where the convolution is
transposed. Bytes are float32.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import keras

from models.receptive_field import TRANSPOSED, Field, Shape, field_after, sides, widest

FLOAT32_BYTES = 4


@dataclass(frozen=True)
class LayerProfile:
    """One application of one layer to one image.

    `receptive_field` is the side in pixels of the input window that one output position sees, and
    `jump` the pixels between neighbouring positions: r += (k - 1) * j, then j *= stride, the larger
    of two branches and of height and width. Padding counts, so it may exceed the image. A layer
    that gathers all positions (flatten, global pooling) has k = the side of its input. One that
    enlarges by `stride` has k = the most input positions that one of its outputs sees, and then
    j /= stride: ceil(kernel / stride) of a transposed convolution, 1 of an upsampling that repeats,
    2 of a bilinear one. Behind two of them it is a bound: their widest outputs need not coincide.
    `kernel_params` are those of convolution and dense kernels: no biases, no normalisation.
    """

    name: str
    kind: str
    output_shape: Shape
    params: int
    kernel_params: int
    macs: int
    activation_bytes: int
    receptive_field: int
    jump: int


@dataclass(frozen=True)
class Profile:
    """Totals for one image, and the layers in order of computation.

    `params` counts what training moves, also where it is frozen for now; `params_total` adds moving
    statistics and other fixed weights. `activation_bytes` sums what the layers hand on, the input
    included, as the lectures' tables do: what a backward pass needs, not the peak of inference.
    None for flattening and reshaping, for dropout as at inference, and for padding, which papers
    count as part of the convolution.
    """

    params: int
    params_total: int
    macs: int
    activation_bytes: int
    layers: list[LayerProfile]


def profile(model: keras.Model) -> Profile:
    """Counts of a functional or sequential model with a fixed input shape; nested models expanded.

    Raises ValueError for a model without a graph, an open side, or a layer without a MAC rule.
    """
    rows = list(_Walk().rows(model, prefix="", fields=None))
    seen = {id(weight): weight for weight in model.weights}
    return Profile(
        params=sum(row.params for row in rows),
        params_total=sum(math.prod(weight.shape) for weight in seen.values()),
        macs=sum(row.macs for row in rows),
        activation_bytes=sum(row.activation_bytes for row in rows),
        layers=rows,
    )


class _Walk:
    """One pass over a graph; remembers the weights it has counted, for layers applied twice."""

    def __init__(self) -> None:
        self._counted: set[int] = set()

    def rows(
        self, model: keras.Model, prefix: str, fields: list[Field] | None
    ) -> Generator[LayerProfile, None, list[Field]]:
        """Yields the layers of `model` in order, returns the fields of its outputs.

        `fields` are those of its inputs if it is nested, else None.
        """
        known = self._fields_of_inputs(model, fields)
        for node in nodes_in_order(model):
            operation = node.operation
            name = prefix + operation.name
            if node.is_input and fields is not None:
                continue  # the outer model has counted it
            if isinstance(operation, keras.Model):
                inner = [known[id(tensor)] for tensor in node.input_tensors]
                ends = yield from self.rows(operation, f"{name}/", inner)
                for tensor, field in zip(node.outputs, ends, strict=True):
                    known[id(tensor)] = field
                continue
            inputs = [_shape(t, name) for t in node.input_tensors]
            outputs = [_shape(t, name) for t in node.outputs]
            if not node.is_input:
                before = widest([known[id(t)] for t in node.input_tensors])
                for tensor, shape in zip(node.outputs, outputs, strict=True):
                    known[id(tensor)] = field_after(operation, before, inputs[0], shape)
            field = widest([known[id(t)] for t in node.outputs])
            params, kernel_params = self._params(operation)
            yield LayerProfile(
                name=name,
                kind=type(operation).__name__,
                output_shape=outputs[0],
                params=params,
                kernel_params=kernel_params,
                macs=0 if node.is_input else _macs(operation, name, inputs[0], outputs[0]),
                activation_bytes=_activation_bytes(operation, outputs),
                receptive_field=max(size for size, _ in field),
                jump=max(jump for _, jump in field),
            )
        return [known[id(tensor)] for tensor in model.outputs]

    def _fields_of_inputs(self, model: keras.Model, fields: list[Field] | None) -> dict[int, Field]:
        inputs = getattr(model, "inputs", None)
        if not inputs:
            raise ValueError(
                f"profile needs a functional model, or a sequential one with an Input. "
                f"Received: {type(model).__name__} {model.name!r}"
            )
        if fields is None:
            fields = [((1, 1),) * max(1, len(tensor.shape) - 2) for tensor in inputs]
        return {id(tensor): field for tensor, field in zip(inputs, fields, strict=True)}

    def _params(self, operation: Any) -> tuple[int, int]:
        """Weights that training moves, and of those the kernels' own.

        By what they are: freezing a layer does not change them.
        """
        fixed = {"moving_mean", "moving_variance", *getattr(operation, "fixed_weights", ())}
        total = kernels = 0
        for weight in getattr(operation, "weights", ()):
            made_fixed = operation.trainable and not weight.trainable
            if id(weight) in self._counted or weight.name in fixed or made_fixed:
                continue
            self._counted.add(id(weight))
            size = math.prod(weight.shape)
            total += size
            kernels += size if is_kernel(weight) else 0
        return total, kernels


def is_kernel(weight: Any) -> bool:
    """Is it what a convolution or dense layer multiplies its input by?

    Also the depthwise_kernel and pointwise_kernel of separable ones. Biases, scales and offsets of
    normalisation, slopes of activations and coefficients of pooling are none, whatever their shape:
    a PReLU of maps has slopes of shape (1, 1, channels).
    """
    return str(weight.name).endswith("kernel")


def nodes_in_order(model: keras.Model) -> list[Any]:
    """The applications of layers that `model` is made of, inputs first.

    Follows its tensors back, because a layer also remembers its applications in other models.
    """
    order: list[Any] = []
    done: set[int] = set()
    # A node comes off the stack twice: to add its inputs above it, then when those are in order.
    stack = [(_producer(tensor), False) for tensor in reversed(model.outputs)]
    while stack:
        node, inputs_done = stack.pop()
        if id(node) in done:
            continue
        if inputs_done:
            done.add(id(node))
            order.append(node)
            continue
        stack.append((node, True))
        stack.extend((_producer(tensor), False) for tensor in reversed(node.input_tensors))
    return order


def _producer(tensor: Any) -> Any:
    operation, node_index, _ = tensor._keras_history
    return operation._inbound_nodes[node_index]


def _shape(tensor: Any, name: str) -> Shape:
    """The shape without the batch."""
    shape = tuple(tensor.shape[1:])
    if None in shape:
        raise ValueError(f"profile needs a fixed input shape. Received: {shape} at layer {name!r}")
    return shape


_UNCOUNTED = (
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Dropout,
    keras.layers.ZeroPadding2D,
)


def _activation_bytes(operation: Any, outputs: list[Shape]) -> int:
    if isinstance(operation, _UNCOUNTED):
        return 0
    return FLOAT32_BYTES * sum(math.prod(shape) for shape in outputs)


_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_ELEMENTWISE = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.PReLU,
)
_PRODUCTS = {"Conv", "ConvTranspose", "DepthwiseConv", "SeparableConv"} | {
    "Attention", "Dot", "Einsum", "Inner", "Matmul", "Outer", "Tensordot", "Vdot",
}  # fmt: skip


def _macs(operation: Any, name: str, before: Shape, after: Shape) -> int:
    """Multiply-accumulates of one application."""
    if isinstance(operation, keras.layers.Dense):
        return math.prod(operation.kernel.shape) * math.prod(after[:-1])
    if isinstance(operation, _CONVOLUTIONS):
        return math.prod(operation.kernel.shape) * _positions(operation, after)
    if isinstance(operation, TRANSPOSED):  # also those that fall off a cropped edge
        return math.prod(operation.kernel.shape) * _positions(operation, before)
    if isinstance(operation, _SEPARABLE):
        kernels = (operation.depthwise_kernel, operation.pointwise_kernel)
        return sum(math.prod(k.shape) for k in kernels) * _positions(operation, after)
    if hasattr(operation, "count_macs"):  # our layers that multiply matrices
        return operation.count_macs(before, after)
    matrices = any(len(w.shape) > 1 for w in getattr(operation, "weights", ()))
    multiplies = matrices and not isinstance(operation, _ELEMENTWISE)
    if multiplies or type(operation).__name__ in _PRODUCTS:
        raise ValueError(
            f"profile has no MAC rule for {type(operation).__name__} (layer {name!r}); give the "
            "layer a method count_macs(input_shape, output_shape), or add a rule in models/cost.py"
        )
    return 0


def _positions(operation: Any, shape: Shape) -> int:
    return math.prod(sides(operation, shape))
