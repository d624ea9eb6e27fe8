"""One kernel against Keras's own batch normalisation: values, gradients, moving statistics."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiments.config import settings
from experiments.training import fused_batch_norm
from experiments.training.trainer import Trainer

SHAPE = (5, 6, 7, 24)


def layer(fused: bool, **options: Any) -> Any:
    """Keras's or ours, with weights and statistics that a mix-up would show."""
    made = keras.layers.BatchNormalization(momentum=0.8, epsilon=1e-3, **options)
    made.build(SHAPE)
    random = np.random.default_rng(4)
    for weight in made.weights:
        weight.assign(random.uniform(0.5, 1.5, weight.shape))
    assert not fused or fused_batch_norm.install([made]) == 1
    return made


def outcome(made: Any, training: bool, images: np.ndarray) -> tuple[dict[str, np.ndarray], set]:
    """All that the layer gives and changes, of a call for any batch size; and the kinds of ops."""
    pull = np.random.default_rng(5).normal(size=images.shape).astype("float32")

    @tf.function(input_signature=[tf.TensorSpec([None, *images.shape[1:]], tf.float32)])
    def run(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = made(x, training=training)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) * pull)
        return y, tape.gradient(loss, [x, *(v.value for v in made.trainable_weights)])

    y, gradients = run(tf.constant(images))
    assert y.dtype == made.compute_dtype
    found = {"y": tf.cast(y, tf.float32).numpy()}
    found |= {f"gradient {i}": np.array(g) for i, g in enumerate(gradients)}
    found |= {w.name: np.array(w) for w in made.weights}
    graph = run.get_concrete_function().graph
    return found, {operation.type for operation in graph.get_operations()}


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({}, 1e-5),
        ({"scale": False}, 1e-5),
        ({"center": False}, 1e-5),
        ({"dtype": "mixed_bfloat16"}, 2**-7),  # of 8 bits
        ({"dtype": "mixed_float16"}, 2**-9),
    ],
)
def test_it_does_as_keras(options: dict[str, Any], tolerance: float) -> None:
    images = np.random.default_rng(6).normal(2.0, 3.0, SHAPE).astype("float32")
    expected, by_keras = outcome(layer(False, **options), True, images)
    found, by_ours = outcome(layer(True, **options), True, images)
    assert "FusedBatchNormV3" in by_ours - by_keras
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert np.abs(value).max() > 0.1, name
        scale = np.abs(value).max()
        np.testing.assert_allclose(
            found[name] / scale, value / scale, rtol=0, atol=tolerance, err_msg=name
        )


def test_one_value_a_channel_has_no_variance() -> None:
    made = layer(True)
    image = np.full((1, 1, 1, 24), 3.0, "float32")
    y = made(image, training=True)
    np.testing.assert_allclose(y[0, 0, 0], made.beta, rtol=0, atol=1e-6)
    expected = 0.8 * np.array(layer(False).moving_variance)
    np.testing.assert_allclose(made.moving_variance, expected, rtol=1e-6)


@pytest.mark.parametrize("change", ["synchronized", "dense", "frozen", "scored"])
def test_what_is_not_for_the_kernel_stays_with_keras(change: str) -> None:
    images = np.random.default_rng(6).normal(size=(5, 24) if change == "dense" else SHAPE)
    made = keras.layers.BatchNormalization(trainable=change != "frozen")
    made.build(images.shape)
    assert fused_batch_norm.install([made]) == 1
    made.synchronized = change == "synchronized"  # as where devices are joined
    _, kinds = outcome(made, change != "scored", images.astype("float32"))
    assert "FusedBatchNormV3" not in kinds


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_networks_train_with_it_and_files_do_not_know(activation: Any, tmp_path: Any) -> None:
    options = {"normalization": "batch", "activation": activation}
    config = settings.parse({"name": "x", "model": {"name": "lenet5", "options": options}})
    images = np.random.default_rng(0).uniform(0, 255, (8, 16, 16, 1)).astype("float32")
    weights = {}
    for kernel in (True, False):
        trainer = Trainer(config, (16, 16, 1), 10)
        used = [x for x in trainer.leaves if "call" in vars(x)]
        assert [x.name for x in used] == ["c1_bn", "c3_bn"]
        if not kernel:
            for leaf in used:
                del leaf.call
        trainer.reset(1, np.zeros(1), np.full(1, 255.0))
        for _ in range(3):
            trainer.model.train_on_batch(images, np.arange(8))
        weights[kernel] = trainer.model.get_weights()
    for one, other in zip(weights[True], weights[False], strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-5 * np.abs(other).max())

    trainer.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_allclose(trainer.infer(images), loaded(images), rtol=0, atol=1e-5)
