"""The window of the image that one position of a layer's output sees."""

from __future__ import annotations

from typing import Any

import keras

Shape = tuple[int, ...]
Field = tuple[tuple[int, int], ...]
"""(receptive field, jump) along each spatial axis."""

TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_UPSAMPLING = (
    keras.layers.UpSampling1D,
    keras.layers.UpSampling2D,
    keras.layers.UpSampling3D,
)


def sides(operation: Any, shape: Shape) -> Shape:
    """Height and width (or length, or three sides) of a shape without batch."""
    first = getattr(operation, "data_format", None) == "channels_first"
    return shape[1:] if first else shape[:-1]


def widest(fields: list[Field]) -> Field:
    """The larger of all branches, axis by axis."""
    axes = max(len(field) for field in fields)
    full = [field if len(field) == axes else field[:1] * axes for field in fields]
    return tuple(
        (max(size for size, _ in axis), max(jump for _, jump in axis))
        for axis in zip(*full, strict=True)
    )


def field_after(operation: Any, field: Field, before: Shape, after: Shape) -> Field:
    """The field of a layer's output, from that of its input and the shapes of both.

    Raises ValueError for maps finer than the image, or resized by no whole number.
    """
    axes = len(field)
    gathers = len(before) == axes + 1 and (
        len(after) == 1 or type(operation).__name__.startswith("Global")
    )
    if gathers:
        all_of = sides(operation, before)
        return tuple((r + (n - 1) * j, j) for (r, j), n in zip(field, all_of, strict=True))
    if isinstance(operation, (*TRANSPOSED, *_UPSAMPLING)):
        return _enlarged(operation, field)
    if isinstance(operation, keras.layers.Resizing):
        raise ValueError(
            "profile has no receptive field for maps resized by any ratio. "
            f"Received: Resizing (layer {operation.name!r})"
        )
    window = getattr(operation, "kernel_size", None) or getattr(operation, "pool_size", 1)
    windows = _each_axis(window, axes)
    strides = _each_axis(getattr(operation, "strides", 1), axes)
    dilations = _each_axis(getattr(operation, "dilation_rate", 1), axes)
    return tuple(
        (r + (k - 1) * d * j, j * s)
        for (r, j), k, s, d in zip(field, windows, strides, dilations, strict=True)
    )


def _enlarged(operation: Any, field: Field) -> Field:
    """Where one position becomes several: how many of the input one of them sees at most."""
    axes = len(field)
    if isinstance(operation, TRANSPOSED):
        factors = _each_axis(operation.strides, axes)
        spans = [  # strides and dilations above 1 exclude each other
            -(-((k - 1) * d + 1) // s)
            for k, d, s in zip(
                _each_axis(operation.kernel_size, axes),
                _each_axis(operation.dilation_rate, axes),
                factors,
                strict=True,
            )
        ]
    else:
        factors = _each_axis(operation.size, axes)
        method = getattr(operation, "interpolation", "nearest")
        if method not in ("nearest", "bilinear"):
            raise ValueError(
                "profile has a receptive field for upsampling that repeats or is bilinear. "
                f"Received: interpolation={method!r} (layer {operation.name!r})"
            )
        spans = [1 if method == "nearest" or s == 1 else 2 for s in factors]
    if any(jump % s for (_, jump), s in zip(field, factors, strict=True)):
        raise ValueError(
            "profile follows maps whose positions are whole pixels apart. "
            f"Received: {type(operation).__name__} (layer {operation.name!r}), which enlarges "
            f"positions {max(jump for _, jump in field)} apart by {max(factors)}"
        )
    return tuple(
        (r + (k - 1) * j, j // s) for (r, j), k, s in zip(field, spans, factors, strict=True)
    )


def _each_axis(value: Any, axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)
