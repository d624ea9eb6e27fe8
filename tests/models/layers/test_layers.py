"""Custom layers against plain NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from models.architectures.blocks import Blocks
from models.choices import PAPER
from models.layers.normalizations import LocalResponseNormalization, Normalise
from models.layers.pooling import Pooling2D
from models.layers.shortcut import ZeroPadShortcut


def _images(*shape: int, low: float = -3, high: float = 3) -> np.ndarray:
    return np.random.default_rng(1).uniform(low, high, shape).astype("float32")


def _apply(layer: Any, images: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(layer(images))


def _response_normalised(
    x: np.ndarray, radius: int, bias: float, alpha: float, beta: float
) -> np.ndarray:
    """The paper's formula, one channel at a time."""
    out = np.empty(x.shape)
    channels = x.shape[-1]
    for i in range(channels):
        window = x[..., max(0, i - radius) : min(channels - 1, i + radius) + 1].astype("float64")
        out[..., i] = x[..., i] / (bias + alpha * (window**2).sum(axis=-1)) ** beta
    return out


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
@pytest.mark.parametrize(
    "constants", [(2, 2.0, 1e-4, 0.75), (1, 1.0, 0.5, 0.5), (0, 1.0, 2.0, 1.0)]
)
def test_local_response_normalization(channels: int, constants: tuple[Any, ...]) -> None:
    images = _images(2, 3, 4, channels, low=-50, high=50)

    received = _apply(LocalResponseNormalization(*constants), images)

    np.testing.assert_allclose(received, _response_normalised(images, *constants), rtol=1e-5)


def test_local_response_normalization_defaults_are_the_papers() -> None:
    images = _images(1, 2, 2, 7, low=0, high=100)

    received = _apply(LocalResponseNormalization(), images)

    expected = _response_normalised(images, 2, 2.0, 1e-4, 0.75)
    np.testing.assert_allclose(received, expected, rtol=1e-5)


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_local_response_normalization_sums_in_full_precision(half: str) -> None:
    images = np.full((1, 1, 1, 5), 400.0, "float32")  # 400 ** 2 is more than float16 holds
    layer = LocalResponseNormalization(dtype=f"mixed_{half}")

    received = layer(images)

    assert keras.backend.standardize_dtype(received.dtype) == half
    expected = _response_normalised(images, 2, 2.0, 1e-4, 0.75)
    values = keras.ops.convert_to_numpy(keras.ops.cast(received, "float32"))
    np.testing.assert_allclose(values, expected, rtol=0.005)


@pytest.mark.parametrize("constants", [{"depth_radius": -1}, {"bias": 0.0}])
def test_local_response_normalization_refuses(constants: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"bias above 0\. Received"):
        LocalResponseNormalization(**constants)


def test_normalise_passes_images_on_until_it_has_statistics() -> None:
    images = _images(2, 4, 5, 3, low=0, high=255)

    np.testing.assert_array_equal(_apply(Normalise(), images), images)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_normalise(dtype: str) -> None:
    images = _images(2, 4, 5, 3, low=0, high=255).astype(dtype)
    layer = Normalise()
    layer.build(images.shape)
    layer.mean.assign([120.0, 110.0, 100.0])
    layer.scale.assign([60.0, 50.0, 40.0])

    received = _apply(layer, images)

    assert received.dtype == np.float32
    expected = (images.astype("float64") - [120, 110, 100]) / [60, 50, 40]
    np.testing.assert_allclose(received, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_normalise_computes_in_full_precision(dtype: str) -> None:
    """Cast before the subtraction, 124 - 123.68 would be 0.5 in bfloat16."""
    inputs = keras.Input((1, 1, 1), dtype=dtype)
    layer = Normalise(mean_initializer=keras.initializers.Constant(123.68), dtype="mixed_bfloat16")
    model = keras.Model(inputs, layer(inputs))

    received = model(np.full((1, 1, 1, 1), 124, dtype))

    assert keras.backend.standardize_dtype(received.dtype) == "bfloat16"
    assert float(keras.ops.cast(received, "float32")[0, 0, 0, 0]) == pytest.approx(0.32, rel=0.005)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_normalise_loses_no_bit_of_image_or_mean(policy: str) -> None:
    """In bfloat16, 200.3 and 199.9 would both be 200."""
    inputs = keras.Input((1, 1, 1), dtype="float32")
    layer = Normalise(mean_initializer=keras.initializers.Constant(199.9), dtype=policy)
    received = keras.Model(inputs, layer(inputs))(np.full((1, 1, 1, 1), 200.3, "float32"))
    assert float(keras.ops.cast(received, "float32")[0, 0, 0, 0]) == pytest.approx(0.4, rel=0.005)


def test_normalise_owns_fixed_weights_that_can_be_drawn_again() -> None:
    layer = Normalise(dtype="mixed_bfloat16")
    layer.build((None, 8, 8, 3))

    assert [weight.name for weight in layer.weights] == ["mean", "scale"]
    assert layer.trainable_weights == []
    assert isinstance(layer.mean_initializer, keras.initializers.Zeros)
    assert isinstance(layer.scale_initializer, keras.initializers.Ones)
    assert {weight.dtype for weight in layer.weights} == {"float32"}


@pytest.mark.parametrize("sides", [(8, 8), (7, 10), (1, 2)])
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_zero_pad_shortcut(sides: tuple[int, int], strides: int) -> None:
    images = _images(2, *sides, 3)
    layer = ZeroPadShortcut(5, strides)

    received = _apply(layer, images)

    kept = images[:, ::strides, ::strides]
    np.testing.assert_array_equal(received[..., :3], kept)
    np.testing.assert_array_equal(received[..., 3:], 0)
    assert received.shape == layer.compute_output_shape(images.shape)


def test_zero_pad_shortcut_cannot_drop_channels() -> None:
    with pytest.raises(ValueError, match=r"filters must be 3 or more\. Received: filters=2"):
        ZeroPadShortcut(2)(_images(1, 4, 4, 3))


@pytest.mark.parametrize("side", [8, 9])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_strided_block_keeps_the_positions_of_the_shortcut(side: int, kernel_size: int) -> None:
    """A kernel that is one at its centre picks the positions that the shortcut keeps."""
    images = _images(1, side, side, 1)
    inputs = keras.Input(images.shape[1:])
    model = keras.Model(
        inputs,
        Blocks(PAPER).conv(inputs, 1, kernel_size, strides=2, activate=False, name="block_conv"),
    )
    kernel = np.zeros((kernel_size, kernel_size, 1, 1))
    kernel[kernel_size // 2, kernel_size // 2] = 1
    model.get_layer("block_conv").kernel.assign(kernel)

    received = _apply(model, images)

    np.testing.assert_allclose(received, images[:, ::2, ::2], rtol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        LocalResponseNormalization(1, 1.5, 0.1, 0.6, name="layer"),
        Normalise(keras.initializers.Constant(7.0), keras.initializers.Constant(3.0), name="layer"),
        ZeroPadShortcut(6, (2, 1), name="layer"),
        Pooling2D((3, 2), (2, 1), "average", ceil=True, name="layer"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_save_and_load(layer: Any, tmp_path: Path) -> None:
    images = _images(2, 6, 7, 4)
    inputs = keras.Input(images.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "layer.keras")

    loaded = keras.saving.load_model(tmp_path / "layer.keras")

    assert keras.saving.get_registered_name(type(layer)) == f"ilsvrc>{type(layer).__name__}"
    assert loaded.get_layer("layer").get_config() == layer.get_config()
    np.testing.assert_array_equal(_apply(loaded, images), _apply(model, images))
