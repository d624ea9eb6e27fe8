"""How a network is run under a protocol: against averaging by hand, every image once."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from experiments.config import settings
from experiments.errors import BadInput, FailedWork
from experiments.inference.loading import Network
from experiments.inference.protocols import Predictor
from experiments.metrics import softmax
from models.layers.normalizations import Normalise
from pipelines import views
from pipelines.sources.open import open_source

SIZE = (16, 16)


def network(name="lenet5", **options):
    pixels = keras.Input((*SIZE, 3))
    normalise = Normalise()
    inner = models.build(name, input_shape=(*SIZE, 3), classes=7, **options)
    model = keras.Model(pixels, inner(normalise(pixels)), name=name)
    normalise.mean.assign([128.0] * 3)
    normalise.scale.assign([30.0] * 3)
    return model


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Five photographs of different shapes, read from files."""
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(1)
    for at, shape in enumerate([(40, 30), (20, 64), (33, 33), (18, 19), (70, 50)]):
        place = folder / ("a", "b")[at % 2]
        place.mkdir(exist_ok=True)
        pixels = tf.image.resize(random.integers(0, 256, (5, 5, 3)), shape).numpy()
        encoded = tf.io.encode_png(pixels.astype(np.uint8))
        (place / f"{at}.png").write_bytes(encoded.numpy())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return open_source(f"folder:{folder}", memory_limit_bytes=0)


def predictor(model, batch_size=12, columns=None, softmax=False, **evaluate):
    config = settings.parse({"data": {"eval_batch_size": batch_size}, "evaluate": evaluate})
    return Predictor(Network("network", model, softmax), config, 0.875, columns)


def scored(model, source, indices, **how):
    done: list[int] = []
    scores = predictor(model, **how).scores(source, np.asarray(indices), done.append)
    assert done == sorted(set(done))
    assert done[-1] == len(indices)
    return scores


def by_hand(model, source, index, protocol, columns=slice(None)):
    groups = protocol.views(source.images(tf.constant(index, tf.int64)))
    logits = np.concatenate([np.asarray(model(group)) for group in groups])
    return softmax(logits[:, columns].astype(np.float64)).astype(np.float64).mean(axis=0)


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("ten_crop", views.ten_crop(SIZE)),
        ("alexnet", views.alexnet(SIZE)),
        ("144_crop", views.googlenet(SIZE)),
        ("multi_scale", views.multi_scale(SIZE)),
    ],
)
def test_probabilities_are_averaged_over_the_crops_of_each_image(model, source, name, protocol):
    order = [3, 0]
    found = softmax(scored(model, source, order, protocol=name))
    expected = [by_hand(model, source, index, protocol) for index in order]
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-4


def test_one_view_gives_the_networks_own_logits(model, source):
    found = scored(model, source, [2, 1], batch_size=1)
    view = views.centre(SIZE, 0.875).views(source.images(tf.constant(2, tf.int64)))[0]
    np.testing.assert_allclose(found[0], np.asarray(model(view))[0], atol=1e-4)


def test_the_softmax_is_over_the_kept_columns_before_crops_are_averaged(model, source):
    columns = np.array([5, 2, 3])
    found = softmax(scored(model, source, [0, 1], columns=columns, protocol="ten_crop"))
    expected = [by_hand(model, source, i, views.ten_crop(SIZE), columns) for i in (0, 1)]
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_batches_do_not_change_the_result(model, source):
    large = scored(model, source, range(5), batch_size=64, protocol="ten_crop")
    small = scored(model, source, range(5), batch_size=3, protocol="ten_crop")
    np.testing.assert_allclose(large, small, atol=1e-5)


def test_dense_averages_the_softmax_of_scales_and_mirror_images(source):
    model = network("resnet20_cifar", width=0.25)
    sides = (256, 320)
    found = softmax(scored(model, source, [0, 1], protocol="dense", sides=sides))
    protocol = views.dense(SIZE, sides)
    dense = predictor(model, protocol="dense", sides=sides).dense
    groups = protocol.views(source.images(tf.constant(1, tf.int64)))
    logits = np.concatenate([dense.logits(np.asarray(group)) for group in groups])
    assert len(logits) == 4
    np.testing.assert_allclose(found[1], softmax(logits).mean(axis=0), atol=2e-6)


def test_the_cost_is_known_before_anything_runs(model):
    def passes(**evaluate):
        return predictor(model, **evaluate).passes

    assert passes() == 1
    assert passes(protocol="ten_crop") == 10
    assert passes(protocol="144_crop") == 144
    assert passes(protocol="multi_scale", sides=(256, 320)) == 20
    assert passes(protocol="dense", sides=(224,)) == pytest.approx(2)  # the image and its mirror's
    assert passes(protocol="dense", sides=(448,)) > 8
    assert passes(dropout_samples=5) == 1  # it has nothing to draw


def test_dropout_at_inference_is_averaged_and_costs_its_passes(source):
    model = network(dropout=0.5, monte_carlo=True)
    assert predictor(model, dropout_samples=4).passes == 4
    first = scored(model, source, [0, 1], dropout_samples=4)
    again = scored(model, source, [0, 1], dropout_samples=4)
    np.testing.assert_array_equal(first, again)  # drawn anew from the same seed
    assert np.abs(first - scored(model, source, [0, 1], dropout_samples=3)).max() > 1e-3


def test_probabilities_of_a_network_that_ends_in_a_softmax_are_taken_as_such(source):
    plain = network()
    pixels = keras.Input((*SIZE, 3))
    soft = keras.Model(pixels, keras.layers.Softmax()(plain(pixels)))
    scores = scored(soft, source, range(5), batch_size=8, softmax=True)
    expected = scored(plain, source, range(5), batch_size=8)
    np.testing.assert_allclose(softmax(scores), softmax(expected), atol=1e-6)


def test_scores_that_are_not_finite_fail(source):
    model = network()
    model.layers[-1].get_layer("output").bias.assign([float("nan")] * 7)
    with pytest.raises(FailedWork, match=r"not finite"):
        scored(model, source, [0])


@pytest.mark.parametrize(
    ("evaluate", "said"),
    [
        ({"sides": (256,)}, r"centre crop has none; set data\.crop_fraction"),
        ({"protocol": "ten_crop", "sides": (256, 320)}, r"ten_crop is of one side.*multi_scale"),
    ],
)
def test_sides_that_a_protocol_does_not_take_are_refused(model, evaluate, said):
    with pytest.raises(BadInput, match=said):
        predictor(model, **evaluate)
