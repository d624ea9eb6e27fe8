"""Other backends against TensorFlow: equal weights give equal outputs, and equal training."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import backend_process
import keras
import numpy as np
import pandas as pd
import pytest
import small_run

import models


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


def _agree(folder: Path, expected: dict[str, np.ndarray]) -> None:
    for name, value in expected.items():
        received = np.load(folder / f"{name}.npy")
        assert np.isfinite(value).all(), name
        assert value.std() > 0, name
        scale = np.abs(value).max()
        np.testing.assert_allclose(received / scale, value / scale, rtol=0, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_each_kind_of_layer_agrees_with_tensorflow(backend: str, runs: Runs) -> None:
    if backend not in runs.folders:
        pytest.skip(f"{backend} is not installed")
    _agree(runs.folders[backend], runs.outputs)


@pytest.mark.full
def test_every_network_agrees_with_tensorflow(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    names = models.list_models()
    expected = {name: _prepare(name, tmp_path) for name in names}
    backend_process.finish(
        [backend_process.start("jax", small_run.__file__, "jax", tmp_path, *names)], seconds=3000
    )
    _agree(tmp_path, expected)


TF = "tensorflow"
INSTALLED = [name for name in ("jax", "torch") if find_spec(name)]


class Runs(NamedTuple):
    folders: dict[str, Path]
    """Of each backend."""
    outputs: dict[str, np.ndarray]
    """TensorFlow's, of each network whose weights and images the other backends were given."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """One small run on each backend: same first weights, same batches. The others, each in one
    process, compute outputs of networks before it."""
    folders = {name: tmp_path_factory.mktemp(name) for name in (TF, *INSTALLED)}
    outputs = {name: _prepare(name, folders[TF]) for name in SOME}
    keras.utils.set_random_seed(3)
    model = models.build(
        "lenet5", input_shape=small_run.SHAPE, classes=small_run.CLASSES, **small_run.NETWORK
    )
    for folder in folders.values():
        model.save(folder / "initial.keras")
        for given in folders[TF].glob("*.npz"):
            if folder != folders[TF]:
                shutil.copy(given, folder)
    started = [
        backend_process.start(name, small_run.__file__, name, folders[name], *SOME)
        for name in INSTALLED
    ]
    try:
        with pytest.MonkeyPatch.context() as patch:  # tf.data, as the other backends are fed
            patch.setattr("experiments.training.batches.Batches._resident", lambda *a, **k: None)
            small_run.train(folders[TF])
    finally:
        backend_process.finish(started)
    return Runs(folders, outputs)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_run_is_the_same_on_every_backend(backend: str, runs: Runs) -> None:
    """Learning rates change within epochs; so a rate that an update does not see shows here.

    Tolerances are some ten times what was measured after 21 updates on one processor: losses
    8e-8 and weights 1.5e-6 relative, probabilities 6e-7.
    """
    folders = runs.folders
    if backend not in folders:
        pytest.skip(f"{backend} is not installed")
    ours, theirs = (json.loads((folders[b] / "history.json").read_text()) for b in (backend, TF))
    assert [epoch["learning_rate"] for epoch in ours] == [x["learning_rate"] for x in theirs]
    for key in ("train_loss", "val_loss"):
        received, expected = ([epoch[key] for epoch in history] for history in (ours, theirs))
        np.testing.assert_allclose(received, expected, rtol=1e-6, err_msg=key)
    assert theirs[-1]["val_loss"] < 0.6 * theirs[0]["val_loss"]  # it learned meanwhile

    own, expected = (pd.read_parquet(folders[b] / "predictions.parquet") for b in (backend, TF))
    for column in ("part", "index", "label", "predicted"):
        assert own[column].tolist() == expected[column].tolist()
    np.testing.assert_allclose(
        np.stack(own["probabilities"]), np.stack(expected["probabilities"]), rtol=0, atol=6e-6
    )

    # what one backend wrote, another reads
    files = [folders[TF] / "initial.keras", *(folders[b] / "model.keras" for b in (TF, backend))]
    first, last, other = (
        {x.path: np.asarray(x) for x in keras.saving.load_model(path).weights} for path in files
    )
    assert set(last) == set(other)
    for name, value in last.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(other[name] / scale, value / scale, rtol=0, atol=2e-5)
    assert all((first[name] != last[name]).any() for name in first)
