"""Layers of LeNet-5 as published: maps linked by a table, trained subsampling, RBF output.

LeCun, Bottou, Bengio, Haffner 1998, section II.B.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from models.layers.pooling import pair

# 7 x 12 pixels, stylised as in Figure 3 of the paper: alike characters have alike codes.
DIGITS = """
..###.. ...##.. .#####. .#####. .....## ####### ..####. ####### .#####. .#####.
.##.##. ..###.. ##...## ##...## ....### ##..... .##.... ##...## ##...## ##...##
##...## .####.. ##...## .....## ...#### ##..... ##..... .....## ##...## ##...##
##...## ...##.. .....## .....## ..##.## ##..... ##..... ....##. ##...## ##...##
##...## ...##.. .....## .....## .##..## ##..... ##..... ....##. .##.##. ##...##
##...## ...##.. ....##. ..####. ##...## ######. ######. ...##.. ..###.. .######
##...## ...##.. ...##.. .....## ####### .....## ##...## ...##.. .##.##. .....##
##...## ...##.. ..##... .....## .....## .....## ##...## ..##... ##...## .....##
##...## ...##.. .##.... .....## .....## .....## ##...## ..##... ##...## .....##
.##.##. ...##.. ##..... ##...## .....## ##...## ##...## ..##... ##...## ....##.
..###.. .###### ####### .#####. .....## .#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
"""
CODE_SHAPE = (12, 7)
CODE_SEED = 1998


def digit_codes() -> np.ndarray:
    """The ten bitmaps as rows of +1 (ink) and -1, float32 (10, 84)."""
    rows = [line.split() for line in DIGITS.split("\n") if line]
    pixels = np.array([[list(row[digit]) for row in rows] for digit in range(10)])
    return np.where(pixels == "#", 1.0, -1.0).reshape(10, -1).astype("float32")


@keras.saving.register_keras_serializable(package="ilsvrc")
class Codes(keras.initializers.Initializer):
    """Codes of +-1, (classes, units): the ten digits for (10, 84), else random but always the same.

    The first rows of a longer table are not those of a shorter one.
    """

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        if tuple(shape) == (10, CODE_SHAPE[0] * CODE_SHAPE[1]):
            codes = digit_codes()
        else:
            codes = np.random.default_rng((CODE_SEED, *shape)).choice([-1.0, 1.0], tuple(shape))
        return ops.convert_to_tensor(codes, dtype=dtype or "float32")


@keras.saving.register_keras_serializable(package="ilsvrc")
class RadialBasisOutput(keras.layers.Layer):
    """Minus the squared distances to the classes' codes: (batch, units) -> (batch, classes).

    Equation 7: y_i = sum over j of (x_j - w_ij)^2, here with its sign turned, so that the largest
    output is the answer. The codes w are fixed weights; computed in float32 under every policy.
    """

    fixed_weights = ("codes",)

    def __init__(self, classes: int, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.classes = classes
        self.codes_initializer = Codes()

    def build(self, input_shape: Any) -> None:
        self.codes = self.add_weight(
            name="codes",
            shape=(self.classes, input_shape[-1]),
            initializer=self.codes_initializer,
            trainable=False,
        )

    def call(self, inputs: Any) -> Any:
        # Not |x|^2 - 2 x.w + |w|^2, which a matrix unit would round to ten bits or fewer.
        return -ops.sum(ops.square(ops.expand_dims(inputs, 1) - self.codes), axis=-1)

    def count_macs(self, input_shape: Any, output_shape: Any) -> int:
        """One a connection, as in a dense layer of the same size."""
        return self.classes * input_shape[-1]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.classes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable(package="ilsvrc")
class Subsampling2D(keras.layers.Layer):
    """coefficient * (sum over a window) + bias, one of each a map; windows side by side.

    (batch, h, w, c) -> (batch, h // pool_size, w // pool_size, c). The squashing function that
    follows in the paper is a layer of its own. Coefficients are drawn as LeNet-5's other weights:
    uniform on +-2.4 / fan_in, with the window's positions as fan_in.
    """

    def __init__(self, pool_size: int | tuple[int, int] = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_size = self.strides = pair("pool_size", pool_size)
        self.cells = self.pool_size[0] * self.pool_size[1]
        limit = 2.4 / self.cells
        self.coefficient_initializer = keras.initializers.RandomUniform(-limit, limit)
        self.bias_initializer = keras.initializers.Zeros()

    def build(self, input_shape: Any) -> None:
        for name in ("coefficient", "bias"):
            initializer = getattr(self, f"{name}_initializer")
            shape = (input_shape[-1],)
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=initializer))

    def call(self, inputs: Any) -> Any:
        mean = ops.average_pool(inputs, self.pool_size, self.strides, padding="valid")
        return mean * (self.cells * self.coefficient) + self.bias

    def count_macs(self, input_shape: Any, output_shape: Any) -> int:
        """One product with the coefficient a position; the sum, like any pooling, counts none."""
        height, width, channels = output_shape
        return height * width * channels

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, *sides, channels = input_shape
        pooled = [None if n is None else n // k for n, k in zip(sides, self.pool_size, strict=True)]
        if 0 in pooled:
            raise ValueError(
                f"images are too small to pool by {self.pool_size}. Received shape: {input_shape}"
            )
        return (batch, *pooled, channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool_size": self.pool_size}


class _Links:
    """Which input maps each output map sees, and where its kernels lie in the two layouts.

    Linked: (h, w, links), the kernels of output map 0, then of 1, ...
    Dense: (h, w, inputs, outputs), zero where there is no link.
    """

    def __init__(self, table: Sequence[Sequence[int]]) -> None:
        self.table = [list(row) for row in table]
        if not self.table or any(not row or len(set(row)) < len(row) for row in self.table):
            raise ValueError(
                "links must be, for each output map, a list of distinct input maps. "
                f"Received: {table!r}"
            )
        self.count = sum(map(len, self.table))
        self.inputs = 1 + max(max(row) for row in self.table)
        # Position of each dense kernel among the linked ones; one past the end where there is none.
        self._linked = np.full((self.inputs, len(self.table)), self.count)
        pairs = [(i, output) for output, row in enumerate(self.table) for i in row]
        for position, link in enumerate(pairs):
            self._linked[link] = position
        self._dense = np.array([i * len(self.table) + output for i, output in pairs])

    def to_dense(self, kernel: Any) -> Any:
        """Linked -> dense. Gathers: a product with ones would round on a matrix unit."""
        none = ops.zeros_like(kernel[..., :1])
        kernels = ops.concatenate([kernel, none], axis=-1)
        dense = ops.take(kernels, self._linked.ravel(), axis=-1)
        return ops.reshape(dense, (*kernel.shape[:-1], *self._linked.shape))

    def to_linked(self, kernel: Any) -> Any:
        """Dense -> linked."""
        flat = ops.reshape(kernel, (*kernel.shape[:-2], self._linked.size))
        return ops.take(flat, self._dense, axis=-1)


class _LinkedDraw(keras.initializers.Initializer):
    """Draws each output map's kernels as those of a unit with that many inputs."""

    def __init__(self, initializer: Any, links: _Links) -> None:
        self.initializer, self.links = initializer, links

    @property
    def seed(self) -> Any:
        """That of the initializer, None if it has none."""
        return getattr(self.initializer, "seed", None)

    @seed.setter
    def seed(self, value: Any) -> None:
        if hasattr(self.initializer, "seed"):
            self.initializer.seed = value

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        fan_out = round(self.links.count / self.links.inputs)  # output maps that see an input map
        kernels = []
        for output, row in enumerate(self.links.table):
            draw = copy.copy(self.initializer)
            if isinstance(self.seed, int):  # or maps with equally many inputs would be equal
                draw.seed = (self.seed + 1_000_003 * output) % 2**31
            kernels.append(draw((*shape[:-1], len(row), fan_out), dtype=dtype)[..., 0])
        return ops.concatenate(kernels, axis=-1)


class _LinkedConstraint(keras.constraints.Constraint):
    """A constraint on dense kernels, applied to linked ones."""

    def __init__(self, constraint: Any, links: _Links) -> None:
        self.constraint, self.links = constraint, links

    def __call__(self, w: Any) -> Any:
        return self.links.to_linked(self.constraint(self.links.to_dense(w)))


@keras.saving.register_keras_serializable(package="ilsvrc")
class PartialConv2D(keras.layers.Conv2D):
    """Convolution in which each output map sees only some input maps (the paper's Table I).

    `links` lists, for each of the `filters` output maps, the input maps it sees. The kernel has one
    (h, w) slice a link, (h, w, links), so absent links are no parameters and stay absent; they cost
    no MACs by the paper's count, although the device multiplies by their zeros. Initializers and
    constraints are those of an ordinary kernel, with fan_in counting live links.
    """

    kernel_initializer: Any
    kernel_constraint: Any

    def __init__(
        self, filters: int, kernel_size: Any, links: Sequence[Sequence[int]], **kwargs: Any
    ) -> None:
        super().__init__(filters, kernel_size, **kwargs)
        self.links = _Links(links)
        if len(self.links.table) != filters or self.groups != 1:
            raise ValueError(
                "links must have one row for each filter, in one group. "
                f"Received: {len(self.links.table)} rows, filters={filters}, groups={self.groups}"
            )
        # Under these names the layer finds, and the trainer draws, the linked kernel.
        self.kernel_initializer = _LinkedDraw(self.kernel_initializer, self.links)
        if self.kernel_constraint is not None:
            self.kernel_constraint = _LinkedConstraint(self.kernel_constraint, self.links)

    def build(self, input_shape: Any) -> None:
        if input_shape[-1] != self.links.inputs:
            raise ValueError(
                f"links are between {self.links.inputs} input maps and {self.filters}. "
                f"Received shape: {input_shape}"
            )
        self._kernel = self.add_weight(  # Conv2D's own attribute behind `kernel`
            name="kernel",
            shape=(*self.kernel_size, self.links.count),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.filters,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, self.links.to_dense(kernel))

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "links": self.links.table}
        serialize = keras.saving.serialize_keras_object
        config["kernel_initializer"] = serialize(self.kernel_initializer.initializer)
        if self.kernel_constraint is not None:
            config["kernel_constraint"] = serialize(self.kernel_constraint.constraint)
        return config
