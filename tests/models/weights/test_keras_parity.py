"""Our networks against those of keras.applications, with the same weights.

Gammas, betas and moving statistics are drawn, too: as made they are ones and zeros, and neither a
wrong epsilon nor a mean on the wrong layer would show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import models
from models.errors import WeightsUnavailable
from models.weights.keras_applications import (
    COUNTERPARTS,
    copy_from_keras_applications,
    load_imagenet,
)

# The smallest sides Keras takes, and a second, oblong one of odd sides.
SHAPES = {"residual": ((32, 32, 3), (49, 67, 3)), "inception": ((75, 75, 3), (91, 107, 3))}

# An even side and an odd one: "same" pads them differently.
MIXED = {"residual": (40, 49, 3), "inception": (76, 83, 3)}

QUICK = ("resnet50", "resnet50_v2", "vgg16", "inception_v3", "inception_resnet_v2")
TOLERANCE = 1e-4
CLASSES = 10


def _reference(
    name: str, shape: tuple[int, int, int], classes: int = CLASSES, **arguments: Any
) -> keras.Model:
    make = getattr(keras.applications, COUNTERPARTS[name].constructor)
    return make(
        weights=None, input_shape=shape, classes=classes, classifier_activation=None, **arguments
    )


def _draw(reference: keras.Model) -> None:
    """Every weight anew, so that images keep their share in outputs that stay finite.

    As Keras makes them, deep kernels shrink the signal until the last layers see biases alone.
    """
    rng = np.random.default_rng(1)
    for layer in reference.layers:
        for weight in layer.weights:
            shape = weight.shape
            if weight.name == "kernel":
                scale = np.float32(np.sqrt(2.0 / np.prod(shape[:-1])))
                weight.assign(scale * rng.standard_normal(shape, dtype="float32"))
            elif weight.name in ("gamma", "moving_variance"):
                weight.assign(rng.uniform(0.5, 1.5, shape))
            else:  # bias, beta, moving_mean
                weight.assign(rng.normal(0.0, 0.1, shape))


def _logits(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(images, training=False))


def _images(shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(2, *shape)).astype("float32")


def _cases() -> list[Any]:
    """One size for a network of each kind; every counterpart at two in a full run."""
    cases = []
    for name in COUNTERPARTS:
        kind = "inception" if name.startswith("inception") else "residual"
        quick = [(MIXED[kind], ())] if name in QUICK else []
        for shape, marks in [*quick, *((shape, pytest.mark.full) for shape in SHAPES[kind])]:
            size = f"{shape[0]}x{shape[1]}"
            cases.append(pytest.param(name, shape, id=f"{name}-{size}", marks=marks))
    return cases


@pytest.mark.parametrize(("name", "shape"), _cases())
def test_same_logits(name: str, shape: tuple[int, int, int]) -> None:
    keras.layers.Conv2D(1, 1)  # Keras's numbers of layers without a name start at any place
    keras.layers.BatchNormalization()
    reference = _reference(name, shape)
    _draw(reference)
    model = models.build(name, input_shape=shape, classes=CLASSES)
    images = _images(shape)

    copy_from_keras_applications(reference, model)

    expected = _logits(reference, images)
    error = np.abs(_logits(model, images) - expected).max() / np.abs(expected).max()
    print(f"{name} {shape} {error:.1e}")
    assert np.isfinite(expected).all()
    assert np.abs(expected[0] - expected[1]).max() > 100 * TOLERANCE * np.abs(expected).max()
    assert error < TOLERANCE


@pytest.fixture(scope="module")
def resnet50() -> keras.Model:
    reference = _reference("resnet50", (32, 32, 3))
    _draw(reference)
    return reference


def test_every_weight_of_the_zoo_is_set(resnet50: keras.Model) -> None:
    model = models.build("resnet50", input_shape=(32, 32, 3), classes=CLASSES)
    for weight in model.weights:
        weight.assign(np.full(weight.shape, np.nan))

    copy_from_keras_applications(resnet50, model)

    assert all(np.isfinite(keras.ops.convert_to_numpy(w)).all() for w in model.weights)


def test_other_image_size_than_the_reference(resnet50: keras.Model) -> None:
    model = models.build("resnet50", input_shape=(45, 40, 3), classes=CLASSES)
    images = _images((45, 40, 3))

    copy_from_keras_applications(resnet50, model)

    anysize = _reference("resnet50", (45, 40, 3))
    anysize.set_weights(resnet50.get_weights())
    np.testing.assert_allclose(_logits(model, images), _logits(anysize, images), rtol=1e-4)


def test_stride_in_the_3x3_computes_something_else(resnet50: keras.Model) -> None:
    """v1 and v1.5 have equal weights, so that only outputs tell them apart."""
    ours = models.build("resnet50", input_shape=(32, 32, 3), classes=CLASSES)
    other = models.build("resnet50_v1_5", input_shape=(32, 32, 3), classes=CLASSES)
    copy_from_keras_applications(resnet50, ours)
    other.set_weights(ours.get_weights())
    images = _images((32, 32, 3))

    expected = _logits(resnet50, images)

    assert np.abs(_logits(other, images) - expected).max() / np.abs(expected).max() > 1e-2


def test_epsilon_of_the_reference_is_kept(resnet50: keras.Model) -> None:
    """Keras's 1.001e-5 shows where variances are small; ours is 1e-5."""
    model = models.build("resnet50", input_shape=(32, 32, 3), classes=CLASSES)
    theirs, ours = resnet50.get_layer("conv1_bn"), model.get_layer("conv1_bn")
    drawn = keras.ops.convert_to_numpy(theirs.moving_variance)
    theirs.moving_variance.assign(np.zeros_like(drawn))

    copy_from_keras_applications(resnet50, model)

    theirs.moving_variance.assign(drawn)
    total = keras.ops.convert_to_numpy(ours.moving_variance) + np.float32(ours.epsilon)
    np.testing.assert_allclose(total, np.float32(1.001e-5), rtol=1e-6)


def test_reference_without_a_top_leaves_ours_as_drawn(resnet50: keras.Model) -> None:
    headless = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), include_top=False)
    model = models.build("resnet50", input_shape=(32, 32, 3), classes=7)
    drawn = keras.ops.convert_to_numpy(model.get_layer("fc").kernel)

    copy_from_keras_applications(headless, model)

    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model.get_layer("fc").kernel), drawn)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(model.get_layer("conv5_block3_3_conv").kernel),
        keras.ops.convert_to_numpy(headless.get_layer("conv5_block3_3_conv").kernel),
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet101", {}, "resnet101 takes .*keras.applications.ResNet101.*Received: resnet50"),
        ("resnet50_v2", {}, "resnet50_v2 takes .*ResNet50V2.*Received: resnet50"),
        ("vgg16", {}, "vgg16 takes .*VGG16.*Received: resnet50"),
        ("resnet50_v1_5", {}, "no counterpart of 'resnet50_v1_5'; those with one are .*resnet50"),
        ("resnet18", {}, "no counterpart of 'resnet18'"),
        ("resnet50", {"classes": 7}, "resnet50 has 7 classes and resnet50 10"),
        ("resnet50", {"width": 0.5}, r"conv1_conv is \(7, 7, 3, 32\).*\(7, 7, 3, 64\)"),
        ("resnet50", {"normalization": "group"}, "resnet50 has no conv1_norm"),
        ("resnet50", {"input_shape": (32, 32, 1)}, r"\(7, 7, 1, 64\).*\(7, 7, 3, 64\)"),
    ],
)
def test_pairs_that_do_not_belong_together(
    resnet50: keras.Model, name: str, options: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {"input_shape": (32, 32, 3), "classes": CLASSES, **options}
    model = models.outline(name, **arguments)

    with pytest.raises(ValueError, match=message) as caught:
        copy_from_keras_applications(resnet50, model)

    assert "\n" not in str(caught.value)


def test_nothing_is_copied_where_something_does_not_fit(resnet50: keras.Model) -> None:
    model = models.build("resnet50", input_shape=(32, 32, 3), classes=7)
    before = model.get_weights()

    with pytest.raises(ValueError, match="7 classes"):
        copy_from_keras_applications(resnet50, model)

    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_v2_in_the_papers_layout_takes_no_released_weights() -> None:
    reference = _reference("resnet50_v2", (32, 32, 3))
    model = models.outline("resnet50_v2", input_shape=(32, 32, 3), classes=CLASSES, layout="paper")

    with pytest.raises(ValueError, match="built with its default options"):
        copy_from_keras_applications(reference, model)


# ----------------------------------------------------------------------------- published weights


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Puts a stand-in for the constructor that fetches ResNet50's weights."""
    return lambda stand_in: monkeypatch.setattr(keras.applications, "ResNet50", stand_in)


def test_published_weights_are_copied(published: Callable[[Any], None]) -> None:
    made: list[keras.Model] = []
    constructor = keras.applications.ResNet50

    def fetching(*, weights: str, include_top: bool) -> keras.Model:
        assert weights == "imagenet"
        made.append(constructor(weights=None, include_top=include_top))
        _draw(made[-1])
        return made[-1]

    published(fetching)
    model = models.build("resnet50", input_shape=(32, 32, 3), classes=1000)
    small = models.build("resnet50", input_shape=(32, 32, 3), classes=3)

    load_imagenet(model)
    load_imagenet(small, top=False)

    for mine, theirs in zip((model, small), made, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(mine.get_layer("conv4_block2_2_conv").kernel),
            keras.ops.convert_to_numpy(theirs.get_layer("conv4_block2_2_conv").kernel),
        )
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(model.get_layer("fc").kernel),
        keras.ops.convert_to_numpy(made[0].get_layer("predictions").kernel),
    )


def test_offline_is_one_line_about_the_network(published: Callable[[Any], None]) -> None:
    def offline(**_: Any) -> keras.Model:
        raise Exception("URL fetch failure on https://example.org/resnet50.h5: None --\n no route")

    published(offline)
    model = models.build("resnet50", input_shape=(32, 32, 3), classes=1000)

    with pytest.raises(WeightsUnavailable, match=r"keras\.applications\.ResNet50.*no route") as e:
        load_imagenet(model)

    assert "\n" not in str(e.value)
    assert isinstance(e.value, OSError)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet18", {}, "no counterpart of 'resnet18'; those with one are vgg16, vgg19, "),
        ("resnet50", {"classes": 10}, "1000 classes. Received: resnet50 with 10; top=False"),
        ("resnet50", {"input_shape": (32, 32, 1)}, "3 channels. Received: 1"),
    ],
)
def test_nothing_is_fetched_for_what_cannot_be_used(
    published: Callable[[Any], None], name: str, options: dict[str, Any], message: str
) -> None:
    fetched: list[str] = []
    published(lambda **_: fetched.append("resnet50"))
    arguments: dict[str, Any] = {"input_shape": (32, 32, 3), "classes": 1000, **options}
    model = models.outline(name, **arguments)

    with pytest.raises(ValueError, match=message):
        load_imagenet(model)

    assert fetched == []
