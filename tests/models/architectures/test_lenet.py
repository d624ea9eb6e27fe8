"""LeNet-5 as published: the counts of section II.B, and each of its layers against plain NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import models
from experiments.optimization import losses
from experiments.training.weights import draw
from models.architectures.lenet import C3_LINKS
from models.errors import InvalidOption
from models.layers.initializers import fan_in_uniform
from models.layers.lenet import Codes, PartialConv2D, RadialBasisOutput, Subsampling2D, digit_codes

# Layer: output, trainable parameters, MACs (links of Table I; coefficients of S2 and S4 count).
TABLE = {
    "c1": ((28, 28, 6), 156, 117_600),
    "s2": ((14, 14, 6), 12, 1_176),
    "c3": ((10, 10, 16), 1_516, 150_000),
    "s4": ((5, 5, 16), 32, 400),
    "c5": ((1, 1, 120), 48_120, 48_000),
    "f6": ((84,), 10_164, 10_080),
    "output": ((10,), 0, 840),
}
RNG = np.random.default_rng(5)


def _build(shape: tuple[int, int, int] = (32, 32, 1), classes: int = 10, **options: Any) -> Any:
    return models.build("lenet5_1998", input_shape=shape, classes=classes, **options)


def _images(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=shape).astype("float32")


def test_counts_are_those_of_the_paper() -> None:
    cost = models.profile(_build())

    rows = {row.name: (row.output_shape, row.params, row.macs) for row in cost.layers}
    assert {name: rows[name] for name in TABLE} == TABLE
    assert (cost.params, cost.params_total, cost.macs) == (60_000, 60_840, 328_096)


def test_connections_are_those_of_the_paper() -> None:
    """Section II.B: 122,304, 5,880, 151,600, 2,000 and 48,120 connections of C1 to C5."""
    rows = {row.name: row for row in models.profile(_build()).layers}

    def with_bias(name: str, macs: int) -> int:
        return macs + int(np.prod(rows[name].output_shape))

    assert with_bias("c1", rows["c1"].macs) == 122_304
    assert with_bias("s2", 4 * rows["s2"].macs) == 5_880
    assert with_bias("c3", rows["c3"].macs) == 151_600
    assert with_bias("s4", 4 * rows["s4"].macs) == 2_000
    assert with_bias("c5", rows["c5"].macs) == 48_120


def test_table_one() -> None:
    """Six maps see 3 neighbours, six see 4 neighbours, three see 4 with a gap, one sees all."""
    assert [len(row) for row in C3_LINKS] == [3] * 6 + [4] * 9 + [6]
    seen = np.bincount([i for row in C3_LINKS for i in row])
    assert seen.tolist() == [10] * 6
    around = [tuple(sorted((k + i) % 6 for i in range(3))) for k in range(6)]
    assert list(C3_LINKS[:6]) == around
    around = [tuple(sorted((k + i) % 6 for i in range(4))) for k in range(6)]
    assert list(C3_LINKS[6:12]) == around
    gaps = [tuple(sorted((k + i) % 6 for i in (0, 1, 3, 4))) for k in range(3)]
    assert sorted(C3_LINKS[12:15]) == sorted(gaps)
    assert len(set(C3_LINKS)) == 16


def _dense_kernel(linked: np.ndarray) -> np.ndarray:
    """(h, w, links) -> (h, w, 6, 16), link by link."""
    dense = np.zeros((*linked.shape[:2], 6, 16), linked.dtype)
    position = 0
    for output, row in enumerate(C3_LINKS):
        for i in row:
            dense[:, :, i, output] = linked[:, :, position]
            position += 1
    return dense


def test_partial_convolution_is_a_full_one_with_zeros() -> None:
    images = _images(2, 9, 8, 6)
    partial = PartialConv2D(16, 5, C3_LINKS)
    partial(images)
    partial.bias.assign(RNG.normal(size=16))
    full = keras.layers.Conv2D(16, 5)
    full.build(images.shape)
    full.set_weights([_dense_kernel(np.array(partial.kernel)), np.array(partial.bias)])

    np.testing.assert_allclose(partial(images), full(images), rtol=1e-4, atol=1e-5)
    assert partial.kernel.shape == (5, 5, 60)


def test_absent_links_stay_absent_in_training() -> None:
    """A map of C3 does not move with a map of S2 that it does not see, after updates either."""
    images = keras.Input((9, 8, 6))
    layer = PartialConv2D(16, 5, C3_LINKS)
    model = keras.Model(images, layer(images))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    before = np.array(layer.kernel)
    model.fit(_images(8, 9, 8, 6), _images(8, 5, 4, 16), epochs=3, verbose=0)
    assert (np.array(layer.kernel) != before).all()  # every link learns

    base = _images(1, 9, 8, 6)
    for i in range(6):
        moved = base.copy()
        moved[..., i] += 1
        changes = np.abs(np.array(model(moved)) - np.array(model(base))).max(axis=(0, 1, 2))
        assert [bool(change > 0) for change in changes] == [i in row for row in C3_LINKS]


def test_initial_weights_are_uniform_within_their_own_fan_in() -> None:
    keras.utils.set_random_seed(1)
    model = _build()
    c3 = np.array(model.get_layer("c3").kernel)
    position = 0
    for row in C3_LINKS:
        kernels = c3[:, :, position : position + len(row)]
        position += len(row)
        limit = 2.4 / (25 * len(row))
        assert 0.9 * limit < np.abs(kernels).max() <= limit
        assert abs(kernels.std() - limit / 3**0.5) < 0.15 * limit
    firsts = {round(float(c3[0, 0, sum(map(len, C3_LINKS[:k]))]), 7) for k in range(6)}
    assert len(firsts) == 6  # maps of equal fan-in are drawn apart
    for name, limit in {"c1": 2.4 / 25, "c5": 2.4 / 400, "f6": 2.4 / 120}.items():
        assert 0.9 * limit < np.abs(np.array(model.get_layer(name).kernel)).max() <= limit
    for name in ("s2", "s4"):
        assert np.abs(np.array(model.get_layer(name).coefficient)).max() <= 0.6


def test_partial_kernels_take_any_initializer() -> None:
    for name, variance in {"he": 2 / 75, "lecun": 1 / 75, "glorot": 2 / (75 + 250)}.items():
        keras.utils.set_random_seed(2)
        kernel = np.array(_build(initializer=name).get_layer("c3").kernel)[:, :, :18]
        assert kernel.var() == pytest.approx(variance, rel=0.25)
    assert not np.array(_build(initializer="zeros").get_layer("c3").kernel).any()


def test_trainer_can_draw_every_weight_again() -> None:
    model = _build()
    for layer in model.layers:
        draw(layer, seed=3)
    once = model.get_weights()
    for layer in model.layers:
        draw(layer, seed=4)
    other = model.get_weights()
    for layer in model.layers:
        draw(layer, seed=3)

    names = [weight.path for weight in model.weights]
    for name, a, b, c in zip(names, once, model.get_weights(), other, strict=True):
        np.testing.assert_array_equal(a, b)
        drawn = "kernel" in name or "coefficient" in name
        assert drawn == (not np.array_equal(a, c)), name


def test_max_norm_bounds_the_weights_into_one_map() -> None:
    model = _build(max_norm=0.05)
    layer = model.get_layer("c3")
    layer.kernel.assign(RNG.normal(size=layer.kernel.shape))
    before = _dense_kernel(np.array(layer.kernel))

    after = _dense_kernel(np.array(layer.kernel_constraint(layer.kernel)))

    norms = np.sqrt((before**2).sum(axis=(0, 1, 2)))
    np.testing.assert_allclose(after, before * 0.05 / norms, rtol=1e-4)


@pytest.mark.parametrize("links", [[[0], [0, 0]], [[0], []]])
def test_partial_convolution_refuses_odd_tables(links: Any) -> None:
    with pytest.raises(ValueError, match="a list of distinct input maps"):
        PartialConv2D(len(links), 3, links)


def test_partial_convolution_refuses_other_sizes() -> None:
    with pytest.raises(ValueError, match=r"one row for each filter.*filters=3"):
        PartialConv2D(3, 3, [[0], [1]])
    with pytest.raises(ValueError, match="between 2 input maps and 2"):
        PartialConv2D(2, 3, [[0], [1]])(_images(1, 5, 5, 3))


def test_subsampling_scales_the_sum() -> None:
    images = _images(2, 5, 6, 3)
    layer = Subsampling2D(2)
    layer.build(images.shape)
    layer.coefficient.assign([1.0, -0.5, 2.0])
    layer.bias.assign([0.0, 1.0, -1.0])

    received = layer(images)

    blocks = images[:, :4].reshape(2, 2, 2, 3, 2, 3).sum(axis=(2, 4))
    expected = blocks * [1.0, -0.5, 2.0] + [0.0, 1.0, -1.0]
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)
    assert received.shape == layer.compute_output_shape(images.shape) == (2, 2, 3, 3)
    assert len(layer.trainable_weights) == 2


def test_squashing_follows_every_layer_up_to_f6() -> None:
    model = _build()
    squashed = [
        layer.name
        for layer in model.layers
        if getattr(getattr(layer, "activation", None), "__name__", "") == "scaled_tanh"
    ]
    assert squashed == ["c1", "s2_act", "c3", "s4_act", "c5", "f6"]


def test_digits_look_like_themselves_and_unlike_each_other() -> None:
    codes = digit_codes()

    assert codes.shape == (10, 84)
    assert set(codes.ravel()) == {-1.0, 1.0}
    different = (codes[:, None] != codes[None]).sum(axis=-1)[np.triu_indices(10, 1)]
    assert different.min() >= 8
    # Looks: the top bar of a 7, the hole of a 0, the ring of an 8 closed at its middle.
    pictures = codes.reshape(10, 12, 7)
    assert (pictures[7, 0] == 1).all()
    assert pictures[0, 5, 3] == -1
    assert pictures[8, 5, 3] == 1
    assert (pictures[:, 11] == -1).all()  # the last row is for descenders


@pytest.mark.parametrize("classes", [2, 9, 11, 1000])
def test_other_numbers_of_classes_have_random_codes_that_never_change(classes: int) -> None:
    codes = np.array(Codes()((classes, 84)))

    np.testing.assert_array_equal(codes, np.array(Codes()((classes, 84))))
    assert set(codes.ravel()) == {-1.0, 1.0}
    agreement = (codes @ codes.T)[np.triu_indices(classes, 1)]  # 84 if two were equal
    assert agreement.max() < 60
    assert abs(codes.mean()) < 0.25


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_output_is_minus_the_squared_distance_in_float32(policy: str) -> None:
    units = _images(3, 84)
    layer = RadialBasisOutput(10, dtype=policy)

    received = layer(units)

    expected = -((units[:, None].astype("float64") - digit_codes()) ** 2).sum(axis=-1)
    np.testing.assert_allclose(received, expected, rtol=1e-5)
    assert received.dtype == "float32"
    assert layer.trainable_weights == []


def test_answer_is_the_nearest_code() -> None:
    received = np.array(RadialBasisOutput(10)(digit_codes()))

    assert received.argmax(axis=1).tolist() == list(range(10))
    np.testing.assert_array_equal(np.diag(received), 0)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"width": 0.5}, "takes no width: Table I connects 6 maps to 16"),
        ({"pooling": "max"}, "takes no pooling: S2 and S4 learn"),
        ({"normalization": "instance"}, "c5 has only one"),
    ],
)
def test_choices_it_cannot_take(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidOption, match=reason):
        _build(**options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": "relu"},
        {"normalization": "batch"},
        {"normalization": "group"},
        {"dropout": 0.3, "monte_carlo": True},
        {"kernel_regularizer": "l2", "max_norm": 1.0},
    ],
    ids=str,
)
def test_one_update_moves_every_kernel(options: dict[str, Any]) -> None:
    keras.utils.set_random_seed(1)
    model = _build(**options)
    model.compile(keras.optimizers.SGD(0.01), losses.MapCriterion(10))
    kernels = {layer.name: layer.kernel for layer in model.layers if hasattr(layer, "kernel")}
    before = {name: np.array(kernel) for name, kernel in kernels.items()}

    loss = model.train_on_batch(_images(16, 32, 32, 1), np.arange(16) % 10)

    assert np.isfinite(loss)
    for name, kernel in kernels.items():
        assert np.isfinite(np.array(kernel)).all()
        assert (np.array(kernel) != before[name]).any(), name
    assert sorted(kernels) == ["c1", "c3", "c5", "f6"]
    np.testing.assert_array_equal(model.get_layer("output").codes, digit_codes())


def test_learns_the_map_criterion_and_survives_saving(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    labels = np.arange(40) % 10
    images = digit_codes()[labels].reshape(40, 12, 7, 1) + RNG.normal(0, 0.1, (40, 12, 7, 1))
    images = np.pad(images, [(0, 0), (10, 10), (12, 13), (0, 0)], constant_values=-1)
    model = _build()
    model.compile(keras.optimizers.Adam(0.005), losses.MapCriterion(10))
    history = model.fit(images, labels, batch_size=8, epochs=12, verbose=0).history["loss"]
    assert history[-1] < 0.4 * history[0]
    outputs = np.array(model(images))
    assert (outputs.argmax(axis=1) == labels).mean() > 0.9

    model.save(tmp_path / "lenet.keras")
    loaded = keras.saving.load_model(tmp_path / "lenet.keras", compile=False)

    np.testing.assert_array_equal(loaded(images), outputs)


def test_saving_keeps_initializer_and_constraint_of_a_partial_convolution() -> None:
    layer = PartialConv2D(
        16,
        5,
        C3_LINKS,
        kernel_initializer=fan_in_uniform(2.4)(),
        kernel_constraint=keras.constraints.MaxNorm(0.5, axis=(0, 1, 2)),
    )
    again = PartialConv2D.from_config(layer.get_config())

    assert again.get_config() == layer.get_config()
    for one in (layer, again):
        one.build((None, 14, 14, 6))
    np.testing.assert_array_equal(layer.kernel, again.kernel)
    bound = again.kernel_constraint(keras.ops.ones((5, 5, 60)))
    np.testing.assert_allclose(np.array(bound)[0, 0, 0], 0.5 / 75**0.5, rtol=1e-4)


def test_half_precision_keeps_float32_distances() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = _build()
    finally:
        keras.config.set_dtype_policy(before)

    assert model(_images(2, 32, 32, 1)).dtype == "float32"
    assert model.get_layer("c3").compute_dtype == "bfloat16"


def test_larger_images_and_more_channels() -> None:
    model = _build((40, 48, 3), classes=4)

    assert model(_images(2, 40, 48, 3)).shape == (2, 4)
    assert model.get_layer("c5").output.shape[1:] == (3, 5, 120)
