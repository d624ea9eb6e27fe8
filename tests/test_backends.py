"""The zoo on JAX, against the zoo on TensorFlow: equal weights give equal outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import models

# Runs in a process of its own, as the backend is chosen when Keras is imported.
FORWARD = """
import json, sys
import keras, numpy as np
import models

assert keras.backend.backend() == sys.argv[1]
folder = sys.argv[2]
for name in sys.argv[3:]:
    given = np.load(f"{folder}/{name}.npz")
    images = given["images"]
    options = json.loads(str(given["options"]))
    model = models.build(name, input_shape=images.shape[1:], classes=3, **options)
    model.set_weights([given[f"weight{i}"] for i in range(len(model.weights))])
    np.save(f"{folder}/{name}.npy", keras.ops.convert_to_numpy(model(images)))
    print(name, file=sys.stderr)
"""


def _prepare(name: str, folder: Path) -> np.ndarray:
    """Write weights and images of the network, narrow and small; returns TensorFlow's outputs."""
    keras.utils.set_random_seed(11)
    height, width = models.card(name).smallest_input
    options: dict[str, Any] = {} if name in ("lenet5_1998", "direction") else {"width": 0.25}
    model = models.build(name, input_shape=(height, width + 3, 2), classes=3, **options)
    random = np.random.default_rng(3)
    for weight in model.weights:  # statistics and scales that a wrong axis or epsilon would show
        if weight.name in ("moving_mean", "beta", "bias"):
            weight.assign(random.normal(size=weight.shape, scale=0.1))
        elif weight.name in ("moving_variance", "gamma"):
            weight.assign(random.uniform(0.5, 1.5, size=weight.shape))
    images = random.normal(size=(2, height, width + 3, 2)).astype("float32")
    weights = {f"weight{i}": value for i, value in enumerate(model.get_weights())}
    np.savez(folder / f"{name}.npz", images=images, options=json.dumps(options), **weights)
    return np.asarray(keras.ops.convert_to_numpy(model(images)))


# Each kind of layer; `-m full` compares the whole zoo.
SOME = ("lenet5_1998", "lenet5", "alexnet", "vgg_a_lrn", "googlenet", "resnet18", "mlp",
        "direction", "autoencoder_undercomplete")  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(SOME, id="each kind of layer"),
        pytest.param(tuple(models.list_models()), id="all", marks=pytest.mark.full),
    ],
)
def test_jax_agrees_with_tensorflow(names: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("jax")
    expected = {name: _prepare(name, tmp_path) for name in names}

    done = subprocess.run(
        [sys.executable, "-c", FORWARD, "jax", str(tmp_path), *names],
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    for name, value in expected.items():
        received = np.load(tmp_path / f"{name}.npy")
        assert np.isfinite(value).all(), name
        assert value.std() > 0, name
        scale = np.abs(value).max()
        np.testing.assert_allclose(received / scale, value / scale, rtol=0, atol=1e-4, err_msg=name)
