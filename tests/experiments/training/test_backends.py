"""Other backends against TensorFlow: equal weights give equal outputs, and equal training."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import backend_process
import keras
import numpy as np
import pandas as pd
import pytest
import small_run

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

    backend_process.finish([backend_process.start("jax", "-c", FORWARD, "jax", tmp_path, *names)])
    for name, value in expected.items():
        received = np.load(tmp_path / f"{name}.npy")
        assert np.isfinite(value).all(), name
        assert value.std() > 0, name
        scale = np.abs(value).max()
        np.testing.assert_allclose(received / scale, value / scale, rtol=0, atol=1e-4, err_msg=name)


# ------------------------------------------------------------------------------------- training

TF = "tensorflow"

INSTALLED = [name for name in ("jax", "torch") if find_spec(name)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of one small run on each backend: same first weights, same batches."""
    folders = {name: tmp_path_factory.mktemp(name) for name in (TF, *INSTALLED)}
    keras.utils.set_random_seed(3)
    model = models.build(
        "lenet5", input_shape=small_run.SHAPE, classes=small_run.CLASSES, **small_run.NETWORK
    )
    for folder in folders.values():
        model.save(folder / "initial.keras")
    started = [
        backend_process.start(name, small_run.__file__, name, folders[name]) for name in INSTALLED
    ]
    try:
        with pytest.MonkeyPatch.context() as patch:  # tf.data, as the other backends are fed
            patch.setattr("experiments.training.batches.Batches._resident", lambda *a, **k: None)
            small_run.train(folders[TF])
    finally:
        backend_process.finish(started)
    return folders


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_run_is_the_same_on_every_backend(backend: str, runs: dict[str, Path]) -> None:
    """Learning rates change within epochs; so a rate that an update does not see shows here.

    Tolerances are some ten times what was measured after 21 updates on one processor: losses
    8e-8 and weights 1.5e-6 relative, probabilities 6e-7.
    """
    if backend not in runs:
        pytest.skip(f"{backend} is not installed")
    ours, theirs = (json.loads((runs[b] / "history.json").read_text()) for b in (backend, TF))
    assert [epoch["learning_rate"] for epoch in ours] == [x["learning_rate"] for x in theirs]
    for key in ("train_loss", "val_loss"):
        found, expected = ([epoch[key] for epoch in history] for history in (ours, theirs))
        np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=key)
    assert theirs[-1]["val_loss"] < 0.6 * theirs[0]["val_loss"]  # it learned meanwhile

    own, expected = (pd.read_parquet(runs[b] / "predictions.parquet") for b in (backend, TF))
    for column in ("part", "index", "label", "predicted"):
        assert own[column].tolist() == expected[column].tolist()
    np.testing.assert_allclose(
        np.stack(own["probabilities"]), np.stack(expected["probabilities"]), rtol=0, atol=6e-6
    )

    # what one backend wrote, another reads
    first, last, other = (
        {x.path: np.asarray(x) for x in keras.saving.load_model(path).weights}
        for path in (
            runs[TF] / "initial.keras", runs[TF] / "model.keras", runs[backend] / "model.keras"
        )
    )  # fmt: skip
    assert set(last) == set(other)
    for name, value in last.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(other[name] / scale, value / scale, rtol=0, atol=2e-5)
    assert all((first[name] != last[name]).any() for name in first)
