"""A batch shown in parts makes the update of the whole batch."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiments import optimizers, settings
from experiments.batches import Batches
from experiments.config import Loss, Optimizer
from experiments.errors import BadInput
from experiments.losses import build
from experiments.objective import LOGITS, Objective
from experiments.plan import prepare
from experiments.trainer import Trainer

SIZE, CLASSES = 7, 3


@keras.saving.register_keras_serializable("test")
class Watch(keras.layers.Layer):
    """Lets everything through, and remembers in how many calls, and the most images in one."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.most = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs):
        self.calls.assign_add(1.0)
        count = keras.ops.cast(keras.ops.shape(inputs)[0], "float32")
        self.most.assign(keras.ops.maximum(self.most, count))
        return inputs


def network(accumulate, precision="float32"):
    """Two heads, a penalty, and a layer that the loss does not reach."""
    keras.utils.set_random_seed(3)
    keras.config.set_dtype_policy(precision)
    pixels = keras.Input((4,))
    watch = Watch()
    hidden = keras.layers.Dense(
        5, activation="tanh", kernel_regularizer=keras.regularizers.L2(0.1), name="hidden"
    )(watch(pixels))
    outputs = {
        LOGITS: keras.layers.Dense(CLASSES, name="head", dtype="float32")(hidden),
        "aux": keras.layers.Dense(CLASSES, name="aux", dtype="float32")(pixels),
        "idle": keras.layers.Dense(CLASSES, name="idle", dtype="float32")(pixels),
    }
    model = Objective(pixels, outputs)
    keras.config.set_dtype_policy("float32")
    weights = {LOGITS: 1.0, "aux": 0.3}
    model.set_up(build(Loss(), CLASSES), weights, reconstructs=False, accumulate=accumulate)
    rule = Optimizer(learning_rate=0.1, weight_decay=0.01, clip={"global_norm": 0.4})
    model.compile(optimizer=optimizers.build(rule, model), auto_scale_loss=True)
    model.optimizer.build(model.trainable_variables)
    return model, watch


def after(model, batches):
    """Weights and the epoch's loss after an update from each batch."""
    step = tf.function(model.train_step, autograph=False, reduce_retracing=True)
    for batch in batches:
        logs = step(batch)
    return [np.asarray(v) for v in model.trainable_variables], float(logs["loss"])


def drawn(size, *, soft=False):
    rng = np.random.default_rng(size)
    labels = rng.dirichlet(np.ones(CLASSES), size) if soft else rng.integers(0, CLASSES, size)
    images, weights = rng.normal(size=(size, 4)), rng.uniform(0.2, 3, size)
    return (
        tf.constant(images, tf.float32),
        tf.constant(labels, tf.float32 if soft else tf.int64),
        tf.constant(weights, tf.float32),
    )


@pytest.mark.parametrize(("soft", "precision"), [(False, "float32"), (True, "mixed_float16")])
def test_parts_make_the_update_of_the_whole_batch(soft, precision):
    """Heads, weights of images, a penalty, weight decay, a clipped gradient, batches of 7 and 2."""
    batches = [drawn(SIZE, soft=soft), drawn(2, soft=soft), drawn(SIZE, soft=soft)]
    (whole, _), (parted, watch) = network(1, precision), network(3, precision)
    tolerance = 1e-6 if precision == "float32" else 2e-3
    with pytest.warns(UserWarning, match="Gradients do not exist for variables.*idle"):
        expected, loss = after(whole, batches)
    with pytest.warns(UserWarning, match="Gradients do not exist for variables.*idle"):
        got, own_loss = after(parted, batches)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance)
    assert own_loss == pytest.approx(loss, rel=max(tolerance, 1e-6))
    assert int(parted.optimizer.iterations) == 3
    assert float(watch.calls) == 3 + 2 + 3  # a batch of two has no three parts
    assert float(watch.most) == 3  # of seven in three parts


def plan(*words):
    base = {
        "data": {"source": "digits", "image_size": 8, "batch_size": 32, "train_fraction": 0.1},
        "model": {"name": "mlp", "options": {"hidden": [12]}},
        "augment": {"steps": [{"op": "mixup"}]},
        "train": {
            "epochs": 2,
            "class_weights": "balanced",
            "optimizer": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
            "schedule": {"name": "cosine", "warmup_epochs": 0.5},
        },
    }
    return prepare(settings.parse(settings.override(base, words)))


def test_a_fit_in_parts_is_the_fit_of_whole_batches():
    """Same batches, mixed as a whole, same schedule and number of updates."""
    fits = {}
    for parts in (1, 5):
        planned = plan(f"train.accumulate={parts}")
        assert len(planned.split.train) % 32
        batches = Batches(planned.source, planned.split.train, None)
        trainer = Trainer(planned.config, planned.input_shape, planned.classes)
        trainer.reset(4, np.array([80.0], "float32"), np.array([60.0], "float32"))
        history = trainer.fit(
            None, planned.config, batches.steps(planned.config), None, lambda event: None,
            rows=batches.training_rows(planned.config, 7),
        )  # fmt: skip
        fits[parts] = history.epochs, trainer.model.get_weights(), trainer.rule.iterations
    (curve, weights, updates), (own_curve, own_weights, own_updates) = fits[1], fits[5]
    assert int(own_updates) == int(updates)
    for epoch, own in zip(curve, own_curve, strict=True):
        assert own == pytest.approx(epoch, rel=1e-5)
    for a, b in zip(own_weights, weights, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train.accumulate=33"], r"train\.accumulate: a batch of 32 images has no 33 parts"),
        (["train.accumulate=2", "train.jit=true"], r"train\.accumulate: XLA .*train\.jit=false"),
    ],
)
def test_what_has_no_parts_is_refused(words, said):
    with pytest.raises(BadInput, match=said):
        plan(*words)


@pytest.mark.parametrize("key", ["accumulate", "steps_per_execution"])
def test_other_backends_refuse_what_they_cannot_do(key, monkeypatch):
    planned = plan(f"train.{key}=2")
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(BadInput, match=rf"train\.{key}: 2 needs Keras's TensorFlow backend.*torch"):
        Trainer(planned.config, planned.input_shape, planned.classes)
